"""Which of three candidate label sets to answer: the one with the highest expected utility.

The candidates are the best set of the pool, the best set of the cluster tree, and the set that maximises the expected
F1 under the joint marginals q: the k labels with the highest q, for the k that maximises 2 (sum of these q) / (k + sum
of all q), or the empty set if its probability is larger. A set S has the predicted F1  f = 2 (sum over S of q) / (|S| +
sum of all q)  (of the empty set: its probability) and the posterior p. The answer maximises  rho_f f + lambda rho_p p,
where each candidate has its own calibration rho, what came true over what was predicted, both decayed by .999 a row.
lambda is the dial from F1 (0) to subset accuracy (large); 2 is balanced.

Source: the F1 set under the independence approximation: Ye, Chai, Lee and Chieu, *Optimizing F-measure: A Tale of Two
Approaches* (ICML 2012). It is found without sorting: a label belongs to the set if and only if its q exceeds half the
set's F1, so raising F1 and set in turn ends at the maximum (Dinkelbach, *On Nonlinear Fractional Programming*,
Management Science 13, 1967).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.state.array_loading import load_whole

POOL_SET, TREE_SET, F1_SET = 0, 1, 2
CANDIDATES = 3

F1, POSTERIOR = 0, 1
PREDICTED, ACTUAL = 0, 1

BALANCED = 2.0
DECAY = 0.999
PRIOR_ROWS = 1.0
"""A calibration starts as if this much had been predicted and had come true."""

FLOOR = 1e-3


class UtilityState(NamedTuple):
    """``sums`` float64[CANDIDATES, 2, 2]: of F1 and POSTERIOR, the decayed sums PREDICTED and ACTUAL."""

    sums: np.ndarray


class Candidates(NamedTuple):
    """Memory of one row, never state: ``members`` int32[CANDIDATES, labels], ascending slots of each candidate;
    ``size`` int64[CANDIDATES], -1 for a candidate that there is not; ``predicted`` float64[CANDIDATES, 2], F1 and
    POSTERIOR.
    """

    members: np.ndarray
    size: np.ndarray
    predicted: np.ndarray


def candidates(labels: int) -> Candidates:
    """Return the memory for ``labels`` label slots."""
    return Candidates(
        np.zeros((CANDIDATES, labels), np.int32), np.zeros(CANDIDATES, np.int64), np.zeros((CANDIDATES, 2))
    )


@kernel
def sum_marginals(marginals: np.ndarray, labels: int) -> float:
    """Return the expected size of the label set, the sum of ``marginals`` float32[labels], in four partial sums."""
    a = 0.0
    b = 0.0
    c = 0.0
    d = 0.0
    whole = labels // 4 * 4
    for label in range(0, whole, 4):
        a += marginals[label]
        b += marginals[label + 1]
        c += marginals[label + 2]
        d += marginals[label + 3]
    for label in range(whole, labels):
        a += marginals[label]
    return (a + b) + (c + d)


@kernel
def f1_set(
    marginals: np.ndarray, labels: int, expected_size: float, empty: float, allowed: np.ndarray, out: np.ndarray
) -> int:
    """Write the label set with the highest expected F1 to ``out``; return its size.

    Parameters
    ----------
    marginals
        float32[labels].
    labels
        Labels as of the row.
    expected_size
        Sum of all marginals.
    empty
        Probability of the empty set.
    allowed
        uint8[labels], 1 for a label that may be chosen.
    out
        int32[labels]: filled with slots, ascending.
    """
    highest = 0.0
    for label in range(labels):
        if allowed[label]:
            highest = max(highest, np.float64(marginals[label]))
    # The best label alone reaches an F1 whose half no member of the best set may be below.
    half = highest / (1.0 + expected_size)
    size = 0
    total = 0.0
    for label in range(labels):
        if allowed[label] and marginals[label] >= half and marginals[label] > 0.0:
            out[size] = label
            size += 1
            total += marginals[label]
    best = total / (size + expected_size) if size > 0 else 0.0
    while True:
        kept = 0
        total = 0.0
        for place in range(size):
            if marginals[out[place]] > best:
                out[kept] = out[place]
                kept += 1
                total += marginals[out[kept - 1]]
        if kept == size or kept == 0:
            break
        size = kept
        best = total / (size + expected_size)
    return 0 if empty > 2.0 * best else size


@kernel
def utility_predict_set(
    proposed: Candidates, candidate: int, marginals: np.ndarray, expected_size: float, empty: float, posterior: float
) -> None:
    """Set the predictions of a candidate whose members are written.

    ``marginals`` float32[labels], their sum ``expected_size``, the probability ``empty`` of the empty set and the
    ``posterior`` of the candidate.
    """
    size = proposed.size[candidate]
    total = 0.0
    for place in range(size):
        total += marginals[proposed.members[candidate, place]]
    proposed.predicted[candidate, F1] = 2.0 * total / (size + expected_size) if size > 0 else empty
    proposed.predicted[candidate, POSTERIOR] = posterior


@kernel
def _calibration(state: UtilityState, candidate: int, measure: int) -> float:
    actual = state.sums[candidate, measure, ACTUAL]
    return (actual + FLOOR) / (state.sums[candidate, measure, PREDICTED] + FLOOR)


@kernel
def utility_choose(state: UtilityState, proposed: Candidates, balance: float) -> int:
    """Return the candidate with the highest expected utility, the lowest of equals; ``balance`` is lambda.

    At least one candidate must be there.
    """
    best = -1
    highest = 0.0
    for candidate in range(CANDIDATES):
        if proposed.size[candidate] < 0:
            continue
        value = _calibration(state, candidate, F1) * proposed.predicted[candidate, F1]
        value += balance * (_calibration(state, candidate, POSTERIOR) * proposed.predicted[candidate, POSTERIOR])
        if best < 0 or value > highest:
            best = candidate
            highest = value
    return best


@kernel
def utility_learn_row(state: UtilityState, proposed: Candidates, truth: np.ndarray, positives: int) -> None:
    """Learn from one complete row how well each candidate's predictions came true.

    ``truth`` int8[labels] is 1 or 0; ``positives`` is how many are 1.
    """
    for candidate in range(CANDIDATES):
        size = proposed.size[candidate]
        if size < 0:
            continue
        hits = 0
        for place in range(size):
            if truth[proposed.members[candidate, place]] == 1:
                hits += 1
        for measure in range(2):
            sums = state.sums
            actual = 1.0 if hits == size and hits == positives else 0.0
            if measure == F1 and size + positives > 0:
                actual = 2.0 * hits / np.float64(size + positives)
            sums[candidate, measure, PREDICTED] *= DECAY
            sums[candidate, measure, ACTUAL] *= DECAY
            sums[candidate, measure, PREDICTED] += proposed.predicted[candidate, measure]
            sums[candidate, measure, ACTUAL] += actual


class Utility:
    """Owns the calibration of the candidates."""

    def __init__(self) -> None:
        self.state = UtilityState(np.full((CANDIDATES, 2, 2), PRIOR_ROWS))

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the state by name."""
        return {"sums": self.state.sums}

    def load_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take the state over; raises `SnapshotError` when a shape differs."""
        load_whole(self.state.sums, arrays["sums"])

    @staticmethod
    def bytes_bound() -> int:
        """Return the size in bytes."""
        return 32 * CANDIDATES
