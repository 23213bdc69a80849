"""Decision rules: from mixed logits and the posterior over label sets to the labels of an answer."""

from __future__ import annotations

import numpy as np

from streamlearn.arithmetic.compile import kernel
from streamlearn.arithmetic.exp_log import exp32
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

_ONE = np.float32(1.0)


@kernel
def probability(logit: np.float32) -> float:
    """Return 1 / (1 + exp(-logit)), rounded to six decimals; float64."""
    value = np.float64(_ONE / (_ONE + exp32(-logit)))
    return np.floor(value * 1e6 + 0.5) / 1e6


@kernel
def best_labels(logits: np.ndarray, labels: int, allowed: np.ndarray, count: int | np.int64, out: np.ndarray) -> int:
    """Write the ``count`` labels with the largest logits to ``out`` int32, best first; return how many there are.

    Only labels with ``allowed`` uint8[labels] count; the lower slot stands first among equals.
    """
    found = 0
    if count <= 0:
        return 0
    for label in range(labels):
        if not allowed[label]:
            continue
        if found == count and logits[label] <= logits[out[found - 1]]:
            continue
        place = found if found < count else count - 1
        while place > 0 and logits[out[place - 1]] < logits[label]:
            out[place] = out[place - 1]
            place -= 1
        out[place] = label
        if found < count:
            found += 1
    return found


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
