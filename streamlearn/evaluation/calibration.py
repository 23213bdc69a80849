"""How good label probabilities are: log loss and expected calibration error, over pairs of row and label.

A pair counts when its truth is known and the label was known when the row was answered: a label that the row itself
mentions first had no probability. Log loss is the mean of -(y ln p + (1 - y) ln(1 - p)), in nats a label, with p
clipped to [2^-52, 1 - 2^-52], as scikit-learn does. Expected calibration error puts all probabilities into 15 bins of
equal width, [0, 1/15) to [14/15, 1], and is the mean over pairs of their bin's distance between the share of true
labels and the mean probability.

Source: Naeini, Cooper and Hauskrecht, *Obtaining well calibrated probabilities using Bayesian binning* (AAAI 2015),
equation 2; 15 bins as Guo et al., *On calibration of modern neural networks* (ICML 2017), section 2.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from streamlearn.encoder.labels import LabelTable
from streamlearn.learner.operations import Answers, OperationKind, Operations

NAMES = ("log_loss", "calibration_error")
BINS = 15
LEAST_PROBABILITY = float(np.finfo(np.float64).eps)


class Calibration:
    """Sums of each bin: pairs, true labels, probabilities and losses."""

    def __init__(self) -> None:
        self._pairs = np.zeros(BINS, np.int64)
        self._true = np.zeros(BINS, np.int64)
        self._probabilities = np.zeros(BINS)
        self._losses = np.zeros(BINS)

    def score(self, probabilities: np.ndarray, truth: np.ndarray) -> None:
        """Add pairs in order, so that it does not matter how they are cut into calls.

        Parameters
        ----------
        probabilities:
            float64[pairs], that the label is true.
        truth:
            int8[pairs], 1 or 0.
        """
        bins = np.minimum((probabilities * BINS).astype(np.int64), BINS - 1)
        clipped = np.clip(probabilities, LEAST_PROBABILITY, 1.0 - LEAST_PROBABILITY)
        np.add.at(self._pairs, bins, 1)
        np.add.at(self._true, bins, truth.astype(np.int64))
        np.add.at(self._probabilities, bins, probabilities)
        np.add.at(self._losses, bins, -np.log(np.where(truth == 1, clipped, 1.0 - clipped)))

    @property
    def pairs(self) -> int:
        """Pairs so far."""
        return int(self._pairs.sum())

    def values(self) -> dict[str, float | None]:
        """Return both measures; None where no pair counts."""
        if not self.pairs:
            return dict.fromkeys(NAMES)
        distance = float(np.abs(self._true - self._probabilities).sum())
        return {"log_loss": float(self._losses.sum()) / self.pairs, "calibration_error": distance / self.pairs}


class _Walked(NamedTuple):
    """A walk's rows, with the generations that label slots had then, and the slots that had no label."""

    operations: Operations
    answers: Answers
    generations: list[int]
    vacant: list[int]


class Probabilities:
    """Gathers the probabilities that a learner gives to all labels, beside their truths.

    Set it as a learner's ``observer``. It only keeps what the walks hand over until `score` is called, so that it takes
    no time from a walk. It expects rows that learn at once, or at the walk after theirs where a label joined between.

    Parameters
    ----------
    labels:
        The table of the learner's labels.
    """

    def __init__(self, labels: LabelTable) -> None:
        self._labels = labels
        self._walked: list[_Walked] = []
        self._before: _Walked | None = None
        self.whole = Calibration()
        self._window = Calibration()

    def __call__(self, operations: Operations, answers: Answers) -> None:
        """Keep a walk."""
        self._walked.append(_Walked(operations, answers, self._labels.generations, list(self._labels.vacant)))

    def window(self) -> dict[str, float | None]:
        """Return the measures since the last call."""
        values = self._window.values()
        self._window = Calibration()
        return values

    def score(self) -> None:
        """Score the walks that were kept."""
        for walked in self._walked:
            logits, truth = self._pairs(walked)
            known = truth >= 0
            probabilities = 1.0 / (1.0 + np.exp(-logits[known].astype(np.float64)))
            for scope in (self.whole, self._window):
                scope.score(probabilities, truth[known])
        self._walked.clear()

    def _pairs(self, walked: _Walked) -> tuple[np.ndarray, np.ndarray]:
        """Return the logits float32[rows, labels] and truths int8[rows, labels], -1 unknown, of the rows learnt."""
        operations, answers, generations, vacant = walked
        kinds, starts = operations.kind, operations.truth_starts
        logits = answers.all_logits.copy()
        truth = np.where(operations.complete[:, None] != 0, np.int8(0), np.int8(-1)).repeat(logits.shape[1], axis=1)
        truth[kinds & OperationKind.LEARN == 0] = -1
        truth[np.repeat(np.arange(kinds.size), np.diff(starts)), operations.truth_slots] = operations.truth_signs
        truth[:, vacant] = -1
        if self._before is not None and kinds[0] & OperationKind.PREDICT == 0:
            before = self._before
            given = before.answers.all_logits[-1]
            logits[0, : given.size] = given
            truth[0, given.size :] = -1
            truth[0, before.vacant] = -1
            truth[0, [slot for slot in range(given.size) if before.generations[slot] != generations[slot]]] = -1
        self._before = walked
        return logits, truth
