"""Naive baseline: predicts the most frequent label set."""

from __future__ import annotations

from collections.abc import Mapping

from streamlearn.streams.base import Features, Truth


def positive_labels(y: Truth) -> list[str]:
    """Return the names of the labels that a truth says are true."""
    return [name for name, sign in y.items() if sign] if isinstance(y, Mapping) else list(y)


class MajorityLabelSet:
    """Predicts the label set learnt most often so far; of equally frequent ones the first to reach that count."""

    def __init__(self) -> None:
        self._counts: dict[frozenset[str], int] = {}
        self._best: frozenset[str] = frozenset()

    def predict(self, x: Features) -> list[str]:
        """Return the most frequent label set, sorted."""
        return sorted(self._best)

    def learn(self, x: Features, y: Truth) -> None:
        """Count a label set."""
        labels = frozenset(positive_labels(y))
        self._counts[labels] = self._counts.get(labels, 0) + 1
        if self._counts[labels] > self._counts.get(self._best, 0):
            self._best = labels

    def remarks(self) -> list[str]:
        """Return nothing: every row can be learnt."""
        return []
