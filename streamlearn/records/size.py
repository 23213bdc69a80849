"""Maximum size of the records that we write: by default brokers refuse batches of more than one mebibyte."""

from __future__ import annotations

LONGEST_VALUE_BYTES = 900_000
"""Maximum length of the value of a prediction, and of key, value and headers together that a dead letter copies."""
LONGEST_KEY_AND_VALUE_BYTES = 950_000
"""A key that makes key and value longer than this is left out."""
