"""Records are applied in timestamp order, although the client gives all records of one partition before the next."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from streamlearn.engine.journal import records as journal
from streamlearn.engine.loop import record_buffer as buffer
from streamlearn.engine.loop.engine import IDLE_SECONDS, STANDBY_SECONDS, Engine
from streamlearn.engine.tasks import batch
from streamlearn.engine.tasks.timestamp_merge import merge_ranges
from streamlearn.source.base import RawRecord, TopicPartition
from streamlearn.source.memory import MemorySource
from tests.engine.world import GROUP, JOURNAL, START_NS, Faults, FaultySink, World, rows

FETCHED = 900
"""Label records in one response of a broker; instances are larger, and it holds `FETCHED_INSTANCES` of them."""
FETCHED_INSTANCES = 60
BATCH = 20
POLL_SECONDS = 0.02
"""Time of one poll."""
LABEL_DELAY = 300
"""Instances between an instance and its label."""
COUNT = 1_500
LATE_POLLS = 30


class Clock:
    """The monotonic clock, moved forward by ``passed`` seconds."""

    def __init__(self) -> None:
        self.passed = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.passed


class FetchingSource(MemorySource):
    """Returns all fetched records of a partition before those of the next, as kafka-python does.

    A partition is fetched again when its fetched records are used up; a seek drops them.
    """

    def __init__(self, world: World, clock: Clock) -> None:
        topics = [world.settings.topics.instances, world.settings.topics.labels]
        super().__init__(world.log, topics, GROUP)
        self._labels = topics[1]
        self._fetched: dict[TopicPartition, int] = {}
        self._clock = clock
        self.returned = 0

    def poll(self, timeout_seconds: float, limit: int) -> Mapping[TopicPartition, list[RawRecord]]:
        self._clock.passed += POLL_SECONDS
        waiting = sorted(self._positions, key=lambda p: p.topic != self._labels)
        for partition in waiting:
            if partition not in self._fetched and not self.at_end(partition):
                size = FETCHED if partition.topic == self._labels else FETCHED_INSTANCES
                self._fetched[partition] = min(self._positions[partition] + size, len(self._log.read(partition)))
        polled: dict[TopicPartition, list[RawRecord]] = {}
        for partition, end in list(self._fetched.items()):
            position = self._positions[partition]
            records = self._log.read(partition)[position : min(end, position + limit)]
            limit -= len(records)
            self._positions[partition] = position + len(records)
            if records:
                polled[partition] = records
            if self._positions[partition] < end:
                break
            del self._fetched[partition]
        self.returned += sum(map(len, polled.values()))
        return polled

    def seek(self, partition: TopicPartition, offset: int) -> None:
        super().seek(partition, offset)
        self._fetched.pop(partition, None)


def backlog(folder: Path, partitions: int) -> World:
    """Return a world in which each label comes `LABEL_DELAY` instances after its own."""
    topics = {"labels": "labels"}
    engine = {"batch_instances": BATCH, "batch_seconds": 0.05}
    world = World(folder, partitions=partitions, topics=topics, engine=engine)
    labels: list[tuple[int, dict[str, Any]]] = []
    for number, row in enumerate(rows(COUNT)):
        labels.append((number % partitions, {"id": row["id"], "y": row.pop("y")}))
        world.add(row, partition=number % partitions, timestamp_ms=at(2 * number))
        if number >= LABEL_DELAY:
            partition, truth = labels[number - LABEL_DELAY]
            world.add(truth, topic="labels", partition=partition, timestamp_ms=at(2 * number + 1))
    return world


@pytest.mark.parametrize("partitions", [1, 3])
def test_labels_do_not_overtake_instances_while_a_worker_catches_up(
    tmp_path: Path, partitions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(buffer, "time", clock)
    world = backlog(tmp_path, partitions)
    source = FetchingSource(world, clock)
    run = Engine(world.settings, source, FaultySink(world.log, Faults()), None, clock=world.clock)
    run.run(stop_at_end=True)
    assert (run.tasks[0].model.observed, run.tasks[0].model.learned) == (COUNT, COUNT - LABEL_DELAY)
    applied = [record.timestamp_ms for records in batches(world) for record in records]
    assert applied == sorted(applied)
    assert len(applied) == 2 * COUNT - LABEL_DELAY
    assert source.returned < 3 * len(applied), "labels that are read again must not cost more than all other records"


class LateInstances(MemorySource):
    """Returns labels only in the first polls, though there are instances."""

    def __init__(self, world: World, clock: Clock) -> None:
        super().__init__(world.log, ["instances", "labels"], GROUP)
        self._clock = clock
        self.polls = 0

    def poll(self, timeout_seconds: float, limit: int) -> Mapping[TopicPartition, list[RawRecord]]:
        self._clock.passed += POLL_SECONDS
        self.polls += 1
        late = {p: at for p, at in self._positions.items() if p.topic == "instances" and self.polls < LATE_POLLS}
        polled = super().poll(timeout_seconds, limit)
        self._positions.update(late)
        return {partition: records for partition, records in polled.items() if partition not in late}


@pytest.mark.parametrize("partitions", [1, 3])
def test_a_label_that_waits_is_decoded_once(tmp_path: Path, partitions: int, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(buffer, "time", clock)
    world = World(tmp_path, partitions=partitions, topics={"labels": "labels"})
    for number in range(60):
        world.add({"id": f"{number}", "x": {"a": 1}}, partition=number % partitions, timestamp_ms=at(2 * number))
        truth = {"id": f"{number}", "y": ["news"]} if number % 7 else b"{broken"
        world.add(truth, topic="labels", partition=number % partitions, timestamp_ms=at(2 * number + 1))
    decoded: list[bytes | None] = []
    asked = 0
    decode_label, must_wait = batch.decode_label, batch.Batch.must_wait

    def decode_and_record(value: bytes | None, limits: Any) -> Any:
        decoded.append(value)
        return decode_label(value, limits)

    def ask_and_count(self: batch.Batch, label: Any) -> bool:
        nonlocal asked
        asked += 1
        return must_wait(self, label)

    monkeypatch.setattr(batch, "decode_label", decode_and_record)
    monkeypatch.setattr(batch.Batch, "must_wait", ask_and_count)
    source = LateInstances(world, clock)
    run = Engine(world.settings, source, FaultySink(world.log, Faults()), None, clock=world.clock)
    run.run(stop_at_end=True)
    assert asked > 2 * partitions, "no label had to wait"
    assert sorted(map(repr, decoded)) == sorted(repr(record.value) for record in world.read("labels"))
    assert run.tasks[0].model.learned == len(decoded) - len(world.dead())


def test_the_first_batch_of_an_assignment_is_small(tmp_path: Path) -> None:
    world = World(tmp_path, engine={"batch_instances": 2_000, "batch_seconds": 0.5})
    for row in rows(1_200):
        world.add(row)
    world.run()
    assert [len(applied) for applied in batches(world)] == [buffer.FIRST_RECORDS, 1_200 - buffer.FIRST_RECORDS]


def test_only_an_active_worker_with_an_empty_buffer_polls_long(tmp_path: Path) -> None:
    engine = {"batch_seconds": 0.02, "batch_bytes": 4_096, "batch_instances": 10}
    world = World(tmp_path, engine=engine)
    for number in range(10):
        world.add({"id": str(number), "x": {"a": 1, "text": "x" * 1_500}})
    waited: list[tuple[int, float]] = []

    class Source(MemorySource):
        def poll(self, timeout_seconds: float, limit: int) -> Mapping[TopicPartition, list[RawRecord]]:
            applied = run.tasks[0].model.observed if run.tasks else -1
            waited.append((applied, timeout_seconds))
            if applied == 10:
                run.stop()
            return super().poll(min(timeout_seconds, 0.02), limit)

    run = Engine(
        world.settings,
        Source(world.log, [world.settings.topics.instances], GROUP),
        FaultySink(world.log, Faults()),
        None,
        clock=world.clock,
    )
    run.run()
    assert waited[0] == (-1, STANDBY_SECONDS)
    with_records = [seconds for applied, seconds in waited if 0 < applied < 10]
    assert with_records
    assert max(with_records) <= engine["batch_seconds"]
    assert waited[-1] == (10, IDLE_SECONDS)


def test_what_is_at_hand_is_bounded_by_bytes_whatever_the_number_of_partitions(tmp_path: Path) -> None:
    engine = {"batch_bytes": 4_096, "batch_instances": 10}
    world = World(tmp_path, partitions=6, topics={"labels": "labels"}, engine=engine)
    for number in range(600):
        world.add({"id": f"{number}", "x": {"text": "x" * 1_000}}, partition=number % 6, timestamp_ms=at(number))
    buffered: list[int] = []

    class MeasuringSource(FetchingSource):
        def poll(self, timeout_seconds: float, limit: int) -> Mapping[TopicPartition, list[RawRecord]]:
            committed = {p: world.log.committed.get((GROUP, p)) for p in self._positions}
            buffered.append(sum(self._positions[p] - (found.offset if found else 0) for p, found in committed.items()))
            return super().poll(timeout_seconds, limit)

    run = Engine(
        world.settings, MeasuringSource(world, Clock()), FaultySink(world.log, Faults()), None, clock=world.clock
    )
    run.run(stop_at_end=True)
    assert run.tasks[0].model.observed == 600
    bound = buffer.ROOM * engine["batch_bytes"] // 1_000 + engine["batch_instances"]
    assert 15 <= max(buffered) <= bound + 1, "records of a kilobyte"


def at(moment: int) -> int:
    return START_NS // 1_000_000 + moment


def batches(world: World) -> list[list[RawRecord]]:
    """Return the records of every batch in the order in which they were applied."""
    found = []
    for entry in world.log.read(TopicPartition(JOURNAL, 0)):
        record = journal.decode(entry.value, "journal")
        if isinstance(record, journal.BatchRecord):
            ranges = {moved.of: world.log.read(moved.of)[moved.start : moved.end] for moved in record.rng}
            found.append(merge_ranges(ranges, world.settings.topics.labels))
    return found
