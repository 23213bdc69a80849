"""Decision rules: from mixed logits and the pool of label sets to the labels of an answer."""

from __future__ import annotations

import numpy as np

from streamlearn.arithmetic.compile import kernel
from streamlearn.arithmetic.exp_log import exp32
from streamlearn.learner.decode.label_sets import (
    LEAST_ROWS,
    LabelSetsState,
    label_sets_decode_row,
    label_sets_rows,
)

SUBSET = 0
HAMMING = 1
TOP_K = 2
THRESHOLD = 3

_ZERO = np.float32(0.0)
_ONE = np.float32(1.0)


@kernel
def probability(logit: np.float32) -> float:
    """Return 1 / (1 + exp(-logit)), rounded to six decimals; float64."""
    value = np.float64(_ONE / (_ONE + exp32(-logit)))
    return np.floor(value * 1e6 + 0.5) / 1e6


@kernel
def best_labels(logits: np.ndarray, labels: int, allowed: np.ndarray, count: int, out: np.ndarray) -> int:
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
def decide_row(
    rule: int,
    rule_count: int,
    rule_threshold: float,
    sets: LabelSetsState,
    logits: np.ndarray,
    labels: int,
    allowed: np.ndarray,
    value: np.ndarray,
    order: np.ndarray,
    chosen: np.ndarray,
) -> None:
    """Set ``chosen`` uint8[labels] to 1 for the labels of the answer.

    ``rule`` is SUBSET (the best pooled label set; threshold .5 while fewer than 50 decayed complete rows were learnt),
    HAMMING (threshold .5), TOP_K (the ``rule_count`` best) or THRESHOLD (probability at least ``rule_threshold``).
    ``allowed`` uint8[labels] marks the labels that may be predicted; ``value`` float32[labels] and ``order``
    int32[labels] are scratch.
    """
    for label in range(labels):
        chosen[label] = 0
    if rule == TOP_K:
        for place in range(best_labels(logits, labels, allowed, min(rule_count, labels), order)):
            chosen[order[place]] = 1
    elif rule == THRESHOLD:
        for label in range(labels):
            if allowed[label] and probability(logits[label]) >= rule_threshold:
                chosen[label] = 1
    elif rule == SUBSET and label_sets_rows(sets) >= LEAST_ROWS:
        best = label_sets_decode_row(sets, logits, labels, value)
        if best >= 0:
            for place in range(sets.length[best]):
                member = sets.members[best, place]
                chosen[member] = allowed[member]
    else:
        for label in range(labels):
            if allowed[label] and logits[label] > _ZERO:
                chosen[label] = 1
