"""Prequential evaluation: every instance is predicted, scored, then learnt, from the first row to the last."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from streamlearn.encoder.labels import LabelTable
from streamlearn.errors import LearnerError, UsageError
from streamlearn.evaluation import calibration
from streamlearn.evaluation.baselines.base import Start
from streamlearn.evaluation.baselines.catalogue import OURS, baseline
from streamlearn.model.measures import Measures
from streamlearn.model.stream_model import StreamModel, text_fields
from streamlearn.model.warm_up import warm_up
from streamlearn.settings.rule import Rule
from streamlearn.settings.settings import Settings
from streamlearn.streams.base import Features, Stream, StreamRow

BATCH_ROWS = 500
LEAST_COLUMNS = 1_024


class AnsweredRow(NamedTuple):
    """What a learner answered to a row, before it learnt it."""

    row: int
    labels: list[str]
    scores: dict[str, float]
    seen: int
    learned: int


class Report(NamedTuple):
    """The result of one stream; `as_json` is the object that `evaluate --json` writes.

    ``remarks`` say what a baseline could not do with the stream's rows; without any the object does not have them.
    ``alarms`` are the rows at which our learner said that something got worse; they are not part of that object.
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

    @property
    def instances_per_second(self) -> float:
        """Rows over the seconds of predicting, scoring and learning."""
        return self.instances / self.seconds if self.seconds > 0 else 0.0

    def as_json(self) -> dict[str, Any]:
        """Return the report as plain values."""
        values = self._asdict()
        values["seconds"] = round(self.seconds, 6)
        del values["alarms"]
        measures, windows, remarks = (values.pop(name) for name in ("measures", "windows", "remarks"))
        return {
            **values,
            "instances_per_second": round(self.instances_per_second, 1),
            "measures": measures,
            "windows": windows,
            **({"remarks": list(remarks)} if remarks else {}),
        }


class _Runner(Protocol):
    """Takes rows in order and keeps the measures."""

    measures: Measures
    probabilities: calibration.Probabilities
    seconds: float
    alarms: list[int]

    def run(self, rows: Sequence[StreamRow], first: int) -> list[AnsweredRow]: ...

    def sizes(self) -> tuple[int, int]: ...

    def remarks(self) -> list[str]: ...


class _Ours:
    """Our learner; rows go to it in batches, which changes no result."""

    def __init__(self, settings: Settings, stream: Stream) -> None:
        warm_up(settings)
        self._model = StreamModel(settings, labels=stream.labels, features=stream.features)
        self.measures = self._model.measures
        self.probabilities = calibration.Probabilities(self._model.labels)
        self._model.learner.observer = self.probabilities
        self.seconds = 0.0
        self.alarms: list[int] = []

    def run(self, rows: Sequence[StreamRow], first: int) -> list[AnsweredRow]:
        begun = time.perf_counter()
        batch = self._model.new_batch()
        for row in rows:
            if row.y is None:
                batch.predict(self._model.pack(row.x))
            else:
                batch.predict_and_learn(self._model.pack(row.x), row.y)
        result = self._model.apply(batch)
        self.seconds += time.perf_counter() - begun
        self.probabilities.score()
        self.alarms += [
            first + event.op for event in result.events if event.kind == "drift" and event.direction == "worse"
        ]
        return [
            AnsweredRow(first + op, result.labels(op), result.scores(op), result.seen(op), result.learned(op))
            for op in range(len(rows))
        ]

    def sizes(self) -> tuple[int, int]:
        return self._model.feature_count, len(self._model.label_names)

    def remarks(self) -> list[str]:
        return []


class _Baseline:
    """Any other learner, row by row, with the same measures."""

    def __init__(self, name: str, settings: Settings, stream: Stream) -> None:
        declared = list(dict.fromkeys([*settings.labels.declared, *stream.labels]))
        self._name = name
        self._learner = baseline(name, Start(stream.features, declared, stream.columns, settings.learner.seed))
        self._labels = LabelTable(max(settings.labels.maximum, len(declared)), declared=declared)
        self._text = text_fields(settings)
        self._declared = bool(stream.features)
        self._features: set[str] = set()
        self._learned = 0
        # Baselines give label sets only, so this stays empty.
        self.probabilities = calibration.Probabilities(self._labels)
        # The scoring kernel compiles here, outside the seconds that are counted.
        self.measures = Measures(settings.measures.window, 1)
        self._score([], StreamRow({}, {}))
        self.measures = Measures(settings.measures.window, self._labels.count)
        self.seconds = 0.0
        self.alarms: list[int] = []

    def run(self, rows: Sequence[StreamRow], first: int) -> list[AnsweredRow]:
        answered = []
        for number, row in enumerate(rows, first):
            begun = time.perf_counter()
            if self._text.fields and isinstance(row.x, Mapping):
                row = row._replace(x=self._text.expanded(row.x))
            try:
                answered.append(self._step(number, row))
            except Exception as error:
                raise LearnerError(
                    f"{self._name} failed at row {number}: {type(error).__name__}: {error}; the rows before are fine: "
                    f"--limit {number}"
                ) from error
            self.seconds += time.perf_counter() - begun
            if not self._declared:
                self._features.update(_column_names(row.x))
        return answered

    def _step(self, number: int, row: StreamRow) -> AnsweredRow:
        labels = self._learner.predict(row.x)
        answered = AnsweredRow(number, list(labels), {}, number, self._learned)
        if row.y is not None:
            self._score(labels, row)
            self._learner.learn(row.x, row.y)
            self._learned += 1
        return answered

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

    def remarks(self) -> list[str]:
        return self._learner.remarks()


