"""Naive baseline: predicts the label set of the previous row."""

from __future__ import annotations

from streamlearn.evaluation.baselines.majority import positive_labels
from streamlearn.streams.base import Features, Truth


class LastLabelSet:
    """Predicts the label set that was learnt last."""

    def __init__(self) -> None:
        self._last: list[str] = []

    def predict(self, x: Features) -> list[str]:
        """Return the last label set."""
        return self._last

    def learn(self, x: Features, y: Truth) -> None:
        """Remember a label set."""
        self._last = positive_labels(y)

    def remarks(self) -> list[str]:
        """Return nothing: every row can be learnt."""
        return []
