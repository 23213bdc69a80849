"""Binary relevance over nearest neighbours, with one search a row instead of one a label."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from river import neighbors

from streamlearn.evaluation.baselines.base import Start
from streamlearn.evaluation.baselines.majority import positives
from streamlearn.evaluation.baselines.numeric_features import numbers
from streamlearn.streams.base import Features, Truth

NEIGHBOURS = 5
WINDOW = 200


class NearestNeighbours:
    """What `river.neighbors.KNNClassifier` answers label by label, with the published parameters.

    The labels' windows hold the same rows, so their nearest rows are searched once. A label's votes are those of the
    nearest `NEIGHBOURS` rows of the last `WINDOW` that know it, by inverse distance; a row at distance 0 decides alone.
    A column that a row does not have is 0 in the distance. A complete row knows all labels mentioned until then, a
    partial one those that it names.

    Parameters
    ----------
    start:
        What is known before the first row.
    """

    def __init__(self, start: Start) -> None:
        self._names = start.features
        window = neighbors.LazySearch(window_size=WINDOW, min_distance_keep=0.0)
        # The classifier makes the window take its distances from the first part of an item, (instance, truth).
        self._window = neighbors.KNNClassifier(engine=window).engine
        self._labels = dict.fromkeys(start.labels)
        self._late = 0

    def predict(self, x: Features) -> list[str]:
        """Return the labels whose votes are more for than against."""
        rows, distances = self._window.search((numbers(x, self._names), None), n_neighbors=WINDOW)
        truths = [row[1] for row in rows]
        return [label for label in self._labels if _votes(label, truths, distances) > 0.0]

    def learn(self, x: Features, y: Truth) -> None:
        """Put a row into the window."""
        named = y if isinstance(y, Mapping) else dict.fromkeys(positives(y), True)
        for label in named:
            if label not in self._labels:
                self._labels[label] = None
                self._late += 1
        truth: Mapping[str, Any] = named if named is y else dict.fromkeys(self._labels, False) | dict(named)
        self._window.append((numbers(x, self._names), truth))

    def remarks(self) -> list[str]:
        """Return how many labels joined late."""
        if not self._late:
            return []
        return [f"{self._late} labels joined at first mention; only the rows from there on vote on each."]


def _votes(label: str, truths: list[Mapping[str, Any]], distances: list[float]) -> float:
    """Return the weight for a label less the weight against it, nearest rows first."""
    votes, counted = 0.0, 0
    for truth, distance in zip(truths, distances, strict=True):
        if label in truth:
            sign = 1.0 if truth[label] else -1.0
            if distance == 0.0 and not counted:
                return sign
            votes += sign / distance
            counted += 1
            if counted == NEIGHBOURS:
                break
    return votes
