"""When snapshots are taken: big states are held by another process, and a long restore leaves some on its way."""

from __future__ import annotations

import logging
import os
import re
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from streamlearn.engine.journal.records import Mark
from streamlearn.engine.recovery import restore as restore_module
from streamlearn.engine.recovery import snapshot_writer as snapshots_module
from streamlearn.engine.recovery.restore import loaded, manifest_of
from streamlearn.engine.recovery.snapshot_writer import SnapshotWriter
from streamlearn.engine.tasks.task import Batch, Task
from streamlearn.engine.waiting.pending import Pending
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
def test_resuming_from_a_held_state_equals_never_having_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots_module, "FORK_BYTES", 0)
    world = World(tmp_path / "parts")
    state = run_in_parts(world)
    assert (world.predictions(), state) == uninterrupted(tmp_path / "whole")


@pytest.mark.skipif(not can_fork(), reason="only Linux may fork a process that has threads")
def test_held_state_is_that_of_the_committed_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots_module, "FORK_BYTES", 0)
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

    def late(self: Task) -> Any:
        os.read(gate, 1)
        return arrays_of(self)

    monkeypatch.setattr(Task, "arrays", late)
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
def test_a_state_that_is_held_is_collected_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    collected: list[int] = []
    arrays_of = Pending.arrays

    def noted(self: Pending) -> Any:
        collected.append(len(self))
        return arrays_of(self)

    monkeypatch.setattr(Pending, "arrays", noted)
    world = World(tmp_path, topics={"labels": "labels"})
    task = Task(world.settings, 0, [TopicPartition("instances", 0), TopicPartition("labels", 0)], "a" * 16)
    task.positions = dict.fromkeys(task.partitions, 0)
    for row in ROWS[:20]:
        world.add({"id": row["id"], "x": row["x"]})
    writer = SnapshotWriter(SnapshotStore(str(tmp_path)), GROUP, 1e9)
    records: list[RawRecord] = world.log.read(TopicPartition("instances", 0))
    for first, limit, here in ((0, 11, [10]), (10, 20, [])):
        monkeypatch.setattr(snapshots_module, "FORK_ENTRIES", limit)
        batch = Batch(task, world.clock())
        for record in records[first : first + 10]:
            batch.add(record)
        batch.run(outputs=False)
        writer.take(task)
        assert writer.wait(30)
        assert collected == here
        collected.clear()
    writer.close()
    newest = snapshots(tmp_path)[0]
    restored = Task(world.settings, 0, task.partitions, "a" * 16)
    restored.load_arrays(read_snapshot(newest)[1])
    assert state_hash(restored.arrays()) == state_hash(task.arrays())


@pytest.mark.skipif(not can_fork(), reason="only Linux may fork a process that has threads")
def test_large_pages_are_gathered_where_another_process_had_the_state(tmp_path: Path, monkeypatch: Any) -> None:
    gathered: list[list[Region]] = []
    monkeypatch.setattr(snapshots_module, "collapse_into_huge_pages", gathered.append)
    monkeypatch.setattr(snapshots_module, "find_dense_regions", lambda: [Region(1, 2)])
    writer = SnapshotWriter(SnapshotStore(str(tmp_path)), GROUP, 1e9)
    for waiting, expected in ((10, []), (2_000, [[Region(1, 2)]])):
        task = big_task(1, waiting)
        task.mark = Mark(waiting, f"{waiting:x}")
        writer.take(task)
        assert writer.wait(30)
        assert gathered == expected
    writer.close()
    assert writer.failures == 0


@pytest.mark.skipif(not can_fork(), reason="only Linux may fork a process that has threads")
def test_large_pages_are_gathered_once_for_all_tasks(tmp_path: Path, monkeypatch: Any) -> None:
    gathered: list[int] = []
    monkeypatch.setattr(
        snapshots_module, "collapse_into_huge_pages", lambda regions: gathered.append(len(snapshots(tmp_path)))
    )
    writer = SnapshotWriter(SnapshotStore(str(tmp_path)), GROUP, 0.0)
    tasks = {number: big_task(1, waiting) for number, waiting in enumerate((2_000, 2_000, 10))}
    for number, task in tasks.items():
        task.number, task.mark = number, Mark(1, f"{number:x}")
        task.lineage = f"{number}" * 16
    writer.turn(tasks)
    writer._due = float("inf")
    for _ in range(3):
        assert writer.wait(30)
        writer.turn(tasks)
    writer.close()
    assert (gathered, writer.failures) == ([3], 0)


