"""A call in the middle of another one of its thread is an error, and the interrupted call gives what it gives alone."""

from __future__ import annotations

import io
import pickle
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from river import base

from streamlearn import LabelHierarchyClassifier
from streamlearn.errors import DetectorError, ReentryError
from streamlearn.learner.ensemble_learner import EnsembleLearner

Model = LabelHierarchyClassifier
SIZES: dict[str, Any] = {"maximum_features": 64, "maximum_labels": 16}
CALLS: dict[str, Callable[[Model], Any]] = {
    "learn_one": lambda model: model.learn_one({"a": 1}, {"p"}),
    "learn_many": lambda model: model.learn_many([], []),
    "predict": lambda model: model.predict({"a": 1}),
    "predict_many": lambda model: model.predict_many([]),
    "predict_one": lambda model: model.predict_one({"a": 1}),
    "predict_proba_one": lambda model: model.predict_proba_one({"a": 1}),
    "learned": lambda model: model.learned,
    "label_names": lambda model: model.label_names,
    "events": lambda model: model.events,
    "dropped": lambda model: model.dropped,
    "clusters": lambda model: model.clusters,
    "state_hash": lambda model: model.state_hash(),
    "snapshot": lambda model: model.snapshot(),
    "clone": lambda model: model.clone({"rule": "f1"}, include_attributes=True),
    "save": lambda model: model.save(io.BytesIO()),
    "pickle": lambda model: pickle.dumps(model),
}


def row(number: int) -> tuple[dict[str, float], set[str]]:
    return {f"f{number % 7}": 1.0 + number % 3}, {f"l{number % 5}"}


def learnt(rows: int, **chosen: Any) -> Model:
    model = Model(**SIZES, **chosen)
    model.learn_many(*zip(*map(row, range(rows)), strict=True))
    return model


@pytest.fixture
def alarm() -> Iterator[Callable[[Callable[[], object]], None]]:
    """Return a function that sets the handler of SIGALRM."""
    before = signal.getsignal(signal.SIGALRM)
    yield lambda handler: signal.signal(signal.SIGALRM, lambda *_: handler()) and None
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("name", CALLS)
def test_a_signal_in_the_middle_of_a_row(
    name: str, alarm: Callable[[Callable[[], object]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, refused = learnt(5), []
    apply = EnsembleLearner.apply

    def handler() -> None:
        with pytest.raises(ReentryError, match=r"a signal handler, drift detector, .*: set a flag there") as error:
            CALLS[name](model)
        refused.append(error.value)

    def interrupted(learner: EnsembleLearner, operations: Any) -> Any:
        monkeypatch.setattr(EnsembleLearner, "apply", apply)
        signal.raise_signal(signal.SIGALRM)
        monkeypatch.setattr(EnsembleLearner, "apply", interrupted)
        return apply(learner, operations)

    alarm(handler)
    monkeypatch.setattr(EnsembleLearner, "apply", interrupted)
    for number in range(5, 8):
        model.learn_one(*row(number))
        model.predict(row(number)[0])
    monkeypatch.undo()
    assert len(refused) == 6
    assert model.state_hash() == learnt(8).state_hash()
    CALLS[name](model)


def test_signals_at_any_time(alarm: Callable[[Callable[[], object]], None]) -> None:
    model, seen, refused = Model(**SIZES), [], []

    def handler() -> None:
        try:
            seen.append((model.learned, model.state_hash()))
        except ReentryError as error:
            refused.append(error)
        signal.setitimer(signal.ITIMER_REAL, 0.002)

    alarm(handler)
    signal.setitimer(signal.ITIMER_REAL, 0.002)
    rows = 0
    while len(refused) < 10 and rows < 5_000:
        model.learn_one(*row(rows))
        rows += 1
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert refused, "no signal came in the middle of a row"
    serial = Model(**SIZES)
    hashes = [serial.state_hash()]
    for number in range(rows):
        serial.learn_one(*row(number))
        hashes.append(serial.state_hash())
    assert model.state_hash() == hashes[-1]
    assert all(hashes[learned] == state for learned, state in seen)


class Curious(base.DriftDetector):
    """Uses the classifier that it watches."""

    def __init__(self, use: Callable[[], object] = int) -> None:
        super().__init__()
        self.use = use

    def update(self, x: float) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        self.use()


def test_a_drift_detector_that_uses_the_classifier() -> None:
    models: list[Model] = []
    models.append(Model(**SIZES, drift_detector=Curious(lambda: models[0].learned if models else 0)))
    with pytest.raises(DetectorError, match="raised ReentryError") as failed:
        models[0].learn_many(*zip(*map(row, range(5)), strict=True))
    assert isinstance(failed.value.__cause__, ReentryError)
    assert models[0].learned == 5
    assert models[0].state_hash() == learnt(5, drift_detector=Curious()).state_hash()


def test_a_file_that_uses_the_classifier() -> None:
    model = learnt(5)

    class Writing(io.BytesIO):
        def write(self, data: Any) -> int:
            model.learn_one({}, set())
            return super().write(data)

    with pytest.raises(ReentryError):
        model.save(Writing())
    assert model.state_hash() == learnt(5).state_hash()


def test_an_iterator_may_use_the_classifier() -> None:
    model = learnt(5)

    def instances() -> Iterator[dict[str, float]]:
        for number in range(5, 8):
            model.predict_one(row(number)[0])
            yield row(number)[0]

    model.learn_many(instances(), [row(number)[1] for number in range(5, 8)])
    assert model.state_hash() == learnt(8).state_hash()
