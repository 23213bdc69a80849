"""How large a record of ours may be: brokers refuse batches of more than a mebibyte unless they are told otherwise."""

from __future__ import annotations

LONGEST_VALUE_BYTES = 900_000
"""Longest value of an answer; longest key, value and headers that a dead letter takes over, with ours behind them."""
LONGEST_KEY_AND_VALUE_BYTES = 950_000
"""A key that makes a record longer is left out."""
