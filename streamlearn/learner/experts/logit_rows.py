"""The names of the experts, the rows of the logit matrix that they write, and the initial weight of each row."""

from __future__ import annotations

from enum import IntEnum

EXPERT_NAMES = (
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
"""The experts. Each writes one row of the logit matrix, ``neighbours`` and ``naive_bayes`` write two."""


class LogitRow(IntEnum):
    """Rows of the logit matrix when all experts are enabled; indices into `EnsembleState.logit_row`."""

    FAST_RATE = 0  # exponentially weighted frequency of the label, fast step
    SLOW_RATE = 1  # the same, slow step
    SLOW_LINEAR = 2  # AdaGrad logistic regression
    SOFTMAX = 3  # softmax regression over the labels
    FAST_LINEAR = 4  # logistic regression with a constant step
    WIDE_VOTE = 5  # vote of the 50 nearest rows
    CLOSE_VOTE = 6  # vote of the 10 nearest rows
    NAIVE_BAYES = 7  # naive Bayes over all columns
    STRONGEST = 8  # the column that says most, from the sums of naive Bayes
    LABEL_HISTORY = 9  # AdaGrad logistic regression on the label sets of the rows before
    LABEL_TREE = 10  # the label's decision tree


EXPERT_OF = {
    LogitRow.FAST_RATE: "fast_rate",
    LogitRow.SLOW_RATE: "slow_rate",
    LogitRow.SLOW_LINEAR: "slow_linear",
    LogitRow.SOFTMAX: "softmax",
    LogitRow.FAST_LINEAR: "fast_linear",
    LogitRow.WIDE_VOTE: "neighbours",
    LogitRow.CLOSE_VOTE: "neighbours",
    LogitRow.NAIVE_BAYES: "naive_bayes",
    LogitRow.STRONGEST: "naive_bayes",
    LogitRow.LABEL_HISTORY: "label_history",
    LogitRow.LABEL_TREE: "label_tree",
}
"""The expert that writes each logit row."""

INITIAL_WEIGHTS = {
    LogitRow.FAST_RATE: 0.05,
    LogitRow.SLOW_RATE: 0.05,
    LogitRow.SLOW_LINEAR: 0.05,
    LogitRow.SOFTMAX: 0.12,
    LogitRow.FAST_LINEAR: 0.15,
    LogitRow.WIDE_VOTE: 0.18,
    LogitRow.CLOSE_VOTE: 0.08,
    LogitRow.NAIVE_BAYES: 0.08,
    LogitRow.STRONGEST: 0.11,
    LogitRow.LABEL_HISTORY: 0.05,
    LogitRow.LABEL_TREE: 0.12,
}
"""Weight of each logit row in the mixture before the first row is learnt, up to a factor: halfway between equal weights
and the weights that are best for the first 400 rows of twelve streams."""

INITIAL_WEIGHT_SUM = 1.1
"""Sum of the initial weights of all enabled logit rows."""
