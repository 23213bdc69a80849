"""Thresholds for macro F1 from the stored rows themselves, every label's curve counted anew."""

from __future__ import annotations

from fractions import Fraction

BINS = 40
COMMON = 10
TURN = 64


class Thresholds:
    """All rows of all labels, and the threshold of each label when it was last maximised."""

    def __init__(self, labels: int) -> None:
        self.rows: list[list[tuple[int, bool]]] = [[] for _ in range(labels)]
        self.thresholds = [0.5] * labels
        self.learnt = 0

    def join(self) -> None:
        """Add a label without rows."""
        self.rows.append([])
        self.thresholds.append(0.5)

    def learn(self, probabilities: list[float], truth: list[bool | None]) -> None:
        """Store one row, and maximise the thresholds of its positives and of the labels whose turn it is."""
        for label, (p, on) in enumerate(zip(probabilities, truth, strict=True)):
            if on is not None:
                self.rows[label].append((min(int(p * BINS), BINS - 1), on))
        for label, on in enumerate(truth):
            if on or label % TURN == self.learnt % TURN:
                self.thresholds[label] = self.maximise(label)
        self.learnt += 1

    def maximise(self, label: int) -> float:
        """Return the edge with the highest smoothed F1 of a label, the highest edge of equals."""
        own, every = self.rows[label], [row for rows in self.rows for row in rows]
        positives = sum(on for _, on in every)
        if not positives:
            return 0.5

        def score(edge: int) -> Fraction:
            tp, pp = (sum(on for q, on in own if q >= edge), sum(q >= edge for q, _ in own))
            common_tp, common_pp = (sum(on for q, on in every if q >= edge), sum(q >= edge for q, _ in every))
            numerator = 2 * (tp + Fraction(COMMON * common_tp, positives))
            return numerator / (pp + sum(on for _, on in own) + COMMON * (Fraction(common_pp, positives) + 1))

        return max(range(BINS - 1, 0, -1), key=lambda edge: (score(edge), edge)) / BINS
