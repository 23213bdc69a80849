"""Prequential measures of answered label sets: over the whole stream, and over windows of a fixed number of rows.

Subset accuracy, example F1 and example Jaccard are means over rows with a complete truth; an empty answer to an empty
truth has F1 and Jaccard 1. Hamming loss is the mean over rows of the share of wrong labels among those whose truth is
known at that row. Micro F1 and macro F1 come from counts over known pairs of row and label; macro F1 is the mean over
all labels known, 0 for a label with neither truth nor answer.

Source: Gama, Sebastiao and Rodrigues, *On evaluating stream learning algorithms* (Machine Learning 90, 2013),
prequential evaluation; the measures are those of Madjarov et al. (Pattern Recognition 45(9), 2012).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from streamlearn.errors import SnapshotError
from streamlearn.kernels.compiler import kernel
from streamlearn.state.growth import grow

LEAST_ROWS = 30
"""A windowed measure of fewer rows is not reported."""


class Scope(IntEnum):
    """First axis of every array of `MeasuresState`."""

    WHOLE = 0  # the whole stream
    CURRENT = 1  # the window that is filling
    LATEST = 2  # the last full window


class RowSum(IntEnum):
    """Sums over rows, `MeasuresState.sums`."""

    COMPLETE = 0  # rows with a complete truth
    HITS = 1  # of these, rows whose label set was answered exactly
    F1 = 2  # sum of example F1 over complete rows
    JACCARD = 3  # sum of example Jaccard over complete rows
    ROWS = 4  # rows with a known label
    HAMMING = 5  # sum over these of the share of wrong labels


class PairCount(IntEnum):
    """Counts over known pairs of row and label, `MeasuresState.labels`."""

    TRUE_POSITIVE = 0  # answered and true
    FALSE_POSITIVE = 1  # answered and false
    FALSE_NEGATIVE = 2  # not answered and true


class Scored(IntEnum):
    """What is scored of a row."""

    PAIRS = 0  # the labels whose truth is given, others are unknown
    WHOLE_ROW = 1  # all labels, of which those not listed are false, and the label set
    LABEL_SET = 2  # the label set alone, when its labels were scored before


NAMES = ("subset_accuracy", "hamming_loss", "example_f1", "example_jaccard", "micro_f1", "macro_f1")


class MeasuresState(NamedTuple):
    """Sums of three scopes: the whole stream, the window that is filling, the last full one.

    ``sums`` float64[3, 6]: complete rows, exact hits, sums of F1 and Jaccard, rows with a known label, sum of Hamming;
    ``labels`` int64[3, 3, labels]: true positives, false positives and false negatives; ``scored`` int64[3]: rows.
    """

    sums: np.ndarray
    labels: np.ndarray
    scored: np.ndarray


@kernel
def score_rows(
    state: MeasuresState,
    window: int,
    answered_starts: np.ndarray,
    answered: np.ndarray,
    truth_starts: np.ndarray,
    truth: np.ndarray,
    signs: np.ndarray,
    complete: np.ndarray,
    known: np.ndarray,
    mark: np.ndarray,
) -> None:
    """Score rows in order; arguments as `Measures.score_rows`, ``mark`` int8[labels] is scratch of zeros."""
    for row in range(answered_starts.size - 1):
        answer = answered[answered_starts[row] : answered_starts[row + 1]]
        first, last = truth_starts[row], truth_starts[row + 1]
        is_complete = complete[row] != Scored.PAIRS
        pairs_count = complete[row] != Scored.LABEL_SET
        positives = 0
        for entry in range(first, last):
            if signs[entry] == 1:
                mark[truth[entry]] = 1
                positives += 1
            else:
                mark[truth[entry]] = 2
        hits = 0
        wrong = 0
        counted = 0
        for entry in range(answer.size):
            slot = answer[entry]
            if mark[slot] == 1:
                hits += 1
                counted += 1
                mark[slot] = 3
                for scope in range(2):
                    state.labels[scope, PairCount.TRUE_POSITIVE, slot] += 1 if pairs_count else 0
            elif is_complete or mark[slot] == 2:
                wrong += 1
                counted += 1
                for scope in range(2):
                    state.labels[scope, PairCount.FALSE_POSITIVE, slot] += 1 if pairs_count else 0
        for entry in range(first, last):
            slot = truth[entry]
            if mark[slot] == 1:
                for scope in range(2):
                    state.labels[scope, PairCount.FALSE_NEGATIVE, slot] += 1 if pairs_count else 0
            mark[slot] = 0
        missed = positives - hits
        pairs = np.int64(known[row]) if is_complete else last - first
        for scope in range(2):
            state.scored[scope] += 1 if pairs_count else 0
            if pairs > 0 and pairs_count:
                state.sums[scope, RowSum.ROWS] += 1.0
                state.sums[scope, RowSum.HAMMING] += np.float64(wrong + missed) / np.float64(pairs)
            if is_complete:
                state.sums[scope, RowSum.COMPLETE] += 1.0
                if wrong + missed == 0:
                    state.sums[scope, RowSum.HITS] += 1.0
                either = hits + wrong + missed
                state.sums[scope, RowSum.F1] += 2.0 * hits / (hits + either) if either > 0 else 1.0
                state.sums[scope, RowSum.JACCARD] += np.float64(hits) / either if either > 0 else 1.0
        if state.scored[Scope.CURRENT] == window:
            for index in range(state.sums.shape[1]):
                state.sums[Scope.LATEST, index] = state.sums[Scope.CURRENT, index]
                state.sums[Scope.CURRENT, index] = 0.0
            for count in range(state.labels.shape[1]):
                for slot in range(state.labels.shape[2]):
                    state.labels[Scope.LATEST, count, slot] = state.labels[Scope.CURRENT, count, slot]
                    state.labels[Scope.CURRENT, count, slot] = 0
            state.scored[Scope.LATEST] = window
            state.scored[Scope.CURRENT] = 0


class Measures:
    """Holds the sums of the whole stream and of its windows.

    Parameters
    ----------
    window:
        Rows per window.
    labels:
        Label slots known before the first row.
    """

    def __init__(self, window: int, labels: int = 0) -> None:
        self.window = window
        self.labels = labels
        self._vacant: set[int] = set()
        self._state = MeasuresState(np.zeros((3, 6)), np.zeros((3, 3, labels), np.int64), np.zeros(3, np.int64))
        self._mark = np.zeros(labels, np.int8)

    def grow(self, labels: int) -> None:
        """Make room for the label slots below ``labels``."""
        if labels > self.labels:
            self.labels = labels
            self._state = self._state._replace(labels=grow(self._state.labels, labels, axis=2))
            self._mark = grow(self._mark, labels)

    def replace(self, slot: int) -> None:
        """Clear a slot that another label takes over."""
        self._state.labels[:, :, slot] = 0
        self._vacant.discard(slot)

    def retire(self, slot: int) -> None:
        """Clear a slot and leave it vacant."""
        self._state.labels[:, :, slot] = 0
        self._vacant.add(slot)

    def score_rows(
        self,
        answered_starts: np.ndarray,
        answered: np.ndarray,
        truth_starts: np.ndarray,
        truth: np.ndarray,
        signs: np.ndarray,
        complete: np.ndarray,
        known: np.ndarray,
    ) -> None:
        """Score rows in order.

        Parameters
        ----------
        answered_starts, answered:
            int64[rows + 1] and int32: the slots answered for each row, distinct, in any order.
        truth_starts, truth, signs:
            int64[rows + 1], int32 and int8: the slots whose truth is given, distinct, and 1 or 0 for each.
        complete:
            int8[rows], a `Scored` for each row.
        known:
            int32[rows], labels known at the row.
        """
        score_rows(
            self._state,
            self.window,
            answered_starts,
            answered,
            truth_starts,
            truth,
            signs,
            complete,
            known,
            self._mark,
        )

    @property
    def scored(self) -> int:
        """Rows scored so far."""
        return int(self._state.scored[Scope.WHOLE])

    def whole(self) -> dict[str, float | None]:
        """Return the measures over the whole stream; None where no row counts."""
        return self._values(Scope.WHOLE, 1)

    def window_latest(self) -> dict[str, float | None]:
        """Return the measures of the last full window, or of the first one while it fills; None below 30 rows."""
        return self._values(Scope.LATEST if self._state.scored[Scope.LATEST] else Scope.CURRENT, LEAST_ROWS)

    def window_at_end(self) -> dict[str, float | None]:
        """Return the measures of the last full window, of however few rows."""
        return self._values(Scope.LATEST, 1)

    def window_current(self) -> dict[str, float | None]:
        """Return the measures of the window that is filling, of however few rows."""
        return self._values(Scope.CURRENT, 1)

    def rows(self) -> dict[str, int]:
        """Return the number of rows behind each whole-stream measure."""
        complete, known = (
            int(self._state.sums[Scope.WHOLE, RowSum.COMPLETE]),
            int(self._state.sums[Scope.WHOLE, RowSum.ROWS]),
        )
        return {
            name: complete if name in ("subset_accuracy", "example_f1", "example_jaccard") else known for name in NAMES
        }

    def _values(self, scope: int, least: int) -> dict[str, float | None]:
        sums = self._state.sums[scope].tolist()
        values: dict[str, float | None] = dict.fromkeys(NAMES)
        if sums[RowSum.COMPLETE] >= least:
            values["subset_accuracy"] = sums[RowSum.HITS] / sums[RowSum.COMPLETE]
            values["example_f1"] = sums[RowSum.F1] / sums[RowSum.COMPLETE]
            values["example_jaccard"] = sums[RowSum.JACCARD] / sums[RowSum.COMPLETE]
        if sums[RowSum.ROWS] >= least:
            values["hamming_loss"] = sums[RowSum.HAMMING] / sums[RowSum.ROWS]
            counts = self._state.labels[scope, :, : self.labels].tolist()
            per_label = [each for slot, each in enumerate(zip(*counts, strict=True)) if slot not in self._vacant]
            values["micro_f1"] = _f1(*(sum(counts[count]) for count in PairCount))
            values["macro_f1"] = sum(_f1(*label) for label in per_label) / len(per_label) if per_label else 0.0
        return values

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the sums by name."""
        return {
            "sums": self._state.sums,
            "labels": self._state.labels[:, :, : self.labels],
            "scored": self._state.scored,
        }

    def load_arrays(self, arrays: Mapping[str, np.ndarray], vacant: Iterable[int] = ()) -> None:
        """Replace the sums by those of a snapshot whose ``vacant`` slots have no label.

        Raises
        ------
        SnapshotError
            When a shape differs.
        """
        labels = arrays["labels"]
        if arrays["sums"].shape != (3, 6) or labels.shape[:2] != (3, 3) or arrays["scored"].shape != (3,):
            raise SnapshotError(f"the measures in the snapshot have the shape {labels.shape}, not (3, 3, labels)")
        self.labels = labels.shape[2]
        self._vacant = set(vacant)
        self._state = MeasuresState(np.array(arrays["sums"]), np.array(labels), np.array(arrays["scored"]))
        self._mark = np.zeros(self.labels, np.int8)


def _f1(true_positive: int, false_positive: int, false_negative: int) -> float:
    both = 2 * true_positive + false_positive + false_negative
    return 2 * true_positive / both if both else 0.0
