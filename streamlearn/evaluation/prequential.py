"""Prequential evaluation: each instance is predicted, scored, then learnt, from the first row to the last."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from streamlearn.encoder.labels import LabelTable
from streamlearn.errors import LearnerError, UsageError
from streamlearn.evaluation.baselines.base import BaselineSetup
from streamlearn.evaluation.baselines.catalogue import STREAMLEARN, baseline
from streamlearn.evaluation.calibration import CalibrationWatcher
from streamlearn.evaluation.curve import Curve
from streamlearn.evaluation.row_notes import RowNotes
from streamlearn.model.measures import Measures
from streamlearn.model.stream_model import StreamModel, text_fields
from streamlearn.model.warm_up import warm_up
from streamlearn.settings.changed import changed_settings
from streamlearn.settings.rule import Rule
from streamlearn.settings.settings import Settings
from streamlearn.streams.base import Features, Stream, StreamRow

BATCH_ROWS = 500
NAMES_KEPT = 100
"""Label names in a report at most."""

MODEL_SECTIONS = ("learner", "drift", "labels", "features", "encoder", "limits", "measures")
"""Sections of the settings that an evaluation depends on."""

MIN_COLUMNS = 1_024
"""Smallest feature bound that is derived from the declared columns of a stream."""


class RowPrediction(NamedTuple):
    """The prediction for a row, made before the row was learnt.

    ``seen`` and ``learned`` are the rows predicted and learnt before it.
    """

    row: int
    labels: list[str]
    scores: dict[str, float]
    seen: int
    learned: int


class Report(NamedTuple):
    """The result of a learner on one stream; `as_json` is the object that `evaluate --json` writes.

    ``remarks`` say what is surprising about the rows of the stream, and what a baseline could not do with them; without
    any, the object has no such key.
    ``alarms`` are the rows at which streamlearn raised a drift alarm of direction ``worse``; the object lacks them.
    ``settings`` are those of the model that differ from the defaults. ``labels_from`` says where the stream has its
    labels from, and ``label_names`` are the first `NAMES_KEPT` of them. ``curve`` has the measures of equal spans of
    rows, in more detail than ``windows`` on a short stream. ``calibration`` has the bins of the calibration error.
    """

    stream: str
    learner: str
    preset: str
    rule: str
    seed: int
    instances: int
    features: int
    labels: int
    seconds: float
    measures: dict[str, float | None]
    windows: list[dict[str, Any]]
    remarks: Sequence[str] = ()
    alarms: Sequence[int] = ()
    settings: Mapping[str, Any] = {}
    labels_from: str = ""
    label_names: Sequence[str] = ()
    curve: Sequence[Mapping[str, Any]] = ()
    calibration: Sequence[Mapping[str, Any]] = ()

    @property
    def instances_per_second(self) -> float:
        """Rows per second of predicting, scoring and learning."""
        return self.instances / self.seconds if self.seconds > 0 else 0.0

    def as_json(self) -> dict[str, Any]:
        """Return the report as plain values for JSON."""
        values = self._asdict()
        values["seconds"] = round(self.seconds, 6)
        del values["alarms"]
        measures, windows, remarks, curve, calibration = (
            values.pop(name) for name in ("measures", "windows", "remarks", "curve", "calibration")
        )
        return {
            **values,
            "instances_per_second": round(self.instances_per_second, 1),
            "measures": measures,
            "windows": windows,
            "curve": list(curve),
            "calibration": list(calibration),
            **({"remarks": list(remarks)} if remarks else {}),
        }


class _Runner(Protocol):
    """Runs a learner over rows in order and keeps the measures."""

    measures: Measures
    calibration: CalibrationWatcher
    seconds: float
    alarms: list[int]

    def run(self, rows: Sequence[StreamRow], first: int) -> list[RowPrediction]:
        """Predict, score and learn rows, of which ``first`` is the number of the first one."""
        ...

    def sizes(self) -> tuple[int, int]:
        """Return the number of features and of labels seen so far."""
        ...

    def label_names(self) -> Sequence[Any]:
        """Return the names of the labels known."""
        ...

    def remarks(self) -> list[str]:
        """Return the remarks of the report."""
        ...

    def dropped(self) -> Mapping[str, int]:
        """Return the number of values that were left out, by reason."""
        ...


class _ModelRunner:
    """Runs the model of this package, in batches, which do not change the results."""

    def __init__(self, settings: Settings, stream: Stream) -> None:
        warm_up(settings)
        self._model = StreamModel(settings, labels=stream.labels, features=_features_with_columns(stream))
        self.measures = self._model.measures
        self.calibration = CalibrationWatcher(self._model.labels)
        self._model.learner.observer = self.calibration
        self.seconds = 0.0
        self.alarms: list[int] = []

    def run(self, rows: Sequence[StreamRow], first: int) -> list[RowPrediction]:
        start_time = time.perf_counter()
        batch = self._model.new_batch()
        for row in rows:
            if row.y is None:
                batch.predict(self._model.pack(row.x))
            else:
                batch.predict_and_learn(self._model.pack(row.x), row.y)
        result = self._model.apply(batch)
        self.seconds += time.perf_counter() - start_time
        self.calibration.score()
        self.alarms += [
            first + event.op for event in result.events if event.kind == "drift" and event.direction == "worse"
        ]
        # The names in streams are texts.
        answers: Iterator[tuple[list[Any], dict[Any, float], int, int]] = result.answers(range(len(rows)))
        return [RowPrediction(first + op, *answer) for op, answer in enumerate(answers)]

    def sizes(self) -> tuple[int, int]:
        return self._model.feature_count, len(self._model.label_names)

    def label_names(self) -> Sequence[Any]:
        return self._model.label_names

    def remarks(self) -> list[str]:
        return []

    def dropped(self) -> Mapping[str, int]:
        return self._model.dropped


class _BaselineRunner:
    """Runs a baseline row by row, with the same measures."""

    def __init__(self, name: str, settings: Settings, stream: Stream) -> None:
        declared = list(dict.fromkeys([*settings.labels.declared, *stream.labels]))
        self._name = name
        columns = stream.columns + (settings.encoder.text_columns if stream.texts else 0)
        setup = BaselineSetup(_features_with_columns(stream), declared, columns, settings.learner.seed)
        self._learner = baseline(name, setup)
        self._labels = LabelTable(max(settings.labels.maximum, len(declared)), declared=declared)
        self._text = text_fields(settings)
        self._declared = bool(stream.features)
        self._features: set[str] = set()
        self._learned = 0
        # Baselines predict label sets only, so this stays empty.
        self.calibration = CalibrationWatcher(self._labels)
        # Compile the scoring kernel here, outside the measured seconds.
        self.measures = Measures(settings.measures.window, 1)
        self._score([], StreamRow({}, {}))
        self.measures = Measures(settings.measures.window, self._labels.count)
        self.seconds = 0.0
        self.alarms: list[int] = []

    def run(self, rows: Sequence[StreamRow], first: int) -> list[RowPrediction]:
        predictions = []
        for number, row in enumerate(rows, first):
            start_time = time.perf_counter()
            if self._text.fields and isinstance(row.x, Mapping):
                row = row._replace(x=self._text.replace_texts(row.x))
            try:
                predictions.append(self._step(number, row))
            except Exception as error:
                raise LearnerError(
                    f"{self._name} failed at row {number}: {type(error).__name__}: {error}; to evaluate only the "
                    f"rows before it, use --limit {number}"
                ) from error
            self.seconds += time.perf_counter() - start_time
            if not self._declared:
                self._features.update(_column_names(row.x))
        return predictions

    def _step(self, number: int, row: StreamRow) -> RowPrediction:
        labels = self._learner.predict(row.x)
        prediction = RowPrediction(number, list(labels), {}, number, self._learned)
        if row.y is not None:
            self._score(labels, row)
            self._learner.learn(row.x, row.y)
            self._learned += 1
        return prediction

    def _score(self, labels: Sequence[str], row: StreamRow) -> None:
        assert row.y is not None
        truth = self._labels.resolve(row.y)
        self.measures.grow(self._labels.count)
        emitted = [slot for name in labels if (slot := self._labels.find(name)) is not None]
        self.measures.score_rows(
            np.array([0, len(emitted)], np.int64),
            np.array(emitted, np.int32),
            np.array([0, len(truth.slots)], np.int64),
            np.array(truth.slots, np.int32),
            np.array(truth.signs, np.int8),
            np.array([truth.complete], np.int8),
            np.array([self._labels.count], np.int32),
        )

    def sizes(self) -> tuple[int, int]:
        return len(self._features), self._labels.count

    def label_names(self) -> Sequence[Any]:
        return self._labels.names

    def remarks(self) -> list[str]:
        return self._learner.remarks()

    def dropped(self) -> Mapping[str, int]:
        return {}


def evaluate_stream(
    stream: Stream,
    settings: Settings,
    *,
    learner: str = STREAMLEARN,
    limit: int | None = None,
    on_progress: Callable[[int, dict[str, float | None]], None] | None = None,
    on_prediction: Callable[[RowPrediction, StreamRow], None] | None = None,
) -> Report:
    """Evaluate a learner on a stream.

    Parameters
    ----------
    stream:
        The stream. The learner knows its declared labels from row 0; other labels join at first mention.
    settings:
        The settings of the learner, and ``measures.window``.
    learner:
        ``streamlearn`` or the name of a baseline.
    limit:
        Maximum number of rows.
    on_progress:
        Called with the number of rows so far and the measures of the latest window.
    on_prediction:
        Called with every prediction and its row, in order.

    Returns
    -------
    The report; its seconds cover predicting, scoring and learning, but neither compilation nor reading.

    Raises
    ------
    UsageError
        When the learner does not exist, the stream cannot be read, or no row of it has a truth.
    LearnerError
        When another library's learner fails on a row.
    """
    notes = RowNotes(stream, settings)
    settings = _encode_texts(settings, stream)
    changed = changed_settings(settings, MODEL_SECTIONS)
    settings = _fit_feature_bound(settings, stream)
    runner: _Runner = (
        _ModelRunner(settings, stream) if learner == STREAMLEARN else _BaselineRunner(learner, settings, stream)
    )
    window = settings.measures.window
    windows: list[dict[str, Any]] = []
    curve = Curve()
    count = 0
    for rows in _batches(stream, limit, window, curve):
        notes.add(rows)
        for prediction, row in zip(runner.run(rows, count), rows, strict=True):
            if on_prediction is not None:
                on_prediction(prediction, row)
        count += len(rows)
        if curve.rows_left(count - len(rows)) == len(rows):
            curve.add(count, runner.measures, runner.calibration.whole)
        if count % window == 0:
            measures = runner.measures.window_at_end() | runner.calibration.window()
            windows.append({"from": count - window, "to": count, "measures": measures})
        if on_progress is not None:
            on_progress(count, runner.measures.window_latest())
    notes.check()
    if count % window:
        measures = runner.measures.window_current() | runner.calibration.window()
        windows.append({"from": count - count % window, "to": count, "measures": measures})
    curve.end(count, runner.measures, runner.calibration.whole)
    features, labels = runner.sizes()
    if stream.features:
        features = len(stream.features)
    return Report(
        stream.name,
        learner,
        settings.learner.preset,
        str(Rule.parse(settings.learner.rule)) if learner == STREAMLEARN else "",
        settings.learner.seed,
        count,
        features,
        labels,
        runner.seconds,
        runner.measures.whole() | runner.calibration.whole.values(),
        windows,
        [*notes.remarks({**stream.dropped, **runner.dropped()}), *runner.remarks()],
        runner.alarms,
        changed,
        stream.labels_from,
        [str(name) for name in runner.label_names()[:NAMES_KEPT]],
        curve.spans(),
        runner.calibration.whole.bins(),
    )


def _column_names(x: Features) -> Iterator[str]:
    """Yield the column names of an instance's values; each text value is a column ``name=text``."""
    items = x.items() if isinstance(x, Mapping) else ((str(position), value) for position, value in enumerate(x))
    for name, value in items:
        if value is not None:
            yield f"{name}={value}" if isinstance(value, str) else name


