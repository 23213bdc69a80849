"""Embedded API: a multi-label stream classifier with river's interface, for use inside a Python process."""

from __future__ import annotations

import copy
import io
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Self, cast

from river import base

from streamlearn.arguments.files import File, open_to_load, open_to_save
from streamlearn.arguments.fixed import Fixed
from streamlearn.arguments.instances import as_instance
from streamlearn.arguments.names import as_name_list
from streamlearn.arguments.parameters import SETTING_OF, as_settings, with_parameter_names
from streamlearn.arguments.rows import as_instances, as_truths
from streamlearn.arguments.truths import as_truth
from streamlearn.classifier_file import read_classifier, write_classifier
from streamlearn.encoder.labels import Truth
from streamlearn.encoder.row import Features, Packed
from streamlearn.errors import SnapshotError, UsageError
from streamlearn.interrupts import HeldInterrupt
from streamlearn.learner.drift.river_detector import RiverDetectors
from streamlearn.model.broken_model import BrokenModel
from streamlearn.model.micro_batch import MicroBatch
from streamlearn.model.model_event import ModelEvent
from streamlearn.model.stream_model import StreamModel
from streamlearn.predictor import LabelSetPrediction, LabelSetPredictor
from streamlearn.printable import shown
from streamlearn.settings.rule import Rule
from streamlearn.snapshot.format import SnapshotFile
from streamlearn.state.names import Name
from streamlearn.turns import Turns

LabelValue = bool | float | None
"""Value of a label in a truth: True or 1, False or 0; None or NaN for unknown. numpy's scalars are numbers too."""

LabelTruth = Mapping[Any, LabelValue] | Collection[Name]
"""The truth of one instance: a mapping of label names to values, or a set, list or tuple of the true labels' names."""

_NONE_LEFT = object()

_INTERRUPTIBLE_ROWS = 1_000
"""Rows after which `learn_many` notices Ctrl-C; any other number gives the same bits."""


