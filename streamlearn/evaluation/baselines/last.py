"""The naive baseline that answers the label set of the row before."""

from __future__ import annotations

from streamlearn.evaluation.baselines.majority import positives
from streamlearn.streams.base import Features, Truth


class LastLabelSet:
    """Answers the label set learnt last."""

    def __init__(self) -> None:
        self._last: list[str] = []

    def predict(self, x: Features) -> list[str]:
        """Return the last label set."""
        return self._last

    def learn(self, x: Features, y: Truth) -> None:
        """Remember a label set."""
        self._last = positives(y)

    def remarks(self) -> list[str]:
        """Return nothing: it can do every row."""
        return []
