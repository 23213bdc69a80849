"""Naive thresholds for macro F1: every sum is computed from the stored rows."""

from __future__ import annotations

import math


class Thresholds:
    """All rows of all labels, as (predicted, expected truth), and the threshold of each label."""

    def __init__(self, labels: int) -> None:
        self.rows: list[list[tuple[bool, float]]] = [[] for _ in range(labels)]
        self.thresholds = [0.25] * labels

    def join(self) -> None:
        """Add a label without rows."""
        self.rows.append([])
        self.thresholds.append(0.25)

    def learn(self, probabilities: list[float], truth: list[bool | None]) -> None:
        """Store one row and compute all thresholds from the rows."""
        for rows, p, threshold, value in zip(self.rows, probabilities, self.thresholds, truth, strict=True):
            if value is not None:
                rows.append((p > threshold, 0.8 * p + 0.2 * value))
        sums = [self.hits_and_size(rows) for rows in self.rows]
        common = (1 + math.fsum(hits / max(size, 1) for hits, size in sums)) / (
            2 + math.fsum(min(size, 1) for _, size in sums)
        )
        self.thresholds = [(hits + common) / (2 * (size + 1)) for hits, size in sums]

    @staticmethod
    def hits_and_size(rows: list[tuple[bool, float]]) -> tuple[float, float]:
        """Return twice the hits and the size of a label, decayed by age."""
        weights = [0.9998**age for age in range(len(rows))][::-1]
        weighted = [(weight, *row) for weight, row in zip(weights, rows, strict=True)]
        hits = math.fsum(2 * weight * expected for weight, predicted, expected in weighted if predicted)
        size = math.fsum(weight * (predicted + expected) for weight, predicted, expected in weighted)
        return hits, size
