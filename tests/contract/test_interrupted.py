"""A classifier that is interrupted is whole, or refuses to be used."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from river import base

from streamlearn import LabelHierarchyClassifier
from streamlearn.errors import BrokenModelError, DetectorError, UsageError
from streamlearn.learner.drift.river_detector import RiverDetectors
from streamlearn.learner.ensemble_learner import EnsembleLearner

ROWS = 2_500


@pytest.fixture
def default_handler() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def _row(number: int) -> tuple[dict[str, float], set[str]]:
    return {f"f{number % 7}": 1.0 + number % 3}, {f"l{number % 5}"}


@pytest.mark.usefixtures("default_handler")
def test_an_interrupt_while_many_rows_are_learnt_leaves_a_whole_model(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    model, other = (LabelHierarchyClassifier(maximum_features=64, maximum_labels=16) for _ in range(2))
    apply = EnsembleLearner.apply

    def interrupted(learner: EnsembleLearner, operations: Any) -> Any:
        if learner.learned >= 1_000:
            signal.raise_signal(signal.SIGINT)
        return apply(learner, operations)

    X, Y = zip(*map(_row, range(ROWS)), strict=True)
    monkeypatch.setattr(EnsembleLearner, "apply", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.learn_many(X, Y)
    monkeypatch.undo()
    assert model.learned == 2_000
    other.learn_many(X[:2_000], Y[:2_000])
    assert model.state_hash() == other.state_hash()
    model.save(tmp_path / "model.npz")
    for each in (model, other):
        each.learn_many(X[2_000:], Y[2_000:])
    assert model.state_hash() == other.state_hash()


def test_events_of_many_rows_are_numbered_through() -> None:
    model = LabelHierarchyClassifier(maximum_features=64, maximum_labels=16)
    X, Y = zip(*map(_row, range(ROWS)), strict=True)
    model.learn_many(X, [*Y[:1_700], {"new"}, *Y[1_701:]])
    assert [(event.op, event.name) for event in model.events if event.kind == "label"][-1] == (1_700, "new")


def test_an_error_in_the_middle_of_a_row_makes_the_model_unusable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    model = LabelHierarchyClassifier(maximum_features=64, maximum_labels=16)
    model.learn_one(*_row(0))
    model.save(tmp_path / "model.npz")

    def fails(learner: EnsembleLearner, operations: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(EnsembleLearner, "apply", fails)
    with pytest.raises(MemoryError):
        model.learn_one(*_row(1))
    monkeypatch.undo()
    for use in (model.state_hash, lambda: model.predict({}), lambda: model.learn_one(*_row(2)), model.snapshot):
        with pytest.raises(BrokenModelError, match=r"MemoryError\(\).* load the file that was saved last"):
            use()
    before = (tmp_path / "model.npz").read_bytes()
    with pytest.raises(BrokenModelError):
        model.save(tmp_path / "model.npz")
    assert (tmp_path / "model.npz").read_bytes() == before


class FailingDetector(base.DriftDetector):
    """Raises an error at its third value."""

    def __init__(self, limit: int = 3) -> None:
        super().__init__()
        self.limit = limit
        self.values = 0

    def update(self, x: float) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        self.values += 1
        if self.values == self.limit:
            raise RuntimeError(f"value {self.values}")


def test_a_detector_that_fails_costs_no_row() -> None:
    model = LabelHierarchyClassifier(maximum_features=64, maximum_labels=16, drift_detector=FailingDetector())
    other = LabelHierarchyClassifier(maximum_features=64, maximum_labels=16, drift_detector=FailingDetector(10**9))
    X, Y = zip(*map(_row, range(40)), strict=True)
    with pytest.raises(DetectorError, match=r"FailingDetector raised RuntimeError\('value 3'\): .* are learnt"):
        model.learn_many(X, Y)
    other.learn_many(X, Y)
    assert model.learned == 40
    assert model.state_hash() == other.state_hash()
    model.learn_one(*_row(40))


def test_the_failure_of_a_detector_is_raised_before_another_call_gets_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    model = LabelHierarchyClassifier(maximum_features=64, maximum_labels=16, drift_detector=FailingDetector())
    free: list[bool] = []

    def try_lock() -> None:
        free.append(model._turns.threads.acquire(blocking=False))

    def raise_failure(self: RiverDetectors) -> None:
        thread = threading.Thread(target=try_lock)
        thread.start()
        thread.join()

    monkeypatch.setattr(RiverDetectors, "raise_failure", raise_failure)
    model.learn_one(*_row(0))
    assert free == [False]


class UncloneableDetector(FailingDetector):
    def clone(self, new_params: dict[str, Any] | None = None, include_attributes: bool = False) -> Any:
        raise TypeError("no copies")


def test_a_detector_that_cannot_be_copied_is_refused() -> None:
    with pytest.raises(UsageError, match=r"UncloneableDetector cannot be copied.*no copies"):
        LabelHierarchyClassifier(drift_detector=UncloneableDetector())
