"""Quality of label probabilities: log loss and expected calibration error, over pairs of row and label.

A pair counts when its truth is known and the label was known when the row was predicted: a label that the row itself
mentions first had no probability. Log loss is the mean of -(y ln p + (1 - y) ln(1 - p)), in nats per label, with p
clipped to [2^-52, 1 - 2^-52], as in scikit-learn. Expected calibration error puts all probabilities into 15 bins of
equal width, [0, 1/15) to [14/15, 1], and is the mean over pairs of the difference between the share of true labels in
their bin and its mean probability.

Source: Naeini, Cooper and Hauskrecht, *Obtaining well calibrated probabilities using Bayesian binning* (AAAI 2015),
equation 2; 15 bins as Guo et al., *On calibration of modern neural networks* (ICML 2017), section 2.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from streamlearn.encoder.labels import LabelTable
from streamlearn.learner.operations import Answers, OperationKind, Operations

NAMES = ("log_loss", "calibration_error")
BINS = 15
MIN_PROBABILITY = float(np.finfo(np.float64).eps)


class Calibration:
    """Sums per bin: pairs, true labels, probabilities and losses."""

    def __init__(self) -> None:
        self._pairs = np.zeros(BINS, np.int64)
        self._true = np.zeros(BINS, np.int64)
        self._probabilities = np.zeros(BINS)
        self._losses = np.zeros(BINS)

    def score(self, probabilities: np.ndarray, truth: np.ndarray) -> None:
        """Add pairs in order; the split into calls does not change the sums.

        Parameters
        ----------
        probabilities:
            float64[pairs], that the label is true.
        truth:
            int8[pairs], 1 or 0.
        """
        bins = np.minimum((probabilities * BINS).astype(np.int64), BINS - 1)
        clipped = np.clip(probabilities, MIN_PROBABILITY, 1.0 - MIN_PROBABILITY)
        np.add.at(self._pairs, bins, 1)
        np.add.at(self._true, bins, truth.astype(np.int64))
        np.add.at(self._probabilities, bins, probabilities)
        np.add.at(self._losses, bins, -np.log(np.where(truth == 1, clipped, 1.0 - clipped)))

    @property
    def pairs(self) -> int:
        """Number of pairs so far."""
        return int(self._pairs.sum())

    def bins(self) -> list[dict[str, Any]]:
        """Return the bins with pairs, by probability: ``pairs``, mean ``probability``, and share that is ``true``."""
        return [
            {"pairs": int(pairs), "probability": float(probability / pairs), "true": float(true / pairs)}
            for pairs, true, probability in zip(self._pairs, self._true, self._probabilities, strict=True)
            if pairs
        ]

    def values(self) -> dict[str, float | None]:
        """Return both measures by name; None without pairs."""
        if not self.pairs:
            return dict.fromkeys(NAMES)
        difference = float(np.abs(self._true - self._probabilities).sum())
        return {"log_loss": float(self._losses.sum()) / self.pairs, "calibration_error": difference / self.pairs}


class _AppliedRows(NamedTuple):
    """Operations that a learner applied at once, its answers, and the label table at that time.

    ``generations`` are those of the label slots, ``vacant`` the slots without a label.
    """

    operations: Operations
    answers: Answers
    generations: list[int]
    vacant: list[int]


class CalibrationWatcher:
    """Pairs the probabilities that a learner gives to all labels with their truths, and scores them.

    Set it as the ``observer`` of a learner. It only keeps what the learner passes until `score` is called, so that it
    takes no time while the learner runs. Each row must be learnt in the call that predicts it or, where a label joins
    in between, at the beginning of the next call.

    Parameters
    ----------
    labels:
        The label table of the learner.

    Attributes
    ----------
    whole:
        The measures over all rows so far.
    """

    def __init__(self, labels: LabelTable) -> None:
        self._labels = labels
        self._applied: list[_AppliedRows] = []
        self._previous: _AppliedRows | None = None
        self.whole = Calibration()
        self._window = Calibration()

    def __call__(self, operations: Operations, answers: Answers) -> None:
        """Keep operations and their answers, with the current labels."""
        self._applied.append(_AppliedRows(operations, answers, self._labels.generations, list(self._labels.vacant)))

    def window(self) -> dict[str, float | None]:
        """Return the measures since the last call."""
        values = self._window.values()
        self._window = Calibration()
        return values

    def score(self) -> None:
        """Score the rows kept since the last call."""
        for applied in self._applied:
            logits, truth = self._logits_and_truths(applied)
            known = truth >= 0
            probabilities = 1.0 / (1.0 + np.exp(-logits[known].astype(np.float64)))
            for scope in (self.whole, self._window):
                scope.score(probabilities, truth[known])
        self._applied.clear()

    def _logits_and_truths(self, applied: _AppliedRows) -> tuple[np.ndarray, np.ndarray]:
        """Return logits float32[rows, labels] and truths int8[rows, labels]: 1, 0, or -1 for pairs that do not count.

        If the first row was predicted by the previous operations, its logits come from there; labels that its slots
        did not hold then do not count.
        """
        operations, answers, generations, vacant = applied
        kinds, starts = operations.kind, operations.truth_starts
        logits = answers.all_logits.copy()
        truth = np.where(operations.complete[:, None] != 0, np.int8(0), np.int8(-1)).repeat(logits.shape[1], axis=1)
        truth[kinds & OperationKind.LEARN == 0] = -1
        truth[np.repeat(np.arange(kinds.size), np.diff(starts)), operations.truth_slots] = operations.truth_signs
        truth[:, vacant] = -1
        if self._previous is not None and kinds[0] & OperationKind.PREDICT == 0:
            previous = self._previous
            predicted = previous.answers.all_logits[-1]
            logits[0, : predicted.size] = predicted
            truth[0, predicted.size :] = -1
            truth[0, previous.vacant] = -1
            replaced = [slot for slot in range(predicted.size) if previous.generations[slot] != generations[slot]]
            truth[0, replaced] = -1
        self._previous = applied
        return logits, truth
