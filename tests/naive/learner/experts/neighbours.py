"""Votes of the nearest rows of a window, by comparison of an instance with every row."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

ROWS = 4_000
ENTRIES = 400_000
KNOWN = 200_000
f = np.float32


@dataclass
class Row:
    """A row: its nonzero entries, its positives, the known negatives of a partial truth, whether its truth is complete,
    and its number among all rows kept so far.
    """

    x: dict[int, np.float32]
    positives: set[int]
    negatives: set[int]
    complete: bool
    number: int

    def truth(self, label: int) -> int | None:
        """Return 1, 0 or None where the row does not know the label."""
        if label in self.positives:
            return 1
        return 0 if self.complete or label in self.negatives else None

    @property
    def known(self) -> int:
        """Return how many labels are stored for the row."""
        return len(self.positives) + len(self.negatives)


class Neighbours:
    """The rows of the window, oldest first."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.pushed = 0
        self.entries = 0
        self.known = 0

    def learn(self, x: dict[int, float], truth: dict[int, int], complete: bool) -> None:
        """Append a row; drop the oldest rows while there are too many rows, entries or known labels."""
        row = Row(
            {column: f(value) for column, value in x.items() if f(value) != 0},
            {label for label, sign in truth.items() if sign == 1},
            {label for label, sign in truth.items() if sign == 0 and not complete},
            complete,
            self.pushed,
        )
        if len(row.x) > ENTRIES or row.known > KNOWN:
            return
        self.pushed += 1
        self.rows.append(row)
        self.entries += len(row.x)
        self.known += row.known
        while len(self.rows) > ROWS or self.entries > ENTRIES or self.known > KNOWN:
            oldest = self.rows.pop(0)
            self.entries -= len(oldest.x)
            self.known -= oldest.known

    def amend(self, number: int, truth: dict[int, int], complete: bool) -> None:
        """Replace the truth of a row, given by its number; drop the oldest rows while too many labels are known."""
        for row in self.rows:
            if row.number == number:
                row.positives = {label for label, sign in truth.items() if sign == 1}
                row.negatives = {label for label, sign in truth.items() if sign == 0 and not complete}
                row.complete = complete
        self.known = sum(row.known for row in self.rows)
        while self.known > KNOWN:
            oldest = self.rows.pop(0)
            self.entries -= len(oldest.x)
            self.known -= oldest.known

    def retire(self, label: int) -> None:
        """Remove a label from every row."""
        for row in self.rows:
            row.positives.discard(label)
            row.negatives.discard(label)
        self.known = sum(row.known for row in self.rows)

    def similarity(self, x: dict[int, float], row: Row) -> np.float32:
        """Return the dot product clipped to [0, 1], added in float32 in the order of the columns."""
        total = f(0)
        for column in sorted(x):
            if column in row.x:
                total = total + f(x[column]) * row.x[column]
        return min(max(total, f(0)), f(1))

    def search(self, x: dict[int, float]) -> list[tuple[np.float32, Row]]:
        """Return the 50 nearest rows with a similarity above 0, of equal ones the most recent first."""
        found = [(self.similarity(x, row), row) for row in self.rows]
        found = [(s, row) for s, row in found if s > 0]
        return sorted(found, key=lambda pair: (-pair[0], -pair[1].number))[:50]


def weigh(x: dict[int, float], weights: dict[int, list[float]]) -> dict[int, float]:
    """Return the entries times (.1 + sum of the column's squared weights)^(1/4), scaled to unit norm."""
    found = {c: v * (0.1 + sum(w * w for w in weights.get(c, []))) ** 0.25 for c, v in x.items()}
    norm = math.sqrt(sum(v * v for v in found.values()))
    return {c: v / norm for c, v in found.items()} if norm else found


def wide_weight(s: np.float32) -> np.float32:
    """Return s^5 / (1.02 - s)."""
    return (s * s) * (s * s) * s / (f(1.02) - s)


def close_weight(s: np.float32) -> np.float32:
    """Return s^2 / (2 - s)."""
    return s * s / (f(2) - s)


def vote(found: list[tuple[np.float32, Row]], rows: int, label: int, slow: float, wide: bool) -> float:
    """Return the logit of a label in the wide or the close vote of the neighbours found among ``rows`` rows."""
    found = found if wide else found[:10]
    weights = [wide_weight(s) if wide else close_weight(s) for s, _ in found]
    kappa = sum(float(weight) for weight in weights) / max(min(rows, 50 if wide else 10), 1) + 1e-6
    votes = [(float(w), row.truth(label)) for w, (_, row) in zip(weights, found, strict=True)]
    numerator = sum(w * y for w, y in votes if y is not None)
    denominator = sum(w for w, y in votes if y is not None)
    p = min(max((numerator + kappa * slow) / (denominator + kappa), 0.0005), 0.9995)
    return math.log(p / (1.0 - p))