def _features_with_columns(stream: Stream) -> list[str]:
    """Return the declared features that are not texts, whose words have columns instead."""
    texts = set(stream.texts)
    return [name for name in stream.features if name not in texts]


def _encode_texts(settings: Settings, stream: Stream) -> Settings:
    """Return settings with the texts of the stream among the text fields."""
    if not stream.texts:
        return settings
    fields = tuple(dict.fromkeys([*settings.encoder.text_fields, *stream.texts]))
    return settings.model_copy(update={"encoder": settings.encoder.model_copy(update={"text_fields": fields})})


def _fit_feature_bound(settings: Settings, stream: Stream) -> Settings:
    """Return settings with the feature bound reduced to the declared columns, which saves memory.

    Raises
    ------
    UsageError
        When the stream declares more columns than ``features.maximum``.
    """
    if not stream.columns or settings.features.hashed:
        return settings
    columns = stream.columns
    if columns > settings.features.maximum:
        raise UsageError(
            f"{stream.name} has {len(stream.features)} features in {columns} columns, but features.maximum is "
            f"{settings.features.maximum}: raise it with --set features.maximum={columns}"
        )
    if stream.texts:
        columns += settings.encoder.text_columns
    bound = min(max(columns, MIN_COLUMNS), settings.features.maximum)
    features = settings.features.model_copy(update={"maximum": bound})
    return settings.model_copy(update={"features": features})


def _batches(stream: Stream, limit: int | None, window: int, curve: Curve) -> Iterator[list[StreamRow]]:
    """Yield rows in batches that do not cross the end of a window or of a span of the curve."""
    rows = itertools.islice(iter(stream), limit)
    count = 0
    while True:
        size = min(BATCH_ROWS, window - count % window, curve.rows_left(count))
        batch = list(itertools.islice(rows, size))
        if not batch:
            return
        count += len(batch)
        yield batch
