"""The prequential curve of a stream of any length: equal spans of rows, as many as fit between two numbers.

Windows have a fixed number of rows, so a short stream has one or two. A curve begins with spans of `LEAST_ROWS` rows
and joins neighbours whenever there are more than `MOST_SPANS`. It holds the measures that add up over rows; macro and
micro F1 and the calibration error do not.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

from streamlearn.evaluation.calibration import Calibration
from streamlearn.model.measures import Measures, RowSum, Scope

LEAST_ROWS = 10
MOST_SPANS = 60
NAMES = ("subset_accuracy", "hamming_loss", "example_f1", "example_jaccard", "log_loss")

_NUMERATORS = {
    "subset_accuracy": (RowSum.HITS, RowSum.COMPLETE),
    "hamming_loss": (RowSum.HAMMING, RowSum.ROWS),
    "example_f1": (RowSum.F1, RowSum.COMPLETE),
    "example_jaccard": (RowSum.JACCARD, RowSum.COMPLETE),
}


class _Total(NamedTuple):
    """Sums over all rows before ``row``, and the log loss over all pairs of row and label."""

    row: int
    sums: list[float]
    pairs: int
    losses: float


class Curve:
    """Collects the totals at the end of each span."""

    def __init__(self) -> None:
        self._rows = LEAST_ROWS
        self._totals = [_Total(0, [0.0] * len(RowSum), 0, 0.0)]

    def rows_left(self, count: int) -> int:
        """Return after how many rows from row ``count`` on a span ends."""
        return self._rows - count % self._rows

    def add(self, count: int, measures: Measures, calibration: Calibration) -> None:
        """Take the totals after ``count`` rows, where a span ends."""
        self.end(count, measures, calibration)
        if len(self._totals) > MOST_SPANS + 1:
            self._rows *= 2
            self._totals = [total for total in self._totals if total.row % self._rows == 0]

    def end(self, count: int, measures: Measures, calibration: Calibration) -> None:
        """Take the totals after the last row, which may be within a span."""
        if count > self._totals[-1].row:
            pairs = calibration.pairs
            losses = (calibration.values()["log_loss"] or 0.0) * pairs
            self._totals.append(_Total(count, measures.arrays()["sums"][Scope.WHOLE].tolist(), pairs, losses))

    def spans(self) -> list[dict[str, Any]]:
        """Return the spans: ``from`` and ``to`` as rows, and ``measures`` by name, None where no row counts."""
        return [
            {"from": before.row, "to": after.row, "measures": _measures(before, after)}
            for before, after in pairwise(self._totals)
        ]


def _measures(before: _Total, after: _Total) -> dict[str, float | None]:
    sums = [end - start for start, end in zip(before.sums, after.sums, strict=True)]
    values: dict[str, float | None] = {
        name: sums[numerator] / sums[rows] if sums[rows] else None for name, (numerator, rows) in _NUMERATORS.items()
    }
    pairs = after.pairs - before.pairs
    return {**values, "log_loss": (after.losses - before.losses) / pairs if pairs else None}
