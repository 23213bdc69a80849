"""The embedded face: a multi-label classifier for Python services, with river's interface."""

from __future__ import annotations

import io
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from river import base

from streamlearn.encoder.labels import AllNamed, Truth
from streamlearn.encoder.row import Features
from streamlearn.errors import SnapshotError
from streamlearn.settings.model import Settings
from streamlearn.settings.rules import Rule
from streamlearn.state.snapshot_format import read_snapshot, write_snapshot
from streamlearn.stream_model import StreamModel

_NAMES = ("labels", "text_fields")
"""Parameters that are lists of names."""


class LabelSetPrediction(NamedTuple):
    """An answer: ``labels``, the most probable first, and ``scores``, the probabilities of these and the best
    others."""

    labels: list[str]
    scores: dict[str, float]


class LabelHierarchyClassifier(base.MultiLabelClassifier):
    """Learns to give instances their label sets, one instance at a time.

    Parameters
    ----------
    preset:
        The parts that learn: ``"default"``, or ``"fast"`` for the linear experts alone.
    rule:
        How probabilities become a label set: ``"balanced"``, ``"subset"``, ``"f1"``, ``"hamming"``, ``"macro"``,
        ``"top_k:K"`` or ``"threshold:P"``.
    labels:
        Names of labels that exist before the first instance; others join when they are first mentioned.
    text_fields:
        Names of features whose strings are texts: they are taken as bags of lower-cased words and word pairs. Any other
        string is a nominal value.
    seed:
        Seed of whatever is random.
    scores_top:
        How many labels beside the answer `predict` scores.
    minimum_count:
        How often a label must have been true before it is predicted.
    retire_after_instances:
        A label that was not true in so many learnt instances retires, unless it is in ``labels``; 0: none does.
    maximum_labels, maximum_features:
        Bounds of the label and feature spaces.
    memory_bytes:
        The most that the model may grow to; a larger bound is refused with `UsageError`.

    Notes
    -----
    One thread may use a classifier at a time. `predict_one`, `predict_proba_one` and `predict` change nothing.

    Examples
    --------
    >>> from streamlearn import LabelHierarchyClassifier
    >>> model = LabelHierarchyClassifier(rule="hamming")
    >>> for _ in range(50):
    ...     model.learn_one({"goal": 1, "match": 1}, {"sport"})
    ...     model.learn_one({"vote": 1, "law": 1}, {"politics", "news"})
    >>> model.predict({"match": 1}).labels
    ['sport']
    >>> model.predict_one({"law": 1})
    {'sport': False, 'news': True, 'politics': True}
    """

    def __init__(
        self,
        preset: str = "default",
        rule: str = "balanced",
        labels: Sequence[str] | None = None,
        seed: int = 0,
        scores_top: int = 5,
        minimum_count: int = 1,
        maximum_labels: int = 1024,
        maximum_features: int = 65_536,
        memory_bytes: int = 4 << 30,
        text_fields: Sequence[str] | None = None,
        retire_after_instances: int = 0,
    ) -> None:
        self.preset = preset
        self.rule = rule
        self.labels = labels
        self.seed = seed
        self.scores_top = scores_top
        self.minimum_count = minimum_count
        self.maximum_labels = maximum_labels
        self.maximum_features = maximum_features
        self.memory_bytes = memory_bytes
        self.text_fields = text_fields
        self.retire_after_instances = retire_after_instances
        self._model = self._new_model()

    def _new_model(self) -> StreamModel:
        return StreamModel(
            Settings.model_validate(
                {
                    "learner": {
                        "preset": self.preset,
                        "rule": self.rule,
                        "seed": self.seed,
                        "scores_top": self.scores_top,
                    },
                    "labels": {
                        "declared": list(self.labels or ()),
                        "min_count": self.minimum_count,
                        "retire_after_instances": self.retire_after_instances,
                        "maximum": self.maximum_labels,
                    },
                    "features": {"maximum": self.maximum_features},
                    "encoder": {"text_fields": self.text_fields or ()},
                    "limits": {"memory_bytes": self.memory_bytes},
                }
            )
        )

    def learn_one(self, x: Features, y: Mapping[str, bool] | Collection[str]) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Learn one instance.

        Parameters
        ----------
        x:
            Feature names to numbers, booleans or strings; None and values that are not finite are left out.
        y:
            A set or list of names is a complete truth: every other label is false. A mapping of names to booleans is
            complete too when it names every label known so far, as river's streams do; else it says nothing of the
            labels that it does not name.
        """
        plan = self._model.plan()
        plan.predict_and_learn(x, _truth(y))
        plan.run()

    def learn_many(self, X: Iterable[Features], Y: Iterable[Mapping[str, bool] | Collection[str]]) -> None:
        """Learn instances in order; the same, bit for bit, as `learn_one` on each.

        Raises
        ------
        ValueError
            When the two do not have the same length.
        """
        plan = self._model.plan()
        for x, y in zip(X, Y, strict=True):
            plan.predict_and_learn(x, _truth(y))
        plan.run()

    def predict_one(self, x: Features) -> dict[str, bool]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return for every known label whether the instance should carry it; empty before any label is known."""
        answer = set(self.predict(x).labels)
        return {name: name in answer for name in self._model.label_names}

    def predict_proba_one(self, x: Features) -> dict[str, dict[bool, float]]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return for every known label the probabilities of False and True."""
        return {name: {False: 1.0 - p, True: p} for name, p in self._model.probabilities(x).items()}

    def predict(self, x: Features, rule: str | None = None) -> LabelSetPrediction:
        """Return the label set and scores of an instance, by the model's rule or another one.

        Raises
        ------
        UsageError
            When the rule is not one that exists.
        """
        return self.predict_many([x], rule)[0]

    def predict_many(self, X: Iterable[Features], rule: str | None = None) -> list[LabelSetPrediction]:
        """Return `predict` of each instance; nothing changes between them."""
        decision = None if rule is None else Rule.parse(rule)
        plan = self._model.plan(frozen=True)
        for x in X:
            plan.predict(x, decision)
        result = plan.run()
        return [LabelSetPrediction(result.labels(op), result.scores(op)) for op in range(len(result))]

    @property
    def learned(self) -> int:
        """Instances learnt so far."""
        return self._model.learned

    @property
    def clusters(self) -> list[list[str]]:
        """The top-level clusters that the labels are partitioned into."""
        return self._model.clusters()

    def state_hash(self) -> str:
        """Return a hash of everything that was learnt: equal hashes give equal answers for ever."""
        return self._model.state_hash()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the classifier to a file in the snapshot format; an existing file is replaced as a whole."""
        write_snapshot(path, self._model.arrays(), {"classifier": self._parameters()})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> LabelHierarchyClassifier:
        """Read a classifier that `save` wrote.

        Raises
        ------
        SnapshotError
            When the file is not such a snapshot, is broken, or comes from a newer format.
        """
        with Path(path).open("rb") as file:
            parameters, arrays = _read(file, str(path))
        classifier = cls(**parameters)
        classifier._model.load_arrays(arrays)
        return classifier

    def __getstate__(self) -> dict[str, bytes]:
        """Return the classifier as the bytes that `save` writes, for `copy.deepcopy` and for river's tools."""
        file = io.BytesIO()
        write_snapshot(file, self._model.arrays(), {"classifier": self._parameters()})
        return {"snapshot": file.getvalue()}

    def __setstate__(self, state: Mapping[str, bytes]) -> None:
        parameters, arrays = _read(io.BytesIO(state["snapshot"]), "the copied state")
        for name, value in parameters.items():
            setattr(self, name, value)
        self._model = self._new_model()
        self._model.load_arrays(arrays)

    def _parameters(self) -> dict[str, Any]:
        parameters = dict(self._get_params())
        for name in _NAMES:
            value = parameters[name]
            parameters[name] = value if value is None or isinstance(value, str) else list(value)
        return parameters

    @property
    def _multiclass(self) -> bool:
        return True

    @classmethod
    def _unit_test_params(cls) -> Iterable[dict[str, Any]]:  # pyright: ignore[reportIncompatibleMethodOverride]
        yield {}
        yield {"rule": "hamming", "labels": ("a", "b"), "text_fields": ("title",)}


def _truth(y: Mapping[str, bool] | Collection[str]) -> Truth:
    return AllNamed(y) if isinstance(y, Mapping) else y


def _read(file: BinaryIO, name: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the parameters and the state of a saved classifier."""
    manifest, arrays = read_snapshot(file, name)
    parameters = manifest.get("classifier")
    if not isinstance(parameters, dict):
        raise SnapshotError(f"{name} is a snapshot, but not of a classifier: read it with `streamlearn run`")
    for name in _NAMES:
        if isinstance(parameters.get(name), list):
            parameters[name] = tuple(parameters[name])
    return parameters, arrays
