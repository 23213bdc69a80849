"""A drain ends each model on a snapshot at its committed point, and changes nothing else."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from streamlearn.errors import JournalError, NotDrainedError, OffsetLostError, RetryableError, StopError, UsageError
from streamlearn.source.base import AssignmentChange, Committed, TopicPartition
from tests.engine import world as world_module
from tests.engine.loop.test_last_snapshots import ROWS, fill_the_disk, make_world, newest
from tests.engine.world import GROUP, JOURNAL, Crash, Faults, FaultyObserver, FaultySink, FaultySource, World
from tests.snapshot_faults import snapshots

INSTANCES = TopicPartition("instances", 0)


def content(world: World) -> tuple[Any, ...]:
    """Return everything that a drain must not change."""
    topics = ("instances", "predictions", "events", "dead-letters", JOURNAL)
    return dict(world.log.committed), [world.read(topic) for topic in topics]


def drain(world: World, **options: Any) -> None:
    """Drain; nothing but snapshots may change, however it ends."""
    before = content(world)
    try:
        world.engine(**options).drain()
    finally:
        assert content(world) == before


def committed(world: World, partition: int = 0) -> str:
    return world.log.committed[GROUP, TopicPartition("instances", partition)].metadata


@pytest.mark.parametrize("point", ["before commit", "after commit", "applied"])
def test_a_drain_after_a_kill_ends_on_the_committed_point_without_new_records(tmp_path: Path, point: str) -> None:
    quiet, world = make_world(tmp_path / "quiet", 200), make_world(tmp_path / "killed", 160)
    expected = quiet.run().tasks[0]
    with pytest.raises(Crash):
        world.run(Faults(point, 3))
    for row in ROWS[160:]:
        world.add(row)
    drain(world)
    assert newest(tmp_path / "killed") == [committed(world)]
    assert world.sink.requests == []
    engine = world.run()
    assert engine.tasks[0].snapshot_seq == (3 if point == "after commit" else 2)
    assert world.predictions() == quiet.predictions()
    assert engine.tasks[0].model.state_hash() == expected.model.state_hash()


def test_a_model_that_is_drained_is_left_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world = make_world(tmp_path)
    world.run()
    fill_the_disk(monkeypatch)
    with caplog.at_level(logging.INFO):
        drain(world)
    assert f"task 0 is drained: its newest snapshot is at the committed point {committed(world)}" in caplog.text


def test_without_a_model_there_is_nothing_to_drain(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    world = make_world(tmp_path)
    with caplog.at_level(logging.INFO):
        drain(world)
    assert "task 0: nothing was committed, so there is nothing to drain" in caplog.text
    assert snapshots(tmp_path) == []


def test_a_model_whose_offsets_are_gone_is_not_taken_for_none(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    world.run(store=False)
    world.log.committed.clear()
    with pytest.raises(JournalError, match="no offsets are committed, but group-journal"):
        drain(world)


def test_settings_that_changed_are_journalled_by_the_next_run_and_not_by_the_drain(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    world.run(store=False)
    world.change(learner={"scores_top": 3})
    drain(world)
    assert newest(tmp_path) == [committed(world)]
    world.add(ROWS[80])
    world.run()
    assert [record["type"] for record in world.journal()][3:] == ["settings", "batch"]


def test_a_setting_that_is_fixed_for_the_model_is_refused(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    world.run(store=False)
    world.change(learner={"seed": 99})
    with pytest.raises(UsageError, match=r"learner.seed is 99, but the model in the journal began with"):
        drain(world)


def test_every_model_of_the_assigned_partitions_is_drained(tmp_path: Path) -> None:
    world = World(tmp_path, partitions=3, engine={"scope": "partition"}, snapshot={"interval_seconds": 1e9})
    for number, row in enumerate(ROWS):
        world.add(row, partition=number % 2)
    world.run(store=False)
    drain(world)
    assert sorted((path.parent.name, path.stem.replace("-", ":")) for path in snapshots(tmp_path)) == [
        (str(number), committed(world, number)) for number in range(2)
    ]


def test_a_snapshot_that_cannot_be_written_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = make_world(tmp_path)
    world.run(store=False)
    fill_the_disk(monkeypatch)
    with pytest.raises(NotDrainedError, match=r"task 0 is committed at 2:.*, but it has no snapshot: .*No space left"):
        drain(world)


def test_a_stop_before_the_model_is_restored_is_an_error(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    world.run(store=False)

    class Stopping(FaultyObserver):
        def on_restore_progress(self, rows: int, share: float) -> None:
            engine.stop()

    engine = world.engine(observer=Stopping(Faults()))
    with pytest.raises(NotDrainedError, match="the worker was stopped before its models were restored"):
        engine.drain()
    assert engine.has_nothing_to_save
    assert snapshots(tmp_path) == []


def test_a_stop_while_the_snapshot_is_written_lets_it_be_written(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    world.run(store=False)

    class Stopping(FaultyObserver):
        def on_role(self, role: str, tasks: Any) -> None:
            if role == "stopping":
                engine.stop()

    engine = world.engine(observer=Stopping(Faults()))
    engine.drain()
    assert newest(tmp_path) == [committed(world)]


def test_a_worker_without_partitions_ends_and_names_the_active_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Second(FaultySource):
        def open(self) -> None:
            self._changes.append(AssignmentChange("assigned", (), GROUP))

        def holders(self) -> list[str]:
            return ["w0 on host-0"]

    world = make_world(tmp_path)
    world.run(store=False)
    monkeypatch.setattr(world_module, "FaultySource", Second)
    with pytest.raises(StopError, match=r"w0 on host-0 is active. Stop that one with SIGTERM, which drains it"):
        drain(world)


def test_a_worker_that_commits_meanwhile_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = make_world(tmp_path)
    world.run(store=False)
    entry = world.log.committed[GROUP, INSTANCES]

    class Overtaken(FaultyObserver):
        def on_role(self, role: str, tasks: Any) -> None:
            if role == "stopping":
                world.log.committed[GROUP, INSTANCES] = Committed(entry.offset + 1, f"3:{'c' * 24}")

    with pytest.raises(StopError, match=r"committed at 2:\w+ and is committed at 3:c+ now: another worker"):
        world.engine(observer=Overtaken(Faults())).drain()


@pytest.mark.parametrize("choice", ["stop", "earliest"])
def test_records_that_cannot_be_read_do_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, choice: str
) -> None:
    world = make_world(tmp_path)
    world.run(store=False)
    world.add(ROWS[80])
    world.change(engine={"on_offset_lost": choice})
    monkeypatch.setattr("streamlearn.engine.loop.retry.LONGEST_BACKOFF_SECONDS", 0.01)

    class Lost(FaultySource):
        polls = 0

        def poll(self, timeout_seconds: float, limit: int) -> Any:
            self.polls += 1
            raise OffsetLostError("offsets to read are no longer kept")

        def keep_alive(self) -> bool:
            return True

    monkeypatch.setattr(world_module, "FaultySource", Lost)
    drain(world, faults=Faults("open", 1, lambda: RetryableError("the first attempt fails")))
    assert world.source.polls > 1  # type: ignore[attr-defined]
    assert newest(tmp_path) == [committed(world)]


def test_what_a_predecessor_left_open_is_ended_before_the_committed_point_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(tmp_path)
    world.run(store=False)
    entry = world.log.committed.pop((GROUP, INSTANCES))
    opened = FaultySink.open

    def settle(self: FaultySink) -> None:
        opened(self)
        world.log.committed[GROUP, INSTANCES] = entry

    monkeypatch.setattr(FaultySink, "open", settle)
    world.engine().drain()
    assert newest(tmp_path) == [entry.metadata]


def test_brokers_that_fail_at_the_end_are_asked_again(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    world.run(store=False)
    faults = Faults("read committed", 2, lambda: RetryableError("no broker answers"))
    drain(world, faults=faults)
    assert faults.fired
    assert newest(tmp_path) == [committed(world)]