class LabelHierarchyClassifier(base.MultiLabelClassifier):
    """Multi-label classifier that learns from one instance at a time.

    Parameters
    ----------
    preset:
        Components of the learner: ``"default"``, ``"fast"`` for the highest rates, or ``"paper"`` (alias ``"ihomer"``),
        the published method.
    rule:
        Decision rule that turns probabilities into a label set: ``"balanced"``, ``"subset"``, ``"f1"``,
        ``"hamming"``, ``"macro"``, ``"top_k:K"`` or ``"threshold:P"``.
    labels:
        Names of labels known before the first instance; others join when they are first mentioned.
    text_fields:
        Names of features whose strings are texts, encoded as bags of lower-cased words and word pairs. Any other string
        is a nominal value.
    partition:
        Source of the label clusters: ``"jaccard"`` or, for comparison, ``"whole"``, ``"singletons"`` or ``"random"``.
    seed:
        Seed of all random numbers.
    scores_top:
        Number of labels outside the predicted set that `predict` gives a score for.
    minimum_count:
        Number of instances in which a label must have been true before it is predicted.
    retire_after_instances:
        A label that was not true in this many learnt instances retires, unless it is in ``labels``; 0: none retires.
    maximum_labels, maximum_features:
        Maximum numbers of labels and features.
    memory_bytes:
        Maximum memory of the fully grown model; parameters that need more are refused with `UsageError`.
    drift_detector:
        Detector on the loss of each label cluster: ``"adwin"``, ``"page_hinkley"``, ``"none"``, or a drift detector of
        river, of which each cluster gets a clone. `save` does not write river's detectors.
    drift_significance:
        Probability of a false alarm per check over all clusters together; detectors of river have their own parameters.
    drift_cooldown_rows:
        Within this many rows, alarms of a cluster in one direction are one event.

    Notes
    -----
    The parameters are attributes that cannot be assigned; lists of names become tuples. `clone` returns a classifier
    with other parameters.

    Any number of threads may use a classifier: calls on one object take turns, and objects share nothing. `snapshot`
    returns a copy that predicts without waiting for the classifier. The predict methods do not change the model.

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

    preset = Fixed[str]()
    rule = Fixed[str]()
    labels = Fixed[Sequence[Name] | None]()
    seed = Fixed[int]()
    scores_top = Fixed[int]()
    minimum_count = Fixed[int]()
    maximum_labels = Fixed[int]()
    maximum_features = Fixed[int]()
    memory_bytes = Fixed[int]()
    text_fields = Fixed[Collection[Name] | None]()
    retire_after_instances = Fixed[int]()
    drift_detector = Fixed[str | base.DriftDetector]()
    drift_significance = Fixed[float]()
    drift_cooldown_rows = Fixed[int]()
    partition = Fixed[str]()

    def __init__(
        self,
        preset: str = "default",
        rule: str = "balanced",
        labels: Sequence[Name] | None = None,
        seed: int = 0,
        scores_top: int = 5,
        minimum_count: int = 1,
        maximum_labels: int = 1024,
        maximum_features: int = 65_536,
        memory_bytes: int = 4 << 30,
        text_fields: Collection[Name] | None = None,
        retire_after_instances: int = 0,
        drift_detector: str | base.DriftDetector = "adwin",
        drift_significance: float = 0.01,
        drift_cooldown_rows: int = 100,
        partition: str = "jaccard",
    ) -> None:
        vars(self).update(
            preset=preset,
            rule=rule,
            labels=None if labels is None else as_name_list(labels, "labels", ordered=True),
            seed=seed,
            scores_top=scores_top,
            minimum_count=minimum_count,
            maximum_labels=maximum_labels,
            maximum_features=maximum_features,
            memory_bytes=memory_bytes,
            text_fields=None if text_fields is None else as_name_list(text_fields, "text_fields", ordered=False),
            retire_after_instances=retire_after_instances,
            drift_detector=drift_detector,
            drift_significance=drift_significance,
            drift_cooldown_rows=drift_cooldown_rows,
            partition=partition,
        )
        self._reset()

    def _reset(self) -> None:
        """Create a model that has learnt nothing."""
        # Held while the model is read or changed: kernels run without the interpreter's lock, and write to scratch
        # arrays of the model even when they predict. Not held while a caller's iterator is read, since that may wait.
        self._turns = Turns()
        parameters: dict[str, Any] = {name: getattr(self, name) for name in SETTING_OF}
        detector = parameters.pop("drift_detector")
        self._river_detectors: RiverDetectors | None = None
        if isinstance(detector, base.DriftDetector):
            self._river_detectors = RiverDetectors(detector, self.drift_cooldown_rows)
        elif isinstance(detector, str):
            parameters["drift_detector"] = detector
        else:
            raise UsageError(
                f"drift_detector is {shown(detector)}: it must be adwin, page_hinkley, none, or a drift detector of "
                "river for numbers (river.base.DriftDetector)"
            )
        self._events: list[ModelEvent] = []
        self._settings = as_settings(parameters)
        try:
            self._model = self._new_model(self._river_detectors)
        except UsageError as error:
            raise UsageError(with_parameter_names(str(error))) from None

    def _new_model(self, detectors: RiverDetectors | None) -> StreamModel:
        return StreamModel(self._settings, labels=self.labels or (), texts=self.text_fields or (), detectors=detectors)

    def learn_one(self, x: Features, y: LabelTruth) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Learn one instance.

        Parameters
        ----------
        x:
            Feature names to numbers, booleans or strings; None and values that are not finite are left out.
        y:
            A set, list or tuple of label names is a complete truth: all other labels are false. A mapping of names to
            True or 1 and False or 0 is complete if it has every label known so far, as in river's streams; else labels
            that it does not have are unknown, as are those whose value is None or NaN.

        Raises
        ------
        UsageError
            When a name or value is of another kind; nothing is learnt.
        DetectorError
            When a drift detector of river fails; the instance is learnt.
        """
        self._learn([(self._pack(x, "x"), as_truth(y, "y"))])

    def learn_many(self, X: Iterable[Features], Y: Iterable[LabelTruth]) -> None:
        """Learn instances in order; the result is bit for bit the same as that of `learn_one` on each.

        Raises
        ------
        UsageError
            When ``X`` and ``Y`` have different lengths, or one of them has a wrong entry; nothing is learnt.
        KeyboardInterrupt
            When Ctrl-C is pressed in the main thread: at most 1,000 rows later, when `learned` says how many were
            learnt.
        """
        rows: list[tuple[Features | Packed, Truth]] = []
        instances, truths = iter(as_instances(X, "X")), iter(as_truths(Y, "Y"))
        for number, x in enumerate(instances):
            y = next(truths, _NONE_LEFT)
            if y is _NONE_LEFT:
                raise UsageError(f"X has more entries than Y, which has {number}: pass one truth for each instance")
            rows.append((self._pack(x, f"X[{number}]"), as_truth(y, f"Y[{number}]")))
        if next(truths, _NONE_LEFT) is not _NONE_LEFT:
            raise UsageError(f"Y has more entries than X, which has {len(rows)}: pass one instance for each truth")
        self._learn(rows)

    def _learn(self, rows: Sequence[tuple[Features | Packed, Truth]]) -> None:
        """Learn rows that have been checked."""
        with self._turns.threads, self._turns.call():
            with HeldInterrupt() as interrupt:
                self._events = []
                for first in range(0, len(rows), _INTERRUPTIBLE_ROWS):
                    self._learn_rows(rows[first : first + _INTERRUPTIBLE_ROWS], first)
                    if interrupt.pending:
                        break
            if self._river_detectors is not None:
                self._river_detectors.raise_failure()

    def _learn_rows(self, rows: Sequence[tuple[Features | Packed, Truth]], first: int) -> None:
        """Learn rows as one batch, and append their events; ``first`` is the number of the first one in the call."""
        batch = self._model.new_batch()
        for instance, truth in rows:
            batch.predict_and_learn(instance, truth)
        try:
            events = self._model.apply(batch).events
        except BaseException as error:
            # Some arrays have learnt the row and others have not.
            self._model = cast(StreamModel, BrokenModel(error))
            raise
        self._events += [event._replace(op=first + event.op) for event in events] if first else events

    def predict_one(self, x: Features) -> dict[Name, bool]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return for every known label whether it is predicted; empty before any label is known."""
        question = self._question([self._pack(x, "x")], None)
        with self._turns.threads, self._turns.call():
            predicted = set(self._answer(question)[0].labels)
            return {name: name in predicted for name in self._model.label_names}

    def predict_proba_one(self, x: Features) -> dict[Name, dict[bool, float]]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return for every known label the probabilities of False and True."""
        instance = as_instance(x, "x")
        with self._turns.threads, self._turns.call():
            probabilities = self._model.probabilities(instance)
        return {name: {False: 1.0 - p, True: p} for name, p in probabilities.items()}

    def predict(self, x: Features, rule: str | None = None) -> LabelSetPrediction:
        """Return the label set and scores of an instance, with the rule of the classifier or another one.

        Raises
        ------
        UsageError
            When there is no such rule, or a name or value of ``x`` is of another kind.
        """
        return self._predict([self._pack(x, "x")], rule)[0]

    def predict_many(self, X: Iterable[Features], rule: str | None = None) -> list[LabelSetPrediction]:
        """Return the predictions for several instances; the same as `predict` on each."""
        return self._predict([self._pack(x, f"X[{number}]") for number, x in enumerate(as_instances(X, "X"))], rule)

    def _predict(self, instances: list[Features | Packed], rule: str | None) -> list[LabelSetPrediction]:
        question = self._question(instances, rule)
        with self._turns.threads, self._turns.call():
            return self._answer(question)

    def _question(self, instances: list[Features | Packed], rule: str | None) -> MicroBatch:
        decision = None if rule is None else Rule.parse(rule)
        batch = self._model.new_batch(frozen=True)
        for instance in instances:
            batch.predict(instance, decision)
        return batch

    def _answer(self, question: MicroBatch) -> list[LabelSetPrediction]:
        result = self._model.apply(question)
        return [LabelSetPrediction(result.labels(op), result.scores(op)) for op in range(len(result))]

    def _pack(self, x: Any, where: str) -> Features | Packed:
        """Return an instance, checked, to wait in a batch, whatever the caller does with it; nothing changes."""
        instance = as_instance(x, where)
        packed = self._model.pack(instance)
        if packed is not x:
            return packed
        return dict(instance) if isinstance(instance, Mapping) else list(instance)

    @property
    def learned(self) -> int:
        """Instances learnt so far."""
        with self._turns.threads, self._turns.call():
            return self._model.learned

    @property
    def label_names(self) -> list[Name]:
        """Names of the known labels, in the order of `predict_one`."""
        with self._turns.threads, self._turns.call():
            return list(self._model.label_names)

    @property
    def events(self) -> list[ModelEvent]:
        """Events of the last `learn_one` or `learn_many`, in order: drift alarms, changed clusters, reset trees.

        ``op`` is the number of the instance in that call, which may be another thread's. A copied or loaded classifier
        has no events.
        """
        with self._turns.threads, self._turns.call():
            return list(self._events)

    @property
    def dropped(self) -> dict[str, int]:
        """How many values, words and labels of learnt instances were left out since this object was made, by reason.

        ``features_full`` and ``labels_full`` are beyond ``maximum_features`` and ``maximum_labels``, ``nan`` and
        ``infinite`` are values that are not finite, ``word_too_long`` and ``text_words_full`` are words of texts.
        """
        with self._turns.threads, self._turns.call():
            return dict(self._model.dropped)

    @property
    def clusters(self) -> list[list[Name]]:
        """The top-level clusters of the labels, as lists of names."""
        with self._turns.threads, self._turns.call():
            return self._model.clusters()

    def state_hash(self) -> str:
        """Return a hash of the complete state: models with equal hashes behave the same from then on."""
        with self._turns.threads, self._turns.call():
            return self._model.state_hash()

    def snapshot(self) -> LabelSetPredictor:
        """Return a copy of the classifier that predicts and never changes.

        It takes as much memory as the model. Other calls wait while the state is copied.
        """
        detectors = None
        if self._river_detectors is not None:
            detectors = RiverDetectors(self._river_detectors.prototype, self._settings.drift.cooldown_rows)
        own = {"_turns": Turns(), "_events": [], "_river_detectors": detectors}
        frozen = object.__new__(type(self))
        vars(frozen).update(vars(self), **own, _model=self._new_model(detectors))
        with self._turns.threads, self._turns.call():
            frozen._model.load_arrays(self._model.arrays())
        return LabelSetPredictor(frozen)

    def clone(self, new_params: dict[str, Any] | None = None, include_attributes: bool = False) -> Self:
        """Return a classifier with these parameters, some of them replaced, that has learnt nothing.

        With ``include_attributes`` it has learnt what this one has; detectors of river start fresh if parameters are
        replaced.

        Raises
        ------
        SnapshotError
            When what this one has learnt does not fit the new parameters.
        """
        if include_attributes and not new_params:
            return copy.deepcopy(self)
        clone = super().clone(new_params)
        if include_attributes:
            with self._turns.threads, self._turns.call():
                clone._model.load_arrays(self._model.arrays())
        return clone

    def save(self, path: File) -> None:
        """Write the classifier in the snapshot format.

        Detectors of river are not written: `load` takes such a detector as an argument, and it starts fresh. Other
        calls wait until the file is on the disk; they do not wait for the `save` of a `snapshot`.

        Parameters
        ----------
        path:
            A path, in a folder that exists; a file that is there is replaced atomically. Or a binary file object open
            for writing, such as an ``io.BytesIO``: it is written to from its position on, and stays open.

        Raises
        ------
        FileMissingError
            When the folder does not exist; this is also a ``FileNotFoundError``.
        FileAccessError
            When the file cannot be written; this is also an ``OSError``. What was at the path is unchanged.
        UsageError
            When it is neither a path nor such a file object.
        """
        with open_to_save(path) as target, self._turns.threads, self._turns.call():
            self._write(target)

    @classmethod
    def load(cls, path: File, drift_detector: str | base.DriftDetector | None = None) -> LabelHierarchyClassifier:
        """Load a classifier that was written by `save`.

        Parameters
        ----------
        path:
            A path, or a binary file object open for reading: all of it is read, whatever its position, or all that is
            left of it where it cannot seek; it stays open.
        drift_detector:
            Detector to use instead of the saved one; it starts fresh. Required if the classifier was saved with a
            detector of river.

        Raises
        ------
        FileMissingError
            When there is no file at the path; this is also a ``FileNotFoundError``.
        FileAccessError
            When the file cannot be read; this is also an ``OSError``.
        SnapshotError
            When the file is not a snapshot of a classifier, is broken, is of a newer release, or is of a model version
            that this release does not read.
        UsageError
            When it is neither a path nor such a file object, or a detector of river is needed and missing.
        """
        with open_to_load(path) as (opened, name):
            parameters, arrays = read_classifier(opened, name)
        if drift_detector is not None:
            parameters["drift_detector"] = drift_detector
        elif parameters.get("drift_detector", "") is None:
            raise UsageError(
                f"{name} was saved with a drift detector of river, which the file does not contain: "
                "pass it to load as drift_detector"
            )
        try:
            classifier = cls(**parameters)
        except UsageError as error:
            if drift_detector is not None:
                raise
            raise SnapshotError(f"{name} was saved with parameters that this release refuses: {error}") from error
        classifier._model.load_arrays(arrays)
        return classifier

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for `copy.deepcopy`, pickle and river's tools: the bytes that `save` writes, and the
        detectors of river."""
        file = io.BytesIO()
        with self._turns.threads, self._turns.call():
            self._write(file)
            state: dict[str, Any] = {"snapshot": file.getvalue()}
            if self._river_detectors is not None:
                # Copied here: pickle reads the returned value after the lock is released, and copy.copy keeps it.
                detectors = copy.deepcopy(self._river_detectors.copies)
                state |= {"drift_detector": self.drift_detector, "detectors": detectors}
        return state

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        parameters, arrays = read_classifier(io.BytesIO(state["snapshot"]), "the copied state")
        if "drift_detector" in state:
            parameters["drift_detector"] = state["drift_detector"]
        vars(self).update(parameters)
        self._reset()
        self._model.load_arrays(arrays)
        if self._river_detectors is not None:
            self._river_detectors.copies = state["detectors"]

    def _write(self, file: SnapshotFile) -> None:
        # river's _get_params gives a detector as its class and parameters.
        parameters = {name: getattr(self, name) for name in self._get_params()}
        write_classifier(file, self._model.arrays(), parameters)

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
