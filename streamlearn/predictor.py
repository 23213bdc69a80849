"""An immutable copy of a classifier that predicts, for threads that do not wait for learning."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol

from streamlearn.arguments.files import File
from streamlearn.encoder.row import Features
from streamlearn.state.names import Name


class LabelSetPrediction(NamedTuple):
    """A predicted label set.

    ``labels`` has the most probable label first; ``scores`` has the probabilities of these labels and the best others.
    """

    labels: list[Name]
    scores: dict[Name, float]


class _Model(Protocol):
    """The methods of a classifier that do not change it."""

    @property
    def learned(self) -> int: ...

    @property
    def label_names(self) -> list[Name]: ...

    @property
    def clusters(self) -> list[list[Name]]: ...

    def predict(self, x: Features, rule: str | None = None) -> LabelSetPrediction: ...

    def predict_many(self, X: Iterable[Features], rule: str | None = None) -> list[LabelSetPrediction]: ...

    def predict_one(self, x: Features) -> dict[Name, bool]: ...

    def predict_proba_one(self, x: Features) -> dict[Name, dict[bool, float]]: ...

    def state_hash(self) -> str: ...

    def save(self, path: File) -> None: ...


class LabelSetPredictor:
    """A classifier as it was when `LabelHierarchyClassifier.snapshot` made this copy: it predicts and cannot learn.

    Its answers are bit for bit those of the classifier at that row.

    Notes
    -----
    Any number of threads may use a predictor at the same time. It shares no memory with the classifier and never waits
    for it; calls on one predictor take turns.

    Examples
    --------
    >>> from streamlearn import LabelHierarchyClassifier
    >>> model = LabelHierarchyClassifier()
    >>> model.learn_one({"goal": 1}, {"sport"})
    >>> predictor = model.snapshot()
    >>> model.learn_one({"vote": 1}, {"politics"})
    >>> predictor.learned, predictor.label_names, predictor.predict({"goal": 1}).labels
    (1, ['sport'], ['sport'])
    """

    __slots__ = ("_model",)

    def __init__(self, model: _Model) -> None:
        # A copy that nothing else refers to.
        self._model = model

    @property
    def learned(self) -> int:
        """Instances that the classifier had learnt."""
        return self._model.learned

    @property
    def label_names(self) -> list[Name]:
        """Names of the known labels, in the order of `predict_one`."""
        return self._model.label_names

    @property
    def clusters(self) -> list[list[Name]]:
        """The top-level clusters of the labels, as lists of names."""
        return self._model.clusters

    def predict(self, x: Features, rule: str | None = None) -> LabelSetPrediction:
        """Return what `LabelHierarchyClassifier.predict` returned at the row of this copy; raises as it does."""
        return self._model.predict(x, rule)

    def predict_many(self, X: Iterable[Features], rule: str | None = None) -> list[LabelSetPrediction]:
        """Return the predictions for several instances; the same as `predict` on each."""
        return self._model.predict_many(X, rule)

    def predict_one(self, x: Features) -> dict[Name, bool]:
        """Return for every known label whether it is predicted; empty if no label is known."""
        return self._model.predict_one(x)

    def predict_proba_one(self, x: Features) -> dict[Name, dict[bool, float]]:
        """Return for every known label the probabilities of False and True."""
        return self._model.predict_proba_one(x)

    def state_hash(self) -> str:
        """Return the hash of the complete state, equal to the classifier's at the row of this copy."""
        return self._model.state_hash()

    def save(self, path: File) -> None:
        """Write the file that `LabelHierarchyClassifier.save` wrote at the row of this copy; raises as it does."""
        self._model.save(path)
