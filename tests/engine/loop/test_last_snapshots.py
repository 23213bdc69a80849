"""A stop succeeds only if every model that the worker held ends on a snapshot at its committed point."""

from __future__ import annotations

import errno
import logging
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from streamlearn.engine.loop.engine import Engine
from streamlearn.errors import NotDrainedError, RetryableError
from streamlearn.snapshot import store as store_module
from streamlearn.snapshot.store import SnapshotStore
from streamlearn.source.base import AssignmentChange, RawRecord, TopicPartition
from streamlearn.source.memory import MemorySource
from tests.engine import world as world_module
from tests.engine.world import GROUP, Faults, FaultyObserver, FaultySource, World, rows
from tests.snapshot_faults import snapshots

ROWS = rows(200)


def make_world(folder: Path, count: int = 80, **sections: dict[str, Any]) -> World:
    world = World(folder, snapshot={"interval_seconds": 1e9}, **sections)
    for row in ROWS[:count]:
        world.add(row)
    return world


def fill_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, write: Callable[[Any], None]) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(store_module, "write_atomically", refuse)


def newest(folder: Path) -> list[str]:
    """Return the marks of the snapshots, newest first, as the names of their files have them."""
    return [path.stem.replace("-", ":") for path in snapshots(folder)]


def test_a_snapshot_that_cannot_be_written_is_an_error_with_what_is_committed_and_what_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(tmp_path)
    before = world.run().tasks[0].mark
    world.add(ROWS[80])
    with monkeypatch.context() as full:
        fill_the_disk(full)
        with pytest.raises(NotDrainedError) as raised:
            world.run()
    committed = world.log.committed[GROUP, TopicPartition("instances", 0)].metadata
    (path,) = snapshots(tmp_path)
    text = str(raised.value)
    assert text.startswith(f"not drained: task 0 is committed at {committed}, but its newest snapshot is {path}: ")
    assert "No space left on device" in text
    assert "run `streamlearn run --drain`" in text
    assert newest(tmp_path) == [str(before)]
    assert len(world.predictions()) == 81
    world.run()
    assert newest(tmp_path) == [committed, str(before)]


def test_a_location_that_is_no_folder_is_an_error_and_a_model_without_a_batch_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    world = make_world(tmp_path / "file", 0)
    world.run()
    world.add(ROWS[0])
    with pytest.raises(NotDrainedError, match=r"task 0 is committed at 1:.*, but it has no snapshot: cannot write "):
        world.run()


@pytest.mark.parametrize("point", ["before commit", "after commit"])
def test_a_batch_whose_commit_fails_as_the_worker_stops_is_settled_first(tmp_path: Path, point: str) -> None:
    world = make_world(tmp_path)

    def stop_and_fail() -> Exception:
        engine.stop()
        return RetryableError("no answer")

    engine = world.engine(Faults(point, 2, stop_and_fail))
    engine.run()
    assert len(world.predictions()) == 80
    assert newest(tmp_path)[0] == world.log.committed[GROUP, TopicPartition("instances", 0)].metadata


def test_a_commit_that_fails_in_a_rebalance_is_settled_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(tmp_path)
    polls_left = 3

    class Rebalancing(FaultySource):
        """After the commit failed it has lost its partitions, and gets them back some polls later."""

        def poll(self, timeout_seconds: float, limit: int) -> Any:
            nonlocal polls_left
            if not engine._worker.stopping.is_set() or not polls_left:
                return super().poll(0.0, limit)
            polls_left -= 1
            owned = tuple(self._positions)
            if polls_left == 2:
                self._changes.append(AssignmentChange("revoked", owned, None))
            elif not polls_left:
                self._changes.append(AssignmentChange("assigned", owned, GROUP))
            return {}

    def stop_and_fail() -> Exception:
        engine.stop()
        return RetryableError("the membership has changed")

    monkeypatch.setattr("tests.engine.world.FaultySource", Rebalancing)
    engine = world.engine(Faults("before commit", 2, stop_and_fail))
    engine.run()
    assert not polls_left
    assert len(world.predictions()) == 80
    assert newest(tmp_path)[0] == world.log.committed[GROUP, TopicPartition("instances", 0)].metadata


@pytest.mark.parametrize("point", ["before commit", "after commit"])
def test_a_batch_whose_commit_is_not_settled_in_time_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    monkeypatch.setattr("streamlearn.engine.loop.engine.SETTLE_SECONDS", 0.0)
    world = make_world(tmp_path)

    def stop_and_fail() -> Exception:
        engine.stop()
        return RetryableError("no answer")

    engine = world.engine(Faults(point, 2, stop_and_fail))
    with pytest.raises(NotDrainedError, match=r"committed at 1:\w+ or at 2:\w+: the outcome of its last commit"):
        engine.run()
    assert len(world.predictions()) == (40 if point == "before commit" else 80)
    assert snapshots(tmp_path) == []
    world.run()
    assert len(world.predictions()) == 80


