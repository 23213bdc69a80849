"""The names of the experts, the rows of the logit matrix that they write, and the initial weight of each row."""

from __future__ import annotations

NAMES = (
    "fast_rate",
    "slow_rate",
    "slow_linear",
    "softmax",
    "fast_linear",
    "neighbours",
    "naive_bayes",
    "label_history",
    "label_tree",
)
"""The experts; the neighbours have two votes, and naive Bayes has a second voice, its strongest column."""
LOGIT_ROWS = (
    "fast_rate",
    "slow_rate",
    "slow_linear",
    "softmax",
    "fast_linear",
    "wide_vote",
    "close_vote",
    "naive_bayes",
    "strongest",
    "label_history",
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
    LABEL_HISTORY,
    LABEL_TREE,
) = range(len(LOGIT_ROWS))

SECOND_LOGIT_ROWS = {"wide_vote": "neighbours", "close_vote": "neighbours", "strongest": "naive_bayes"}
"""Seats of experts with more than one logit."""

INITIAL_WEIGHTS = {
    "fast_rate": 0.05,
    "slow_rate": 0.05,
    "slow_linear": 0.05,
    "softmax": 0.12,
    "fast_linear": 0.15,
    "wide_vote": 0.18,
    "close_vote": 0.08,
    "naive_bayes": 0.08,
    "strongest": 0.11,
    "label_history": 0.05,
    "label_tree": 0.12,
}
"""Weight of each logit row before any row is learnt, up to a factor: halfway between equal weights and those that serve
the first 400 rows of twelve streams best."""

INITIAL_WEIGHT_SUM = 1.1
