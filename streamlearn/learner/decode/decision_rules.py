"""Decision rules: from mixed logits and the posterior over label sets to the labels of an answer."""

from __future__ import annotations

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.learner.decode.decision import (
    BALANCED_RULE,
    F1_RULE,
    HAMMING,
    MACRO,
    SUBSET,
    DecisionScratch,
    DecisionState,
    decision_choose_row,
)
from streamlearn.learner.scores import best_labels, probability

TOP_K, THRESHOLD = 5, 6

CODES = {
    "balanced": BALANCED_RULE,
    "subset": SUBSET,
    "f1": F1_RULE,
    "hamming": HAMMING,
    "macro": MACRO,
    "top_k": TOP_K,
    "threshold": THRESHOLD,
}
"""The rules by the kind of their names."""


@kernel
def choose_by_score(
    rule: int | np.int64,
    count: int | np.int64,
    threshold: float,
    logits: np.ndarray,
    labels: int,
    allowed: np.ndarray,
    order: np.ndarray,
    chosen: np.ndarray,
) -> bool:
    """Set ``chosen`` as `choose_row` does, if the rule looks at scores alone; else return False."""
    if rule == TOP_K:
        for label in range(labels):
            chosen[label] = 0
        for place in range(best_labels(logits, labels, allowed, min(count, labels), order)):
            chosen[order[place]] = 1
    elif rule == THRESHOLD:
        for label in range(labels):
            chosen[label] = 1 if allowed[label] and probability(logits[label]) >= threshold else 0
    else:
        return False
    return True


@kernel
def choose_row(
    state: DecisionState,
    scratch: DecisionScratch,
    rule: int | np.int64,
    count: int | np.int64,
    threshold: float,
    logits: np.ndarray,
    labels: int,
    allowed: np.ndarray,
    order: np.ndarray,
    chosen: np.ndarray,
) -> None:
    """Set ``chosen`` uint8[labels] to 1 for the labels of the answer.

    ``rule`` is one of `decode.decision`, TOP_K (the ``count`` best) or THRESHOLD (probability at least ``threshold``).
    ``allowed`` uint8[labels] marks the labels that may be predicted; ``order`` int32[labels] is scratch.
    """
    if not choose_by_score(rule, count, threshold, logits, labels, allowed, order, chosen):
        decision_choose_row(state, scratch, rule, labels, allowed, chosen)
