"""When snapshots are taken: a fork freezes large states, and a long restore takes some on its way."""

from __future__ import annotations

import logging
import os
import re
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from streamlearn.engine.journal.records import Mark
from streamlearn.engine.observer import NullObserver
from streamlearn.engine.recovery import snapshot_manifest, snapshot_writer
from streamlearn.engine.recovery.snapshot_manifest import build_manifest, load_task
from streamlearn.engine.recovery.snapshot_writer import SnapshotWriter
from streamlearn.engine.tasks.batch import Batch
from streamlearn.engine.tasks.task import Task
from streamlearn.engine.waiting.pending_instances import Pending
from streamlearn.errors import SnapshotError
from streamlearn.settings.settings import LabelSettings
from streamlearn.snapshot.fork import can_fork
from streamlearn.snapshot.format import read_snapshot
from streamlearn.snapshot.huge_pages import Region
from streamlearn.snapshot.store import SnapshotStore
from streamlearn.source.base import RawRecord, TopicPartition
from streamlearn.state.arrays import state_hash
from tests.benchmarks.snapshots import big_task
from tests.engine.recovery.test_restore import run_in_parts, uninterrupted
from tests.engine.world import GROUP, Crash, World, rows
from tests.snapshot_faults import damage, snapshots

ROWS = rows(240)


@pytest.mark.skipif(not can_fork(), reason="only Linux may fork a process that has threads")
def test_resuming_from_a_forked_snapshot_equals_never_having_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot_writer, "FORK_BYTES", 0)
    world = World(tmp_path / "parts")
    state = run_in_parts(world)
    assert (world.predictions(), state) == uninterrupted(tmp_path / "whole")


@pytest.mark.skipif(not can_fork(), reason="only Linux may fork a process that has threads")
def test_held_state_is_that_of_the_committed_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot_writer, "FORK_BYTES", 0)
    world = World(tmp_path)
    task = Task(world.settings, 0, [TopicPartition("instances", 0)], "a" * 16)
    task.positions = {TopicPartition("instances", 0): 0}
    for row in ROWS[:60]:
        world.add(row)
    records: list[RawRecord] = world.log.read(TopicPartition("instances", 0))

    def apply(first: int, last: int) -> None:
        batch = Batch(task, world.clock())
        for record in records[first:last]:
            batch.add(record)
        batch.run(outputs=False)

    apply(0, 30)
    hash_then, mark_then = task.model.state_hash(), task.mark
    gate, opened = os.pipe()
    store = SnapshotStore(str(tmp_path))

    arrays_of = Task.arrays

    def wait_and_collect(self: Task) -> Any:
        os.read(gate, 1)
        return arrays_of(self)

    monkeypatch.setattr(Task, "arrays", wait_and_collect)
    writer = SnapshotWriter(store, GROUP, 1e9)
    writer.take(task)
    apply(30, 60)
    assert task.model.state_hash() != hash_then
    os.write(opened, b"x")
    writer.close()
    (path,) = snapshots(tmp_path)
    manifest, arrays = read_snapshot(path)
    restored = Task(world.settings, 0, task.partitions, "a" * 16)
    restored.load_arrays(arrays)
    assert (manifest["seq"], manifest["chain"]) == (mark_then.seq, mark_then.chain)
    assert restored.model.state_hash() == hash_then
    assert writer.last is not None
    assert writer.last.size_bytes == path.stat().st_size


