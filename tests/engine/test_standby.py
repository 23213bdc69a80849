"""A stand-by holds the active worker's model, writes nothing, and takes over at the committed mark."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streamlearn.engine import standby
from streamlearn.engine.journal.records import Range
from streamlearn.engine.loop import task_factory
from streamlearn.engine.loop.engine import Engine
from streamlearn.engine.recovery.replay import Replay
from streamlearn.errors import RetryableError
from streamlearn.source.base import RawRecord
from tests.engine.world import JOURNAL, Crash, Faults, FaultyObserver, WaitingSource, World, rows
from tests.snapshot_faults import alter_weights, snapshots

ROWS = rows(240)
SECONDS = 20.0


class Worker:
    """A second worker in its own thread."""

    def __init__(self, engine: Engine, source: WaitingSource, observer: FaultyObserver) -> None:
        self.engine = engine
        self.source = source
        self.observer = observer

    @property
    def standby(self) -> standby.Standby | None:
        return self.engine._rebalancer.standby

    @property
    def status(self) -> standby.StandbyStatus:
        return standby.StandbyStatus("waiting") if self.standby is None else self.standby.status

    def wait(self, what: str, condition: Callable[[], bool]) -> None:
        never = threading.Event()
        for _ in range(int(SECONDS / 0.01)):
            if condition():
                return
            never.wait(0.01)
        pytest.fail(f"not within {SECONDS:.0f} s: {what}; the stand-by is {self.status}")

    def wait_at(self, seq: int) -> None:
        self.wait(f"sequence {seq}", lambda: self.status.mark is not None and self.status.mark.seq == seq)


@contextlib.contextmanager
def second(world: World) -> Iterator[Worker]:
    """Run a second worker beside the first one."""
    engine, source, observer = world.waiting()
    failed: list[BaseException] = []

    def run() -> None:
        try:
            engine.run()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield Worker(engine, source, observer)
    finally:
        engine.stop()
        thread.join(SECONDS)
    assert not thread.is_alive()
    assert not failed, failed


@pytest.fixture
def no_restore(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where an active worker restores a model."""

    def refuse(*arguments: object) -> None:
        raise AssertionError("the model was restored, not taken over")

    monkeypatch.setattr(task_factory, "Restore", refuse)


def fill(world: World, first: int = 0, last: int = len(ROWS)) -> None:
    for number, row in enumerate(ROWS[first:last]):
        world.add(row, partition=number % world.log.partitions("instances"))


def uninterrupted(folder: Path, partitions: int = 1) -> tuple[list[bytes], str]:
    world = World(folder, partitions=partitions)
    fill(world)
    engine = world.run()
    return world.predictions(), engine.tasks[0].model.state_hash()


def test_stand_by_follows_every_batch_and_writes_nothing(tmp_path: Path) -> None:
    world = World(tmp_path)
    with second(world) as worker:
        worker.wait("nothing to follow", lambda: worker.status.state == "waiting")
        assert world.journal() == []
        for part in range(3):
            fill(world, part * 80, part * 80 + 80)
            active = world.run()
            written = {topic: len(world.read(topic)) for topic in (JOURNAL, "predictions", "events", "metrics")}
            committed = dict(world.log.committed)
            kept = snapshots(tmp_path)
            worker.wait_at(active.tasks[0].mark.seq)
            assert worker.status == standby.StandbyStatus("following", active.tasks[0].mark, 0)
            assert {topic: len(world.read(topic)) for topic in written} == written
            assert world.log.committed == committed
            assert snapshots(tmp_path) == kept


def test_takeover_during_a_transaction_equals_one_uninterrupted_run(tmp_path: Path, no_restore: None) -> None:
    world = World(tmp_path / "two")
    with second(world) as worker:
        fill(world, 0, 120)
        first = world.engine(Faults("before commit", 3))
        with pytest.raises(Crash):
            first.run(stop_at_end=True)
        worker.wait_at(2)
        fill(world, 120)
        worker.source.promote()
        worker.wait("every answer", lambda: len(world.predictions()) == len(ROWS))
    assert "active" in worker.observer.roles
    assert (world.predictions(), worker.engine.tasks[0].model.state_hash()) == uninterrupted(tmp_path / "one")


def test_takeover_of_several_partitions_and_late_labels(tmp_path: Path, no_restore: None) -> None:
    world = World(tmp_path, partitions=3, topics={"labels": "labels"})
    with second(world) as worker:
        for number, row in enumerate(ROWS[:120]):
            world.add({"id": row["id"], "x": row["x"]}, partition=number % 3)
            world.add({"id": row["id"], "y": row["y"]}, topic="labels", partition=number % 3)
        with pytest.raises(Crash):
            world.engine(Faults("after commit", 4)).run(stop_at_end=True)
        worker.wait_at(4)
        worker.source.promote()
        worker.wait("every answer", lambda: len(world.predictions()) == 120)
        worker.wait("every label", lambda: worker.engine.tasks[0].model.learned == 120)
    assert not world.dead()


