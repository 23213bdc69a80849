"""The names of the experts, the seats that their logits take, and what each seat counts in the mixture at first."""

from __future__ import annotations

NAMES = (
    "fast_rate",
    "slow_rate",
    "slow_linear",
    "softmax",
    "fast_linear",
    "neighbours",
    "naive_bayes",
    "burst",
    "label_tree",
)
"""The experts; the neighbours have two votes, and naive Bayes has a second voice, its strongest column."""
SEATS = (
    "fast_rate",
    "slow_rate",
    "slow_linear",
    "softmax",
    "fast_linear",
    "wide_vote",
    "close_vote",
    "naive_bayes",
    "strongest",
    "burst",
    "label_tree",
)
(
    FAST_RATE,
    SLOW_RATE,
    SLOW_LINEAR,
    SOFTMAX,
    FAST_LINEAR,
    WIDE_VOTE,
    CLOSE_VOTE,
    NAIVE_BAYES,
    STRONGEST,
    BURST,
    LABEL_TREE,
) = range(len(SEATS))

SECOND_SEATS = {"wide_vote": "neighbours", "close_vote": "neighbours", "strongest": "naive_bayes"}
"""Seats of experts with more than one logit."""

MIXED_FIRST = {
    "fast_rate": 0.05,
    "slow_rate": 0.05,
    "slow_linear": 0.05,
    "softmax": 0.12,
    "fast_linear": 0.15,
    "wide_vote": 0.18,
    "close_vote": 0.08,
    "naive_bayes": 0.08,
    "strongest": 0.11,
    "burst": 0.05,
    "label_tree": 0.12,
}
"""What each seat counts in the mixture before any row, up to a factor: halfway between equal weights and those that
serve the first 400 rows of twelve streams best."""

MIXED_FIRST_SUM = 1.1
