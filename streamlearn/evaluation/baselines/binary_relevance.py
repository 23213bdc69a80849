"""Binary relevance: one independent classifier per label.

Source: Tsoumakas, Katakis and Vlahavas, *Mining multi-label data* (Data Mining and Knowledge Discovery Handbook, 2010).
Equal to `river.multioutput.PerOutputClassifier` where all labels are declared and every truth is complete.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from streamlearn.evaluation.baselines.base import BaselineSetup
from streamlearn.evaluation.baselines.majority import positive_labels
from streamlearn.evaluation.baselines.numeric_features import ZeroFilledFeatures
from streamlearn.streams.base import Features, Truth


class BinaryRelevance:
    """One river model per label.

    Declared labels have a model from row 0. A label that appears later gets one at its first mention, which learns from
    that row on and never sees the rows before. A partial truth teaches only the labels that it names.

    Parameters
    ----------
    make:
        Returns a new model for a seed: a classifier of booleans, or a regressor on 0 and 1 that predicts a label above
        one half.
    setup:
        What the stream declares.
    """

    def __init__(self, make: Callable[[int], Any], setup: BaselineSetup) -> None:
        self._make = make
        self._seed = setup.seed
        self._features = ZeroFilledFeatures(setup.features)
        self._models: dict[str, Any] = {}
        self._late = 0
        for label in setup.labels:
            self._add_label(label)

    def _add_label(self, label: str) -> None:
        self._models[label] = self._make(self._seed + len(self._models))

    def predict(self, x: Features) -> list[str]:
        """Return the labels whose model predicts true; one that has learnt nothing predicts false."""
        features = self._features.encode(x)
        return [label for label, model in self._models.items() if (model.predict_one(features) or 0.0) > 0.5]

    def learn(self, x: Features, y: Truth) -> None:
        """Teach the model of every label whose truth is known."""
        features = self._features.encode(x)
        partial = isinstance(y, Mapping)
        signs = y if isinstance(y, Mapping) else dict.fromkeys(positive_labels(y), True)
        for label in signs:
            if label not in self._models:
                self._add_label(label)
                self._late += 1
        for label, model in self._models.items():
            if label in signs:
                model.learn_one(features, bool(signs[label]))
            elif not partial:
                model.learn_one(features, False)

    def remarks(self) -> list[str]:
        """Return how many labels were added after the start."""
        if not self._late:
            return []
        return [f"{self._late} labels joined at first mention; their classifiers saw only the rows from there on."]