@pytest.mark.skipif(not can_fork(), reason="only Linux may fork a process that has threads")
def test_the_arrays_of_a_forked_state_are_collected_in_the_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collected: list[int] = []
    arrays_of = Pending.arrays

    def record_size(self: Pending) -> Any:
        collected.append(len(self))
        return arrays_of(self)

    monkeypatch.setattr(Pending, "arrays", record_size)
    world = World(tmp_path, topics={"labels": "labels"})
    task = Task(world.settings, 0, [TopicPartition("instances", 0), TopicPartition("labels", 0)], "a" * 16)
    task.positions = dict.fromkeys(task.partitions, 0)
    for row in ROWS[:20]:
        world.add({"id": row["id"], "x": row["x"]})
    writer = SnapshotWriter(SnapshotStore(str(tmp_path)), GROUP, 1e9)
    records: list[RawRecord] = world.log.read(TopicPartition("instances", 0))
    for first, limit, in_parent in ((0, 11, [10]), (10, 20, [])):
        monkeypatch.setattr(snapshot_writer, "FORK_ENTRIES", limit)
        batch = Batch(task, world.clock())
        for record in records[first : first + 10]:
            batch.add(record)
        batch.run(outputs=False)
        writer.take(task)
        assert writer.wait(30)
        assert collected == in_parent
        collected.clear()
    writer.close()
    newest = snapshots(tmp_path)[0]
    restored = Task(world.settings, 0, task.partitions, "a" * 16)
    restored.load_arrays(read_snapshot(newest)[1])
    assert state_hash(restored.arrays()) == state_hash(task.arrays())


@pytest.mark.skipif(not can_fork(), reason="only Linux may fork a process that has threads")
def test_huge_pages_are_restored_after_a_fork(tmp_path: Path, monkeypatch: Any) -> None:
    collapsed: list[list[Region]] = []
    monkeypatch.setattr(snapshot_writer, "collapse_into_huge_pages", collapsed.append)
    monkeypatch.setattr(snapshot_writer, "find_dense_regions", lambda: [Region(1, 2)])
    writer = SnapshotWriter(SnapshotStore(str(tmp_path)), GROUP, 1e9)
    for waiting, expected in ((10, []), (2_000, [[Region(1, 2)]])):
        task = big_task(1, waiting)
        task.mark = Mark(waiting, f"{waiting:x}")
        writer.take(task)
        assert writer.wait(30)
        assert collapsed == expected
    writer.close()
    assert writer.failures == 0


@pytest.mark.skipif(not can_fork(), reason="only Linux may fork a process that has threads")
def test_huge_pages_are_restored_once_for_all_tasks(tmp_path: Path, monkeypatch: Any) -> None:
    collapsed: list[int] = []

    def count_snapshots(regions: list[Region]) -> None:
        collapsed.append(len(snapshots(tmp_path)))

    monkeypatch.setattr(snapshot_writer, "collapse_into_huge_pages", count_snapshots)
    writer = SnapshotWriter(SnapshotStore(str(tmp_path)), GROUP, 0.0)
    tasks = {number: big_task(1, waiting) for number, waiting in enumerate((2_000, 2_000, 10))}
    for number, task in tasks.items():
        task.number, task.mark = number, Mark(1, f"{number:x}")
        task.lineage = f"{number}" * 16
    writer.take_due(tasks)
    writer._due = float("inf")
    for _ in range(3):
        assert writer.wait(30)
        writer.take_due(tasks)
    writer.close()
    assert (collapsed, writer.failures) == ([3], 0)


@pytest.mark.skipif(not can_fork(), reason="only Linux may fork a process that has threads")
def test_a_failure_to_restore_huge_pages_costs_no_snapshot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse() -> list[Region]:
        raise MemoryError("no room")

    monkeypatch.setattr(snapshot_writer, "find_dense_regions", refuse)
    writer = SnapshotWriter(SnapshotStore(str(tmp_path)), GROUP, 1e9)
    task = big_task(1, 2_000)
    for seq in (1, 2):
        task.mark = Mark(seq, f"{seq:x}")
        writer.take(task)
        assert writer.wait(30)
    writer.close()
    assert (len(snapshots(tmp_path)), writer.failures) == (2, 0)
    assert "memory was not put into large pages: MemoryError: no room" in caplog.text


def test_pending_instances_are_restored_without_a_second_copy() -> None:
    settings = LabelSettings(pending_count=20_000)
    store = Pending(settings)
    for number in range(20_000):
        store.store_instance(store.add(f"{number}", 0), bytes(1_000))
    arrays = store.arrays()
    restored = Pending(settings)
    tracemalloc.start()
    try:
        restored.load_arrays(arrays)
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert arrays["instances"].size == 20e6
    # Offsets and ids are lists meanwhile.
    assert peak - held < 8e6