@pytest.mark.skipif(not can_fork(), reason="only Linux may fork a process that has threads")
def test_memory_that_cannot_be_gathered_costs_no_snapshot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused() -> list[Region]:
        raise MemoryError("no room")

    monkeypatch.setattr(snapshots_module, "find_dense_regions", refused)
    writer = SnapshotWriter(SnapshotStore(str(tmp_path)), GROUP, 1e9)
    task = big_task(1, 2_000)
    for seq in (1, 2):
        task.mark = Mark(seq, f"{seq:x}")
        writer.take(task)
        assert writer.wait(30)
    writer.close()
    assert (len(snapshots(tmp_path)), writer.failures) == (2, 0)
    assert "memory was not put into large pages: MemoryError: no room" in caplog.text


def test_what_waits_is_restored_without_a_second_copy() -> None:
    settings = LabelSettings(pending_count=20_000)
    store = Pending(settings)
    for number in range(20_000):
        store.place(store.add(f"{number}", 0), bytes(1_000))
    arrays = store.arrays()
    restored = Pending(settings)
    tracemalloc.start()
    try:
        restored.load_arrays(arrays)
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert arrays["instances"].size == 20e6
    # Offsets and ids are lists for a moment.
    assert peak - held < 8e6


def test_restore_that_is_cut_off_goes_on_where_it_was(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    world = World(tmp_path, snapshot={"interval_seconds": 1e9})
    for row in ROWS:
        world.add(row)
    expected = world.run(store=False)
    last = expected.tasks[0].mark.seq
    world.change(snapshot={"interval_seconds": 1e-6})
    engine = world.engine()
    seen: list[float] = []

    def cut_off(rows: int, share: float) -> None:
        writer = engine._writer
        assert writer is not None
        assert writer.wait(30)
        seen.append(share)
        if len(seen) == 4:
            raise Crash

    engine._observer.restored = cut_off  # pyright: ignore[reportAttributeAccessIssue]
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


def test_a_restore_holds_the_state_once(tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: Any) -> None:
    monkeypatch.setattr(restore_module, "TELL_SECONDS", 0.0)
    task = big_task(50, waiting=2_000)
    store = SnapshotStore(str(tmp_path))
    entry = store.save("big", task.lineage, 0, 1, "c0ffee", task.arrays(), manifest_of(task))
    blocks: list[int] = []
    tracemalloc.start()
    try:
        with caplog.at_level(logging.INFO):
            restored = loaded(task.settings, store, entry, task.partitions, lambda: blocks.append(1))
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert state_hash(restored.arrays()) == state_hash(task.arrays())
    assert task.model.memory_bytes() > 50e6
    # Its largest array has 14 MB.
    assert peak - held < 10e6
    assert len(blocks) > 15
    read, whole = (int(number) for number in re.findall(r"-c0ffee.npz: (\d+) of (\d+) MB read", caplog.text)[-1])
    assert 0 <= whole - read <= 1


def test_a_damaged_block_ends_a_restore(tmp_path: Path) -> None:
    task = big_task(8)
    store = SnapshotStore(str(tmp_path))
    entry = store.save("big", task.lineage, 0, 1, "c0ffee", task.arrays(), manifest_of(task))
    damage(Path(entry.path))
    with pytest.raises(SnapshotError, match=r"1-c0ffee.npz.* damaged"):
        loaded(task.settings, store, entry, task.partitions)


def test_whoever_is_told_of_a_restore_may_end_it(tmp_path: Path) -> None:
    task = big_task(8)
    store = SnapshotStore(str(tmp_path))
    entry = store.save("big", task.lineage, 0, 1, "c0ffee", task.arrays(), manifest_of(task))

    def end() -> None:
        raise Crash

    with pytest.raises(Crash):
        loaded(task.settings, store, entry, task.partitions, end)


def test_every_task_is_taken_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, partitions=3, engine={"scope": "partition"}, snapshot={"interval_seconds": 1e-6})
    taken: list[bool] = []
    take = SnapshotWriter.take

    def noted(self: SnapshotWriter, task: Task) -> None:
        taken.append(self.busy)
        take(self, task)

    monkeypatch.setattr(SnapshotWriter, "turn", _without_final(SnapshotWriter.turn, noted))
    for number, row in enumerate(ROWS):
        world.add(row, partition=number % 3)
    world.run()
    assert taken
    assert not any(taken)
    assert {path.parent.name for path in snapshots(tmp_path)} == {"0", "1", "2"}


def _without_final(turn: Any, noted: Any) -> Any:
    """Note what `turn` takes; the last ones, at the end of a run, wait for each other."""

    def turned(self: SnapshotWriter, tasks: Any) -> None:
        self.take = noted.__get__(self)  # pyright: ignore[reportAttributeAccessIssue]
        turn(self, tasks)
        del self.take

    return turned
