"""Binary relevance: one classifier a label, each on its own.

Source: Tsoumakas, Katakis and Vlahavas, *Mining multi-label data* (Data Mining and Knowledge Discovery Handbook, 2010).
`river.multioutput.PerOutputClassifier` is the same where all labels are declared and every truth is complete.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from streamlearn.evaluation.baselines.base import Start
from streamlearn.evaluation.baselines.majority import positives
from streamlearn.evaluation.baselines.numeric_features import FilledNumbers
from streamlearn.streams.base import Features, Truth


class BinaryRelevance:
    """One model of river a label.

    Declared labels have theirs from row 0. A label met later gets one at its first mention and learns from that row on;
    the rows before it are not shown to it. A partial truth teaches only the labels that it names.

    Parameters
    ----------
    make:
        Returns a new model from a seed: a classifier of booleans, or a regressor on 0 and 1 that answers a label above
        one half.
    start:
        What is known before the first row.
    """

    def __init__(self, make: Callable[[int], Any], start: Start) -> None:
        self._make = make
        self._seed = start.seed
        self._numbers = FilledNumbers(start.features)
        self._models: dict[str, Any] = {}
        self._late = 0
        for label in start.labels:
            self._join(label)

    def _join(self, label: str) -> None:
        self._models[label] = self._make(self._seed + len(self._models))

    def predict(self, x: Features) -> list[str]:
        """Return the labels whose model says yes; one that has learnt nothing says no."""
        numbers = self._numbers.of(x)
        return [label for label, model in self._models.items() if (model.predict_one(numbers) or 0.0) > 0.5]

    def learn(self, x: Features, y: Truth) -> None:
        """Teach every label's model whose truth is known."""
        numbers = self._numbers.of(x)
        named = y if isinstance(y, Mapping) else dict.fromkeys(positives(y), True)
        for label in named:
            if label not in self._models:
                self._join(label)
                self._late += 1
        for label, model in self._models.items():
            if label in named:
                model.learn_one(numbers, bool(named[label]))
            elif named is not y:
                model.learn_one(numbers, False)

    def remarks(self) -> list[str]:
        """Return how many labels joined late."""
        if not self._late:
            return []
        return [f"{self._late} labels joined at first mention; each one's classifier saw only the rows from there on."]
