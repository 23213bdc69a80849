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
from streamlearn.errors import SnapshotError, UsageError
from streamlearn.learner.drift.river_detector import RiverDetectors
from streamlearn.model.micro_batch import ModelEvent
from streamlearn.model.stream_model import StreamModel
from streamlearn.settings.rule import Rule
from streamlearn.settings.settings import Settings
from streamlearn.snapshot.format import read_snapshot, write_snapshot

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
        The parts that learn: ``"default"``, ``"fast"`` for the highest rates, or ``"paper"`` (also ``"ihomer"``), the
        published method.
    rule:
        How probabilities become a label set: ``"balanced"``, ``"subset"``, ``"f1"``, ``"hamming"``, ``"macro"``,
        ``"top_k:K"`` or ``"threshold:P"``.
    labels:
        Names of labels that exist before the first instance; others join when they are first mentioned.
    text_fields:
        Names of features whose strings are texts: they are taken as bags of lower-cased words and word pairs. Any other
        string is a nominal value.
    partition:
        Where clusters of labels come from: ``"jaccard"``, or to compare, ``"whole"``, ``"singletons"`` or ``"random"``.
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
    drift_detector:
        What watches the loss of every cluster of labels: ``"adwin"``, ``"page_hinkley"``, ``"none"``, or a drift
        detector of river, of which every cluster gets a clone. A file or copy does not hold river's detectors.
    drift_significance:
        Chance of a false alarm at a check over all clusters together; a detector of river has its own.
    drift_cooldown_rows:
        Alarms of a cluster in one direction within so many rows are one event.

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
        drift_detector: str | base.DriftDetector = "adwin",
        drift_significance: float = 0.01,
        drift_cooldown_rows: int = 100,
        partition: str = "jaccard",
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
        self.drift_detector = drift_detector
        self.drift_significance = drift_significance
        self.drift_cooldown_rows = drift_cooldown_rows
        self.partition = partition
        self._begin()

    def _begin(self) -> None:
        """Make a model that has learnt nothing."""
        detector = self.drift_detector
        watched: dict[str, Any] = {"significance": self.drift_significance, "cooldown_rows": self.drift_cooldown_rows}
        self._watch: RiverDetectors | None = None
        if isinstance(detector, base.DriftDetector):
            self._watch = RiverDetectors(detector, self.drift_cooldown_rows)
        elif isinstance(detector, str):
            watched["detector"] = detector
        else:
            raise UsageError(
                f"drift_detector is {detector!r}: it must be adwin, page_hinkley, none, or a drift detector of river "
                "for numbers (river.base.DriftDetector)"
            )
        self._events: list[ModelEvent] = []
        self._model = StreamModel(
            Settings.model_validate(
                {
                    "learner": {
                        "preset": self.preset,
                        "rule": self.rule,
                        "partition": self.partition,
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
                    "drift": watched,
                }
            ),
            detectors=self._watch,
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
        batch = self._model.new_batch()
        batch.predict_and_learn(self._model.pack(x), _truth(y))
        self._events = self._model.apply(batch).events

    def learn_many(self, X: Iterable[Features], Y: Iterable[Mapping[str, bool] | Collection[str]]) -> None:
        """Learn instances in order; the same, bit for bit, as `learn_one` on each.

        Raises
        ------
        ValueError
            When the two do not have the same length.
        """
        batch = self._model.new_batch()
        for x, y in zip(X, Y, strict=True):
            batch.predict_and_learn(self._model.pack(x), _truth(y))
        self._events = self._model.apply(batch).events

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
        batch = self._model.new_batch(frozen=True)
        for x in X:
            batch.predict(self._model.pack(x), decision)
        result = self._model.apply(batch)
        return [LabelSetPrediction(result.labels(op), result.scores(op)) for op in range(len(result))]

    @property
    def learned(self) -> int:
        """Instances learnt so far."""
        return self._model.learned

    @property
    def events(self) -> list[ModelEvent]:
        """What happened in the last `learn_one` or `learn_many`, in order: drift alarms, clusters that changed, trees
        that were reset; ``op`` is the instance's number in that call. A copied or loaded classifier has none."""
        return list(self._events)

    @property
    def clusters(self) -> list[list[str]]:
        """The top-level clusters that the labels are partitioned into."""
        return self._model.clusters()

    def state_hash(self) -> str:
        """Return a hash of everything that was learnt: equal hashes give equal answers for ever."""
        return self._model.state_hash()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the classifier to a file in the snapshot format; an existing file is replaced as a whole.

        Detectors of river are not written: `load` takes such a detector again, and it begins anew.
        """
        write_snapshot(path, self._model.arrays(), self._manifest())

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], drift_detector: str | base.DriftDetector | None = None
    ) -> LabelHierarchyClassifier:
        """Read a classifier that `save` wrote.

        Parameters
        ----------
        path:
            The file.
        drift_detector:
            What watches from there on, if not the detector that it was saved with; it begins anew. A classifier that
            was saved with a detector of river needs it.

        Raises
        ------
        SnapshotError
            When the file is not such a snapshot, is broken, or comes from a newer format.
        UsageError
            When the detector is missing.
        """
        with Path(path).open("rb") as file:
            parameters, arrays = _read(file, str(path))
        if drift_detector is not None:
            parameters["drift_detector"] = drift_detector
        elif parameters.get("drift_detector", "") is None:
            raise UsageError(
                f"{path} was saved with a drift detector of river, which a file does not hold: "
                "pass it to load as drift_detector"
            )
        classifier = cls(**parameters)
        classifier._model.load_arrays(arrays)
        return classifier

    def __getstate__(self) -> dict[str, Any]:
        """Return the classifier as the bytes that `save` writes, for `copy.deepcopy` and for river's tools; detectors
        of river stand beside them."""
        file = io.BytesIO()
        write_snapshot(file, self._model.arrays(), self._manifest())
        state: dict[str, Any] = {"snapshot": file.getvalue()}
        if self._watch is not None:
            state |= {"drift_detector": self.drift_detector, "detectors": self._watch.copies}
        return state

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        parameters, arrays = _read(io.BytesIO(state["snapshot"]), "the copied state")
        if "drift_detector" in state:
            parameters["drift_detector"] = state["drift_detector"]
        for name, value in parameters.items():
            setattr(self, name, value)
        self._begin()
        self._model.load_arrays(arrays)
        if self._watch is not None:
            self._watch.copies = state["detectors"]

    def _manifest(self) -> dict[str, Any]:
        """Return the parameters as JSON holds them; in the place of a detector of river stands nothing."""
        parameters = dict(self._get_params())
        for name in _NAMES:
            value = parameters[name]
            parameters[name] = value if value is None or isinstance(value, str) else list(value)
        if self._watch is not None:
            parameters["drift_detector"] = None
        return {"classifier": parameters}

    @property
    def _multiclass(self) -> bool:
        return True

    @classmethod
    def _unit_test_params(cls) -> Iterable[dict[str, Any]]:  # pyright: ignore[reportIncompatibleMethodOverride]
        from river import drift

        yield {}
        yield {"rule": "hamming", "labels": ("a", "b"), "text_fields": ("title",)}
        yield {"drift_detector": drift.PageHinkley(), "drift_cooldown_rows": 10}
        yield {"preset": "paper", "partition": "random"}


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
