"""Binary relevance over nearest neighbours, with one search per row instead of one per label."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from river import neighbors

from streamlearn.evaluation.baselines.base import BaselineSetup
from streamlearn.evaluation.baselines.majority import positive_labels
from streamlearn.evaluation.baselines.numeric_features import numeric_features
from streamlearn.streams.base import Features, Truth

NEIGHBOURS = 5
WINDOW = 200


class NearestNeighbours:
    """Gives the predictions of one `river.neighbors.KNNClassifier` per label, with the published parameters.

    The windows of all labels would hold the same rows, so the nearest rows are searched once. The votes on a label are
    those of the nearest `NEIGHBOURS` rows of the last `WINDOW` in which its truth is known, weighted by inverse
    distance; a row at distance 0 decides alone. A missing column counts as 0 in the distance. With a complete truth
    all labels mentioned until then are known, with a partial one those that it names.

    Parameters
    ----------
    setup:
        What the stream declares.
    """

    def __init__(self, setup: BaselineSetup) -> None:
        self._names = setup.features
        window = neighbors.LazySearch(window_size=WINDOW, min_distance_keep=0.0)
        # The classifier makes the window compute distances on the first element of an item, (instance, truth).
        self._window = neighbors.KNNClassifier(engine=window).engine
        self._labels = dict.fromkeys(setup.labels)
        self._late = 0

    def predict(self, x: Features) -> list[str]:
        """Return the labels with more votes for than against."""
        rows, distances = self._window.search((numeric_features(x, self._names), None), n_neighbors=WINDOW)
        truths = [row[1] for row in rows]
        return [label for label in self._labels if _votes(label, truths, distances) > 0.0]

    def learn(self, x: Features, y: Truth) -> None:
        """Append a row to the window."""
        signs = y if isinstance(y, Mapping) else dict.fromkeys(positive_labels(y), True)
        for label in signs:
            if label not in self._labels:
                self._labels[label] = None
                self._late += 1
        truth: Mapping[str, Any] = signs if signs is y else dict.fromkeys(self._labels, False) | dict(signs)
        self._window.append((numeric_features(x, self._names), truth))

    def remarks(self) -> list[str]:
        """Return how many labels were added after the start."""
        if not self._late:
            return []
        return [f"{self._late} labels joined at first mention; only the rows from there on vote on them."]


def _votes(label: str, truths: list[Mapping[str, Any]], distances: list[float]) -> float:
    """Return the weight for a label minus the weight against it; ``truths`` and ``distances`` are nearest first."""
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