def test_worker_that_loses_the_active_role_stands_by_with_its_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path)
    with second(world) as worker:
        fill(world, 0, 120)
        worker.source.promote()
        worker.wait("answers", lambda: len(world.predictions()) == 120)

        def refuse(*arguments: object, **named: object) -> None:
            raise AssertionError("the model was restored, not kept")

        monkeypatch.setattr(standby, "Restore", refuse)
        monkeypatch.setattr(task_factory, "Restore", refuse)
        worker.source.demote()
        worker.wait("standing by", lambda: worker.status.state == "following")
        monkeypatch.undo()
        fill(world, 120)
        active = world.run()
        monkeypatch.setattr(task_factory, "Restore", refuse)
        worker.wait_at(active.tasks[0].mark.seq)
        worker.source.promote()
        worker.wait("active", lambda: 0 in worker.engine.tasks)
    assert worker.engine.tasks[0].model.state_hash() == active.tasks[0].model.state_hash()


def test_stand_by_whose_model_fails_verification_restores_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path)
    fill(world, 0, 80)
    world.run()
    fill(world, 80, 160)
    world.run()
    kept = snapshots(tmp_path)
    for path in kept:
        alter_weights(path)
    monkeypatch.setattr(standby, "RETRY_SECONDS", 0.01)
    with second(world) as worker:
        worker.wait("following", lambda: worker.status.state == "following")
        # The altered weights are found with the first batch that is verified.
        fill(world, 160, 200)
        for path in kept:
            path.unlink()
        active = world.run()
        worker.wait_at(active.tasks[0].mark.seq)
    assert worker.status.state == "following"


def test_stand_by_keeps_its_model_when_reading_fails_after_a_change_of_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standby, "READ_AGAIN_SECONDS", 0.01)
    reading = Replay._read
    failures: list[str] = []

    def fail_once(self: Replay, moved: Range, count: int, where: str) -> list[RawRecord]:
        if world.settings.learner.rule == "subset" and not failures:
            failures.append(where)
            raise RetryableError("no broker answers")
        return reading(self, moved, count, where)

    monkeypatch.setattr(Replay, "_read", fail_once)
    world = World(tmp_path)
    with second(world) as worker:
        fill(world, 0, 120)
        worker.wait_at(world.run().tasks[0].mark.seq)
        world.change(learner={"rule": "subset"})
        fill(world, 120)
        active = world.run()
        worker.wait("the end", lambda: worker.status.mark == active.tasks[0].mark or worker.status.state == "cold")
        assert worker.status.state == "following", worker.status
    assert failures
    assert worker.observer.attempts == ["failed: stand_by", "again: stand_by"]


def test_a_new_model_is_followed_from_its_beginning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standby, "RETRY_SECONDS", 0.01)
    world = World(tmp_path)
    with second(world) as worker:
        fill(world, 0, 120)
        worker.wait_at(world.run().tasks[0].mark.seq)
        world.log.create("instances")
        world.log.committed.clear()
        fill(world, 120)
        active = world.run(lineage="b" * 16)
        worker.wait("the new model", lambda: worker.status.mark == active.tasks[0].mark)


def test_cold_stand_by_does_not_follow(tmp_path: Path) -> None:
    world = World(tmp_path, engine={"standby": "cold"})
    with second(world) as worker:
        fill(world, 0, 120)
        world.run()
        assert worker.standby is None
        fill(world, 120)
        worker.source.promote()
        worker.wait("every answer", lambda: len(world.predictions()) == len(ROWS))
    assert worker.observer.roles[0] == "stand-by"


def test_lag_is_what_is_committed_and_not_applied(tmp_path: Path) -> None:
    world = World(tmp_path)
    fill(world, 0, 40)
    world.run()
    with second(world) as worker:
        worker.wait_at(1)
        assert worker.standby is not None
        with worker.standby._changed:
            fill(world, 40)
            active = world.run()
            worker.wait("the lag to show", lambda: worker.status.lag_batches > 0)
            worker.wait_at(1)
        worker.wait_at(active.tasks[0].mark.seq)
        worker.wait("no lag", lambda: worker.status.lag_batches == 0)


def test_a_stand_by_leaves_the_group_before_its_thread_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process may end about a second after a signal, and would keep its place in the group."""
    world = World(tmp_path)
    steps: list[str] = []
    join = standby.Standby.close

    def close(self: standby.Standby) -> None:
        steps.append("thread joined")
        join(self)

    monkeypatch.setattr(standby.Standby, "close", close)
    with second(world) as worker:
        worker.wait("it to stand by", lambda: worker.standby is not None)
        left = worker.source.close

        def leave(*, leave: bool) -> None:
            assert worker.standby is not None
            assert worker.standby._ended, "the thread is not asked to end"
            assert worker.engine.is_disconnecting
            steps.append("disconnected")
            left(leave=leave)

        monkeypatch.setattr(worker.source, "close", leave)
        assert worker.engine.is_member
    assert steps == ["disconnected", "thread joined"]
    assert not worker.engine.is_member
