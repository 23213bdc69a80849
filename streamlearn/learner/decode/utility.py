"""Maximum expected utility: picks one of three candidate label sets.

The candidates are the best set of the pool, the best set of the cluster tree, and the set that maximises the expected
F1 under the joint marginals q: the k labels with the highest q, for the k that maximises 2 (sum of these q) / (k + sum
of all q), or the empty set if its probability is larger. A set S has the predicted F1  f = 2 (sum over S of q) / (|S| +
sum of all q)  (the empty set: its probability) and the posterior p. The candidate with the highest expected utility
rho_f f + lambda rho_p p  is picked. Each candidate has calibrations rho of its own: the sum of what came true over the
sum of what was predicted, both decayed by .999 per row. lambda moves the utility from F1 (0) to subset accuracy
(large); 2 is balanced.

Source: the F1 set under the independence approximation: Ye, Chai, Lee and Chieu, *Optimizing F-measure: A Tale of Two
Approaches* (ICML 2012). It is found without sorting: a label belongs to the set if and only if its q exceeds half the
set's F1, so updating the set and its F1 in turn converges to the maximum (Dinkelbach, *On Nonlinear Fractional
Programming*, Management Science 13, 1967).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.state.array_loading import load_whole

BALANCED = 2.0
"""lambda of the balanced rule."""

DECAY = 0.999
INITIAL_SUM = 1.0
"""Initial value of both sums of a calibration."""

FLOOR = 1e-3
"""Added to both sums of a calibration, so that it is finite."""


class Candidate(IntEnum):
    """Candidate label sets; on ties the lowest is picked."""

    POOL_SET = 0  # best set of the learned pool
    TREE_SET = 1  # best set of the cluster tree
    F1_SET = 2  # set with the highest expected F1


class Measure(IntEnum):
    """What is predicted of a candidate: columns of `Candidates.predicted`."""

    F1 = 0  # F1 of the candidate against the truth
    POSTERIOR = 1  # probability that the candidate is the truth


class Calibration(IntEnum):
    """Last axis of `UtilityState.sums`."""

    PREDICTED = 0  # decayed sum of the predictions
    ACTUAL = 1  # decayed sum of what came true


CANDIDATES = len(Candidate)
MEASURES = len(Measure)


class UtilityState(NamedTuple):
    """State of the calibrations: ``sums`` float64[CANDIDATES, MEASURES, 2], last axis `Calibration`."""

    sums: np.ndarray


class Candidates(NamedTuple):
    """The candidates of one row; scratch, never state.

    Attributes
    ----------
    members
        int32[CANDIDATES, labels], the label slots of each candidate, ascending.
    size
        int64[CANDIDATES], number of members; -1 for a missing candidate.
    predicted
        float64[CANDIDATES, MEASURES], columns `Measure`.
    """

    members: np.ndarray
    size: np.ndarray
    predicted: np.ndarray


def candidates_scratch(labels: int) -> Candidates:
    """Return scratch for ``labels`` label slots."""
    return Candidates(
        np.zeros((CANDIDATES, labels), np.int32), np.zeros(CANDIDATES, np.int64), np.zeros((CANDIDATES, MEASURES))
    )


@kernel
def sum_marginals(marginals: np.ndarray, labels: int) -> float:
    """Return the expected number of labels, the sum of ``marginals`` float32[labels], from four partial sums."""
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
def find_f1_set(
    marginals: np.ndarray, labels: int, expected_size: float, empty: float, allowed: np.ndarray, out: np.ndarray
) -> int:
    """Write the label set with the highest expected F1 to ``out``; return its number of members.

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
    # The label with the highest marginal alone has an F1, and no member of the best set is below half of it.
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
        for i in range(size):
            if marginals[out[i]] > best:
                out[kept] = out[i]
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
    """Write the predictions of a candidate, whose ``members`` and ``size`` are set.

    Parameters
    ----------
    proposed
        The candidates.
    candidate
        A `Candidate`.
    marginals
        float32[labels].
    expected_size
        Sum of all marginals.
    empty
        Probability of the empty set.
    posterior
        Probability of the candidate.
    """
    size = proposed.size[candidate]
    total = 0.0
    for i in range(size):
        total += marginals[proposed.members[candidate, i]]
    proposed.predicted[candidate, Measure.F1] = 2.0 * total / (size + expected_size) if size > 0 else empty
    proposed.predicted[candidate, Measure.POSTERIOR] = posterior


@kernel
def _calibrate(state: UtilityState, proposed: Candidates, candidate: int, measure: int | np.int64) -> float:
    """Return the prediction of a measure times its calibration."""
    actual = state.sums[candidate, measure, Calibration.ACTUAL]
    calibration = (actual + FLOOR) / (state.sums[candidate, measure, Calibration.PREDICTED] + FLOOR)
    return calibration * proposed.predicted[candidate, measure]


@kernel
def utility_choose(state: UtilityState, proposed: Candidates, balance: float) -> int:
    """Return the candidate with the highest expected utility, the lowest on ties; ``balance`` is lambda.

    Missing candidates are skipped; at least one must not be missing.
    """
    best = -1
    highest = 0.0
    for candidate in range(CANDIDATES):
        if proposed.size[candidate] < 0:
            continue
        value = _calibrate(state, proposed, candidate, np.int64(Measure.F1))
        value += balance * _calibrate(state, proposed, candidate, np.int64(Measure.POSTERIOR))
        if best < 0 or value > highest:
            best = candidate
            highest = value
    return best


@kernel
def utility_learn_row(state: UtilityState, proposed: Candidates, truth: np.ndarray, positives: int) -> None:
    """Update each candidate's calibrations from one complete row.

    ``truth`` int8[labels] is 1 or 0; ``positives`` is the number of labels that are 1.
    """
    for candidate in range(CANDIDATES):
        size = proposed.size[candidate]
        if size < 0:
            continue
        hits = 0
        for i in range(size):
            if truth[proposed.members[candidate, i]] == 1:
                hits += 1
        for measure in range(MEASURES):
            sums = state.sums
            actual = 1.0 if hits == size and hits == positives else 0.0
            if measure == Measure.F1 and size + positives > 0:
                actual = 2.0 * hits / np.float64(size + positives)
            sums[candidate, measure, Calibration.PREDICTED] *= DECAY
            sums[candidate, measure, Calibration.ACTUAL] *= DECAY
            sums[candidate, measure, Calibration.PREDICTED] += proposed.predicted[candidate, measure]
            sums[candidate, measure, Calibration.ACTUAL] += actual


class Utility:
    """Owns the calibrations of the candidates."""

    def __init__(self) -> None:
        self.state = UtilityState(np.full((CANDIDATES, MEASURES, len(Calibration)), INITIAL_SUM))

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the state, by array name."""
        return {"sums": self.state.sums}

    def load_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Load the state that `arrays` returned; raises `SnapshotError` if an array does not fit."""
        load_whole(self.state.sums, arrays["sums"])

    @staticmethod
    def bytes_bound() -> int:
        """Return the size in bytes."""
        return 32 * CANDIDATES