def evaluate_stream(
    stream: Stream,
    settings: Settings,
    *,
    learner: str = OURS,
    limit: int | None = None,
    progress: Callable[[int, dict[str, float | None]], None] | None = None,
    answered: Callable[[AnsweredRow, StreamRow], None] | None = None,
) -> Report:
    """Evaluate a learner on a stream.

    Parameters
    ----------
    stream:
        Its declared labels are known to the learner from row 0; other labels join at first mention.
    settings:
        Of the learner, and ``measures.window``.
    learner:
        ``streamlearn`` or the name of a baseline.
    limit:
        Rows at most.
    progress:
        Called with the rows so far and the measures of the window.
    answered:
        Called with every answer and its row, in order.

    Returns
    -------
    Report; its seconds are those of predicting, scoring and learning, without compiling and reading.

    Raises
    ------
    UsageError
        When the learner does not exist or the stream cannot be read.
    LearnerError
        When another library's learner fails on a row.
    """
    settings = _wide_enough(settings, stream)
    runner: _Runner = _Ours(settings, stream) if learner == OURS else _Baseline(learner, settings, stream)
    window = settings.measures.window
    windows: list[dict[str, Any]] = []
    count = 0
    for rows in _batches(stream, limit, window):
        for answer, row in zip(runner.run(rows, count), rows, strict=True):
            if answered is not None:
                answered(answer, row)
        count += len(rows)
        if count % window == 0:
            measured = runner.measures.window_at_end() | runner.probabilities.window()
            windows.append({"from": count - window, "to": count, "measures": measured})
        if progress is not None:
            progress(count, runner.measures.window_latest())
    if count % window:
        begin = count - count % window
        measured = runner.measures.window_current() | runner.probabilities.window()
        windows.append({"from": begin, "to": count, "measures": measured})
    features, labels = runner.sizes()
    if stream.features:
        features = len(stream.features)
    return Report(
        stream.name,
        learner,
        settings.learner.preset,
        str(Rule.parse(settings.learner.rule)) if learner == OURS else "",
        settings.learner.seed,
        count,
        features,
        labels,
        runner.seconds,
        runner.measures.whole() | runner.probabilities.whole.values(),
        windows,
        runner.remarks(),
        runner.alarms,
    )


def _column_names(x: Features) -> Iterator[str]:
    """Yield the names that an instance's values have as columns: a text gives one of its own."""
    named = x.items() if isinstance(x, Mapping) else ((str(position), value) for position, value in enumerate(x))
    for name, value in named:
        if value is not None:
            yield f"{name}={value}" if isinstance(value, str) else name


def _wide_enough(settings: Settings, stream: Stream) -> Settings:
    """Return settings whose feature bound fits what the stream declares, so that a small stream asks for little."""
    if not stream.columns or settings.features.hashed:
        return settings
    if stream.columns > settings.features.maximum:
        raise UsageError(
            f"{stream.name} has {len(stream.features)} features, which take {stream.columns} columns, but "
            f"features.maximum is {settings.features.maximum}: raise it with --set features.maximum={stream.columns}"
        )
    bound = min(max(stream.columns, LEAST_COLUMNS), settings.features.maximum)
    features = settings.features.model_copy(update={"maximum": bound})
    return settings.model_copy(update={"features": features})


def _batches(stream: Stream, limit: int | None, window: int) -> Iterator[list[StreamRow]]:
    """Yield rows in batches that end where windows end."""
    rows = itertools.islice(iter(stream), limit)
    taken = 0
    while True:
        size = min(BATCH_ROWS, window - taken % window)
        batch = list(itertools.islice(rows, size))
        if not batch:
            return
        taken += len(batch)
        yield batch