def test_an_interrupted_restore_continues_from_its_last_snapshot(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(tmp_path, snapshot={"interval_seconds": 1e9})
    for row in ROWS:
        world.add(row)
    expected = world.run(store=False)
    last = expected.tasks[0].mark.seq
    world.change(snapshot={"interval_seconds": 1e-6})
    seen: list[float] = []

    class Interrupting(NullObserver):
        def on_restore_progress(self, rows: int, share: float) -> None:
            writer = engine._worker.writer
            assert writer is not None
            assert writer.wait(30)
            seen.append(share)
            if len(seen) == 4:
                raise Crash

    engine = world.engine(observer=Interrupting())
    with pytest.raises(Crash):
        engine.run(stop_at_end=True)
    assert seen == [0.0, *(number / last for number in (1, 2, 3))]
    assert [path.name.split("-")[0] for path in snapshots(tmp_path)] == ["2", "1"]
    world.change(snapshot={"interval_seconds": 1e9})
    with caplog.at_level(logging.INFO):
        again = world.run()
    assert "reading snapshot" in caplog.text
    assert again.tasks[0].snapshot_seq == 2
    assert again.tasks[0].model.state_hash() == expected.tasks[0].model.state_hash()


def test_a_restore_has_the_state_in_memory_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: Any
) -> None:
    monkeypatch.setattr(snapshot_manifest, "PROGRESS_LOG_SECONDS", 0.0)
    task = big_task(50, waiting=2_000)
    store = SnapshotStore(str(tmp_path))
    entry = store.save("big", task.lineage, 0, 1, "c0ffee", task.arrays(), build_manifest(task))
    blocks: list[int] = []
    tracemalloc.start()
    try:
        with caplog.at_level(logging.INFO):
            restored = load_task(task.settings, store, entry, task.partitions, lambda: blocks.append(1))
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert state_hash(restored.arrays()) == state_hash(task.arrays())
    assert task.model.memory_bytes() > 50e6
    # The largest array has 14 MB.
    assert peak - held < 10e6
    assert len(blocks) > 15
    read, whole = (int(number) for number in re.findall(r"-c0ffee.npz: (\d+) of (\d+) MB read", caplog.text)[-1])
    assert 0 <= whole - read <= 1


def test_a_damaged_block_ends_a_restore(tmp_path: Path) -> None:
    task = big_task(8)
    store = SnapshotStore(str(tmp_path))
    entry = store.save("big", task.lineage, 0, 1, "c0ffee", task.arrays(), build_manifest(task))
    damage(Path(entry.path))
    with pytest.raises(SnapshotError, match=r"1-c0ffee.npz.* damaged"):
        load_task(task.settings, store, entry, task.partitions)


def test_the_progress_callback_may_end_a_restore(tmp_path: Path) -> None:
    task = big_task(8)
    store = SnapshotStore(str(tmp_path))
    entry = store.save("big", task.lineage, 0, 1, "c0ffee", task.arrays(), build_manifest(task))

    def end() -> None:
        raise Crash

    with pytest.raises(Crash):
        load_task(task.settings, store, entry, task.partitions, end)


def test_every_task_is_taken_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, partitions=3, engine={"scope": "partition"}, snapshot={"interval_seconds": 1e-6})
    taken: list[bool] = []
    take, take_due = SnapshotWriter.take, SnapshotWriter.take_due

    def take_and_record(self: SnapshotWriter, task: Task) -> None:
        taken.append(self.busy)
        take(self, task)

    def take_due_and_record(self: SnapshotWriter, tasks: Any) -> None:
        # The last snapshots, at the end of a run, wait for each other and are not recorded.
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(SnapshotWriter, "take", take_and_record)
            take_due(self, tasks)

    monkeypatch.setattr(SnapshotWriter, "take_due", take_due_and_record)
    for number, row in enumerate(ROWS):
        world.add(row, partition=number % 3)
    world.run()
    assert taken
    assert not any(taken)
    assert {path.parent.name for path in snapshots(tmp_path)} == {"0", "1", "2"}
