"""The answers of a micro-batch: those of each segment of rows, and where each operation finds its own."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from streamlearn.state.names import Name


class SegmentAnswers(NamedTuple):
    """The answers of a segment of rows, with the ``generations`` that slots had then.

    Row i has the entries ``starts[i]`` to ``starts[i + 1]`` of ``names``, ``scores`` and of the arrays ``slots`` int32
    and ``logits`` float32; the first ``chosen[i]`` are its label set. ``learned`` counts the rows learnt before it.
    ``recent_starts``, ``recent_columns`` and ``recent_values`` are as in `learner.operations.Answers`.
    """

    names: list[Name]
    generations: list[int]
    starts: list[int]
    scores: list[float]
    chosen: list[int]
    learned: list[int]
    slots: np.ndarray
    logits: np.ndarray
    recent_starts: np.ndarray
    recent_columns: np.ndarray
    recent_values: np.ndarray

    def label_set(self, row: int) -> np.ndarray:
        """Return int32 slots of a row's label set."""
        start = self.starts[row]
        return self.slots[start : start + self.chosen[row]]

    def recent(self, row: int) -> tuple[np.ndarray, np.ndarray]:
        """Return int32 columns and float32 values of what was known of recent label sets at a row."""
        entries = slice(int(self.recent_starts[row]), int(self.recent_starts[row + 1]))
        return self.recent_columns[entries], self.recent_values[entries]


class BatchAnswers:
    """The answers of all segments of a batch, in order."""

    def __init__(self, operations: int) -> None:
        self.segments: list[SegmentAnswers] = []
        self._segment_of = [-1] * operations
        self._row_of = [-1] * operations

    def __len__(self) -> int:
        return len(self._row_of)

    def expect(self, op: int, row: int) -> None:
        """Note that the segment to come answers an operation in this row, unless an earlier one did."""
        if self._segment_of[op] < 0:
            self._segment_of[op] = len(self.segments)
            self._row_of[op] = row

    def is_expected(self, op: int) -> bool:
        """Return whether the segment to come answers the operation."""
        return self._segment_of[op] == len(self.segments)

    def row_of(self, op: int) -> int:
        """Return the operation's row within its segment."""
        return self._row_of[op]

    def of(self, op: int) -> tuple[SegmentAnswers, int]:
        """Return the segment that answered an operation, and the row within it."""
        return self.segments[self._segment_of[op]], self._row_of[op]
