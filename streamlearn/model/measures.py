"""Prequential measures of emitted label sets: over the whole stream, and over windows of a fixed number of rows.

Subset accuracy, example F1 and example Jaccard are means over rows with a complete truth; an empty answer to an empty
truth has F1 and Jaccard 1. Hamming loss is the mean over rows of the share of wrong labels among those whose truth is
known at that row. Micro F1 and macro F1 come from counts over known pairs of row and label; macro F1 is the mean over
all labels known, 0 for a label with neither truth nor answer.

Source: Gama, Sebastiao and Rodrigues, *On evaluating stream learning algorithms* (Machine Learning 90, 2013),
prequential evaluation; the measures are those of Madjarov et al. (Pattern Recognition 45(9), 2012).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from streamlearn.errors import SnapshotError
from streamlearn.kernels.compiler import kernel
from streamlearn.state.growth import grown

WHOLE, CURRENT, LATEST = 0, 1, 2
COMPLETE, HITS, F1, JACCARD, ROWS, HAMMING = range(6)
TRUE_POSITIVE, FALSE_POSITIVE, FALSE_NEGATIVE = range(3)

LEAST_ROWS = 30
"""A windowed measure of fewer rows is not reported."""

PAIRS, WHOLE_ROW, LABEL_SET = range(3)
"""What is scored of a row: the labels whose truth is given; all labels, and its label set; or its label set alone, when
its labels were scored before."""

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
    emitted_starts: np.ndarray,
    emitted: np.ndarray,
    truth_starts: np.ndarray,
    truth: np.ndarray,
    signs: np.ndarray,
    complete: np.ndarray,
    known: np.ndarray,
    mark: np.ndarray,
) -> None:
    """Score rows in order; arguments as `Measures.score_rows`, ``mark`` int8[labels] is scratch of zeros."""
    for row in range(emitted_starts.size - 1):
        answer = emitted[emitted_starts[row] : emitted_starts[row + 1]]
        first, last = truth_starts[row], truth_starts[row + 1]
        is_complete = complete[row] != PAIRS
        pairs_count = complete[row] != LABEL_SET
        positives = 0
        for place in range(first, last):
            if signs[place] == 1:
                mark[truth[place]] = 1
                positives += 1
            else:
                mark[truth[place]] = 2
        hits = 0
        wrong = 0
        counted = 0
        for place in range(answer.size):
            slot = answer[place]
            if mark[slot] == 1:
                hits += 1
                counted += 1
                mark[slot] = 3
                for scope in range(2):
                    state.labels[scope, TRUE_POSITIVE, slot] += 1 if pairs_count else 0
            elif is_complete or mark[slot] == 2:
                wrong += 1
                counted += 1
                for scope in range(2):
                    state.labels[scope, FALSE_POSITIVE, slot] += 1 if pairs_count else 0
        for place in range(first, last):
            slot = truth[place]
            if mark[slot] == 1:
                for scope in range(2):
                    state.labels[scope, FALSE_NEGATIVE, slot] += 1 if pairs_count else 0
            mark[slot] = 0
        missed = positives - hits
        pairs = np.int64(known[row]) if is_complete else last - first
        for scope in range(2):
            state.scored[scope] += 1 if pairs_count else 0
            if pairs > 0 and pairs_count:
                state.sums[scope, ROWS] += 1.0
                state.sums[scope, HAMMING] += np.float64(wrong + missed) / np.float64(pairs)
            if is_complete:
                state.sums[scope, COMPLETE] += 1.0
                if wrong + missed == 0:
                    state.sums[scope, HITS] += 1.0
                either = hits + wrong + missed
                state.sums[scope, F1] += 2.0 * hits / (hits + either) if either > 0 else 1.0
                state.sums[scope, JACCARD] += np.float64(hits) / either if either > 0 else 1.0
        if state.scored[CURRENT] == window:
            for index in range(state.sums.shape[1]):
                state.sums[LATEST, index] = state.sums[CURRENT, index]
                state.sums[CURRENT, index] = 0.0
            for count in range(state.labels.shape[1]):
                for slot in range(state.labels.shape[2]):
                    state.labels[LATEST, count, slot] = state.labels[CURRENT, count, slot]
                    state.labels[CURRENT, count, slot] = 0
            state.scored[LATEST] = window
            state.scored[CURRENT] = 0


class Measures:
    """Holds the sums of the whole stream and of its windows.

    Parameters
    ----------
    window:
        Rows of a window.
    labels:
        Label slots known from the start.
    """

    def __init__(self, window: int, labels: int = 0) -> None:
        self.window = window
        self.labels = labels
        self._vacant: set[int] = set()
        self._state = MeasuresState(np.zeros((3, 6)), np.zeros((3, 3, labels), np.int64), np.zeros(3, np.int64))
        self._mark = np.zeros(labels, np.int8)

    def grow(self, labels: int) -> None:
        """Let the label slots below ``labels`` be known."""
        if labels > self.labels:
            self.labels = labels
            self._state = self._state._replace(labels=grown(self._state.labels, labels, axis=2))
            self._mark = grown(self._mark, labels)

    def replace(self, slot: int) -> None:
        """Forget the counts of the label that left a slot to another one, or left it earlier."""
        self._state.labels[:, :, slot] = 0
        self._vacant.discard(slot)

    def retire(self, slot: int) -> None:
        """Forget the label of a slot that is vacant from here on."""
        self._state.labels[:, :, slot] = 0
        self._vacant.add(slot)

    def score_rows(
        self,
        emitted_starts: np.ndarray,
        emitted: np.ndarray,
        truth_starts: np.ndarray,
        truth: np.ndarray,
        signs: np.ndarray,
        complete: np.ndarray,
        known: np.ndarray,
    ) -> None:
        """Score rows in order.

        Parameters
        ----------
        emitted_starts, emitted:
            int64[rows + 1] and int32: the slots answered for each row, distinct, in any order.
        truth_starts, truth, signs:
            int64[rows + 1], int32 and int8: the slots whose truth is given, distinct, and 1 or 0 for each.
        complete:
            int8[rows], WHOLE_ROW where labels not listed are false, PAIRS where they are unknown; LABEL_SET as
            WHOLE_ROW, but that only the label set is scored.
        known:
            int32[rows], labels known at the row.
        """
        score_rows(
            self._state,
            self.window,
            emitted_starts,
            emitted,
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
        return int(self._state.scored[WHOLE])

    def whole(self) -> dict[str, float | None]:
        """Return the measures over the whole stream; None where no row counts."""
        return self._values(WHOLE, 1)

    def window_latest(self) -> dict[str, float | None]:
        """Return the measures of the last full window, or of the first one while it fills; None below 30 rows."""
        return self._values(LATEST if self._state.scored[LATEST] else CURRENT, LEAST_ROWS)

    def window_at_end(self) -> dict[str, float | None]:
        """Return the measures of the last full window, of however few rows."""
        return self._values(LATEST, 1)

    def window_current(self) -> dict[str, float | None]:
        """Return the measures of the window that is filling, of however few rows."""
        return self._values(CURRENT, 1)

    def rows(self) -> dict[str, int]:
        """Return on how many rows each whole-stream measure rests."""
        complete, known = int(self._state.sums[WHOLE, COMPLETE]), int(self._state.sums[WHOLE, ROWS])
        return {
            name: complete if name in ("subset_accuracy", "example_f1", "example_jaccard") else known for name in NAMES
        }

    def _values(self, scope: int, least: int) -> dict[str, float | None]:
        sums = self._state.sums[scope].tolist()
        values: dict[str, float | None] = dict.fromkeys(NAMES)
        if sums[COMPLETE] >= least:
            values["subset_accuracy"] = sums[HITS] / sums[COMPLETE]
            values["example_f1"] = sums[F1] / sums[COMPLETE]
            values["example_jaccard"] = sums[JACCARD] / sums[COMPLETE]
        if sums[ROWS] >= least:
            values["hamming_loss"] = sums[HAMMING] / sums[ROWS]
            counts = self._state.labels[scope, :, : self.labels].tolist()
            per_label = [each for slot, each in enumerate(zip(*counts, strict=True)) if slot not in self._vacant]
            values["micro_f1"] = _f1(sum(counts[0]), sum(counts[1]), sum(counts[2]))
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
        """Take the sums over, of labels without the ``vacant`` slots; raises `SnapshotError` when a shape differs."""
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
