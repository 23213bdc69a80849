"""The pool of label sets seen so far: bounded, decayed, and decoded by posterior with their joint prior.

The set S that maximises  sum of log p over S + sum of log(1 - p) over the others + a PMI(S)  is chosen, with
PMI(S) = log P(S) - sum over S of log r - sum over the others of log(1 - r), P(S) the set's decayed share of the rows
and r the labels' decayed rates. Terms that all sets share drop out, so a set's score is a log c_S + sum over S of
(logit p - a logit r): no logarithm per set.

a = 1 is Bayes' rule for posteriors that are independent given the instance; a = .5 was best over all measured streams.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from streamlearn.arithmetic.compile import kernel
from streamlearn.arithmetic.exp_log import log32, log64
from streamlearn.errors import SnapshotError
from streamlearn.learner.arrays import load_labels
from streamlearn.state.growth import grown

CAPACITY = 1000
LONGEST = 64
GROWTH = 1.0 / 0.9995
RENORMALISE_AT = 2.0**40
PRIOR_WEIGHT = 0.5
LEAST_RATE = 0.0005
LARGEST_RATE = 0.999
LEAST_ROWS = 50.0


class LabelSetsState(NamedTuple):
    """``members`` int32[CAPACITY, LONGEST] ascending slots; ``length`` int64, ``code`` int64 (a hash), ``count``
    float64 and ``log_count`` float64 [CAPACITY]; ``size`` int64[1]; ``weights`` float64[2]: the increment of the next
    row, and the total of all rows; ``labels`` float64[labels], the labels' counts. Counts are in units of the growing
    increment.
    """

    members: np.ndarray
    length: np.ndarray
    code: np.ndarray
    count: np.ndarray  # pyright: ignore[reportIncompatibleMethodOverride]
    log_count: np.ndarray
    size: np.ndarray
    weights: np.ndarray
    labels: np.ndarray


@kernel
def label_sets_rows(state: LabelSetsState) -> float:
    """Return the decayed number of complete rows learnt."""
    return state.weights[1] / state.weights[0]


@kernel
def label_sets_decode_row(state: LabelSetsState, logits: np.ndarray, labels: int, value: np.ndarray) -> int:
    """Return the index of the best pooled set, the lowest of equals; -1 for an empty pool.

    ``logits`` float32[labels] are the mixed logits; ``value`` float32[labels] is scratch.
    """
    total = state.weights[1]
    half = np.float32(PRIOR_WEIGHT)
    for label in range(labels):
        rate = np.float32(min(max(state.labels[label] / total, LEAST_RATE), LARGEST_RATE))
        value[label] = logits[label] - half * (log32(rate) - log32(np.float32(1.0) - rate))
    best = -1
    best_score = 0.0
    for index in range(state.size[0]):
        score = PRIOR_WEIGHT * state.log_count[index]
        for place in range(state.length[index]):
            score += value[state.members[index, place]]
        if best < 0 or score > best_score:
            best = index
            best_score = score
    return best


@kernel
def _find(state: LabelSetsState, members: np.ndarray, code: int | np.int64) -> int:
    for index in range(state.size[0]):
        if state.code[index] == code and state.length[index] == members.size:
            same = True
            for place in range(members.size):
                if state.members[index, place] != members[place]:
                    same = False
                    break
            if same:
                return index
    return -1


@kernel
def _place_for_new(state: LabelSetsState) -> int:
    size = state.size[0]
    if size < state.count.size:
        state.size[0] = size + 1
        return size
    smallest = 0
    for index in range(1, size):
        if state.count[index] < state.count[smallest]:
            smallest = index
    return smallest


@kernel
def label_sets_learn_row(state: LabelSetsState, members: np.ndarray) -> None:
    """Count one complete row's label set, ``members`` int32 ascending slots; a set beyond LONGEST counts its labels
    only.

    When the pool is full the set with the smallest count leaves, the lowest index of equals.
    """
    increment = state.weights[0] * GROWTH
    if increment > RENORMALISE_AT:
        factor = 1.0 / RENORMALISE_AT
        increment *= factor
        state.weights[1] *= factor
        for label in range(state.labels.size):
            state.labels[label] *= factor
        for index in range(state.size[0]):
            state.count[index] = max(state.count[index] * factor, 1e-300)
            state.log_count[index] = log64(state.count[index])
    state.weights[0] = increment
    state.weights[1] += increment
    code = np.int64(members.size)
    for place in range(members.size):
        state.labels[members[place]] += increment
        code = code * np.int64(1000003) ^ np.int64(members[place])
    if members.size > LONGEST:
        return
    index = _find(state, members, code)
    if index < 0:
        index = _place_for_new(state)
        state.count[index] = 0.0
        state.code[index] = code
        state.length[index] = members.size
        for place in range(members.size):
            state.members[index, place] = members[place]
    state.count[index] += increment
    state.log_count[index] = log64(state.count[index])


@kernel
def label_sets_retire(state: LabelSetsState, slot: int) -> None:
    """Forget a label: its count, and every pooled set that holds it; the sets behind move up."""
    state.labels[slot] = 0.0
    kept = 0
    for index in range(state.size[0]):
        holds = False
        for place in range(state.length[index]):
            if state.members[index, place] == slot:
                holds = True
        if holds:
            continue
        if kept != index:
            for place in range(state.length[index]):
                state.members[kept, place] = state.members[index, place]
            state.length[kept] = state.length[index]
            state.code[kept] = state.code[index]
            state.count[kept] = state.count[index]
            state.log_count[kept] = state.log_count[index]
        kept += 1
    state.size[0] = kept


class LabelSets:
    """Owns the pool of label sets."""

    def __init__(self) -> None:
        self.state = LabelSetsState(
            np.zeros((CAPACITY, LONGEST), np.int32),
            np.zeros(CAPACITY, np.int64),
            np.zeros(CAPACITY, np.int64),
            np.zeros(CAPACITY),
            np.zeros(CAPACITY),
            np.zeros(1, np.int64),
            np.array([1.0, 0.0]),
            np.zeros(0),
        )

    def grow(self, labels: int) -> None:
        """Make room for ``labels`` labels."""
        self.state = self.state._replace(labels=grown(self.state.labels, labels))

    def retire(self, slot: int) -> None:
        """Forget the label of a slot."""
        label_sets_retire(self.state, slot)

    def arrays(self, labels: int) -> dict[str, np.ndarray]:
        """Return the sets and counts in use, by name."""
        size = int(self.state.size[0])
        return {
            "members": self.state.members[:size],
            "length": self.state.length[:size],
            "code": self.state.code[:size],
            "count": self.state.count[:size],
            "log_count": self.state.log_count[:size],
            "weights": self.state.weights,
            "labels": self.state.labels[:labels],
        }

    def load_arrays(self, arrays: Mapping[str, np.ndarray], labels: int) -> None:
        """Take the pool over; raises `SnapshotError` when a shape differs."""
        self.grow(labels)
        size = arrays["count"].shape[0]
        if size > CAPACITY or arrays["members"].shape != (size, LONGEST):
            raise SnapshotError(
                f"the pool of label sets in the snapshot is {list(arrays['members'].shape)}, "
                f"this version holds at most {[CAPACITY, LONGEST]}"
            )
        for name in ("members", "length", "code", "count", "log_count"):
            getattr(self.state, name)[:size] = arrays[name]
        self.state.size[0] = size
        self.state.weights[:] = arrays["weights"]
        load_labels(self.state.labels, arrays["labels"], labels)

    @staticmethod
    def bytes_bound(labels: int) -> int:
        """Return the largest size in bytes with that many labels."""
        return CAPACITY * (4 * LONGEST + 32) + 8 * labels
