"""The states that a worker goes through, on the memory engine."""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from streamlearn.engine.loop.engine import Engine
from streamlearn.errors import RetryableError
from streamlearn.snapshot.store import SnapshotStore
from streamlearn.source.base import AssignmentChange, RawRecord, TopicPartition
from streamlearn.source.memory import MemorySource
from tests.engine.world import GROUP, Faults, FaultyObserver, FaultySink, World, rows

ALL = (TopicPartition("instances", 0),)


class ScriptedSource(MemorySource):
    """A memory source whose group changes the assignment when a condition holds; ends the worker after the last one.

    Each step is a condition and the changes that the next poll reports once it holds.
    """

    def __init__(self, world: World, steps: Sequence[tuple[Callable[[], bool], list[AssignmentChange]]]) -> None:
        super().__init__(world.log, ["instances"], GROUP)
        self._steps = list(steps)
        self.engine: Engine

    def open(self) -> None:
        """Join without an assignment: the steps bring it."""

    def poll(self, timeout_seconds: float, limit: int) -> Mapping[TopicPartition, list[RawRecord]]:
        if not self._steps:
            self.engine.stop()
            return {}
        if self._steps[0][0]():
            self._changes.extend(self._steps.pop(0)[1])
            return {}
        if not self._positions:
            threading.Event().wait(min(timeout_seconds, 0.01))
            return {}
        return super().poll(timeout_seconds, limit)


def revoked(*partitions: TopicPartition) -> AssignmentChange:
    return AssignmentChange("revoked", partitions, None)


def assigned(*partitions: TopicPartition) -> AssignmentChange:
    return AssignmentChange("assigned", partitions, GROUP)


def run(world: World, faults: Faults, steps: Sequence[tuple[Callable[[], bool], list[AssignmentChange]]]) -> Engine:
    source = ScriptedSource(world, steps)
    sink, store = FaultySink(world.log, faults), SnapshotStore(str(world.folder))
    engine = source.engine = Engine(
        world.settings, source, sink, store, observer=FaultyObserver(faults), clock=world.clock
    )
    engine.run()
    return engine


def states(caplog: pytest.LogCaptureFixture) -> list[str]:
    changes = [r.getMessage().removeprefix("worker state: ") for r in caplog.records if r.name.endswith("worker_state")]
    assert changes[0].startswith("STARTING")
    for before, after in itertools.pairwise(changes):
        assert before.split(" -> ")[1] == after.split(" -> ")[0]
    return [change.split(" -> ")[1] for change in changes]


def test_assignment_batch_failure_settling_revocation_standby_takeover_and_stop(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "streamlearn.engine")
    world = World(tmp_path)
    for row in rows(120):
        world.add(row)
    faults = Faults("before commit", 2, RetryableError)
    engine = run(
        world,
        faults,
        [
            (lambda: True, [revoked(), assigned(*ALL)]),
            (lambda: len(world.predictions()) == 120, [revoked(*ALL)]),
            (lambda: True, [assigned()]),
            (lambda: True, [assigned(*ALL)]),
            (lambda: True, []),
        ],
    )
    assert faults.fired
    assert states(caplog) == [
        "REVOKED",
        "ASSIGNED",
        "RUNNING",
        "SETTLING",
        "RUNNING",
        "REVOKED",
        "ASSIGNED",
        "STANDING_BY",
        "ASSIGNED",
        "RUNNING",
        "STOPPING",
        "STOPPED",
    ]
    assert any("taken over warm" in message for message in caplog.messages)
    assert engine.tasks[0].model.learned == 120


def test_a_restore_that_fails_is_attempted_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "streamlearn.engine")
    world = World(tmp_path)
    for row in rows(40):
        world.add(row)
    faults = Faults("open", 1, RetryableError)
    run(world, faults, [(lambda: True, [assigned(*ALL)]), (lambda: len(world.predictions()) == 40, [])])
    assert faults.fired
    assert faults.passed["open"] == 2
    assert states(caplog) == ["ASSIGNED", "RUNNING", "STOPPING", "STOPPED"]


def test_an_unsettled_batch_is_settled_after_the_next_assignment(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The partitions are revoked while the outcome of a commit is unknown, and assigned to the same worker again."""
    caplog.set_level(logging.DEBUG, "streamlearn.engine")
    world = World(tmp_path)
    for row in rows(80):
        world.add(row)
    faults = Faults("after commit", 2, RetryableError)
    engine = run(
        world,
        faults,
        [
            (lambda: True, [assigned(*ALL)]),
            (lambda: faults.fired, [revoked(*ALL)]),
            (lambda: True, [assigned(*ALL)]),
            (lambda: len(world.predictions()) == 80 and len(states(caplog)) > 6, []),
        ],
    )
    assert states(caplog) == [
        "ASSIGNED",
        "RUNNING",
        "SETTLING",
        "REVOKED",
        "ASSIGNED",
        "SETTLING",
        "RUNNING",
        "STOPPING",
        "STOPPED",
    ]
    assert len(world.predictions()) == 80, "the batch was committed, and is not committed again"
    assert engine.tasks[0].model.learned == 80


def test_an_error_that_cannot_pass_stops_the_worker_from_any_state(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "streamlearn.engine")
    world = World(tmp_path)
    world.add(rows(1)[0])
    with pytest.raises(ZeroDivisionError):
        run(world, Faults("open", 1, ZeroDivisionError), [(lambda: True, [assigned(*ALL)]), (lambda: False, [])])
    assert states(caplog) == ["ASSIGNED", "STOPPING", "STOPPED"]


def test_an_engine_refuses_to_run_again_before_it_opens_anything(tmp_path: Path) -> None:
    world = World(tmp_path)
    for row in rows(5):
        world.add(row)
    engine = world.run()
    predictions = world.predictions()
    with pytest.raises(RuntimeError, match="has run already"):
        engine.run(stop_at_end=True)
    assert world.predictions() == predictions
    assert not world.sink.is_open