def test_a_snapshot_that_was_removed_since_is_written_again(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    world.change(snapshot={"interval_seconds": 1e-6})
    removed: list[str] = []

    class Removing(FaultyObserver):
        def on_snapshots(self, failures: int, last: Any) -> None:
            writer = engine._worker.writer
            assert writer is not None
            assert writer.wait(30)
            if len(world.predictions()) == 80 and newest(tmp_path) and not removed:
                removed.extend(newest(tmp_path))
                shutil.rmtree(tmp_path)

    engine = world.engine(observer=Removing(Faults()))
    engine.run(stop_at_end=True)
    assert removed
    assert newest(tmp_path)[0] == str(engine.tasks[0].mark)


def test_old_snapshots_that_cannot_be_removed_do_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world = make_world(tmp_path)

    def refuse(self: SnapshotStore, *arguments: Any) -> None:
        raise PermissionError("not permitted")

    monkeypatch.setattr(SnapshotStore, "prune", refuse)
    engine = world.run()
    assert newest(tmp_path) == [str(engine.tasks[0].mark)]
    assert "older snapshots not removed: PermissionError: not permitted" in caplog.text


def test_a_stand_by_has_nothing_to_save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = make_world(tmp_path)
    world.run(store=False)
    fill_the_disk(monkeypatch)
    engine, _, observer = world.waiting()
    thread = threading.Thread(target=engine.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 120
    while (standby := engine._rebalancer.standby) is None or standby.status.state != "following":
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert engine.has_nothing_to_save
    engine.stop()
    thread.join(30)
    assert not thread.is_alive()
    assert observer.roles == ["stopping"]


class Unassigned(FaultySource):
    """Gets no assignment, and stops its worker after a while."""

    engine: Engine

    def open(self) -> None:
        pass

    def poll(self, timeout_seconds: float, limit: int) -> Mapping[TopicPartition, list[RawRecord]]:
        self.engine.stop()
        return {}


def test_a_worker_that_waits_for_an_assignment_has_nothing_to_save(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(tmp_path)
    world.run(store=False)
    fill_the_disk(monkeypatch)
    monkeypatch.setattr(world_module, "FaultySource", Unassigned)
    engine = Unassigned.engine = world.engine()
    engine.run()
    assert engine.has_nothing_to_save


def test_a_worker_that_restores_has_nothing_to_save(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world = make_world(tmp_path)
    world.run(store=False)
    fill_the_disk(monkeypatch)

    class Stopping(FaultyObserver):
        def on_restore_progress(self, rows: int, share: float) -> None:
            engine.stop()

    engine = world.engine(observer=Stopping(Faults()))
    with caplog.at_level(logging.INFO):
        engine.run()
    assert engine.has_nothing_to_save
    assert "stopped during a restore" in caplog.text


class Growing(FaultySource):
    """Has the first partition, and gets the second one as well once everything of the first one is answered."""

    is_grown = False

    def open(self) -> None:
        super().open()
        self._changes.clear()
        self._positions = dict.fromkeys([TopicPartition("instances", 0)], 0)
        self._changes.append(AssignmentChange("assigned", tuple(self._positions), GROUP))

    def poll(self, timeout_seconds: float, limit: int) -> Mapping[TopicPartition, list[RawRecord]]:
        polled = MemorySource.poll(self, timeout_seconds, limit)
        if len(self._log.read(TopicPartition("predictions", 0))) == 81 and not self.is_grown:
            self.is_grown = True
            owned = tuple(TopicPartition("instances", number) for number in range(2))
            self._positions.update({owned[1]: 0})
            self._changes.append(AssignmentChange("revoked", owned[:1], None))
            self._changes.append(AssignmentChange("assigned", owned, GROUP))
        return polled


@pytest.mark.parametrize("is_full", [False, True])
def test_a_stop_while_a_worker_restores_another_model_saves_those_that_it_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_full: bool
) -> None:
    world = World(tmp_path, partitions=2, engine={"scope": "partition"}, snapshot={"interval_seconds": 1e9})
    for number, row in enumerate(ROWS[:80]):
        world.add(row, partition=number % 2)
    world.run(store=False)
    world.add(ROWS[80], partition=0)
    monkeypatch.setattr(world_module, "FaultySource", Growing)

    class Stopping(FaultyObserver):
        def on_restore_progress(self, rows: int, share: float) -> None:
            if len(world.predictions()) == 81:
                assert not engine.has_nothing_to_save
                engine.stop()

    engine = world.engine(observer=Stopping(Faults()))
    if is_full:
        fill_the_disk(monkeypatch)
        with pytest.raises(NotDrainedError, match=r"not drained: task 0 is committed at 3:[^;]*$"):
            engine.run()
        return
    engine.run()
    assert [path.parent.name for path in snapshots(tmp_path)] == ["0"]
    assert newest(tmp_path) == [world.log.committed[GROUP, TopicPartition("instances", 0)].metadata]
