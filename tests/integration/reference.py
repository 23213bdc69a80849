"""The reference for every run: a single uninterrupted run over the same journal.

The records are read by consumers outside of the group; the reference model never stops, restores or rebalances. Its
outputs must equal, byte for byte, what the workers committed together.
"""

from __future__ import annotations

import json
import zlib
from collections import defaultdict, deque
from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
from msgspec.structs import replace

from streamlearn.engine.journal import records as journal
from streamlearn.engine.tasks.batch import Batch
from streamlearn.engine.tasks.task import Task
from streamlearn.engine.tasks.timestamp_merge import merge_ranges
from streamlearn.settings.loading import load_settings
from streamlearn.settings.settings import Settings
from streamlearn.source.base import RawRecord, TopicPartition
from tests.integration.service import Service


def settings_of(service: Service, *, labels: bool, more: Sequence[str] = ()) -> Settings:
    arguments = service.settings(labels=labels, more=more)
    return load_settings(None, arguments[1::2], {}).settings


def read_raw(service: Service, topic: str) -> list[RawRecord]:
    return [
        RawRecord(r.topic, r.partition, r.offset, r.timestamp, r.key, r.value, r.headers)
        for r in service.read_topic(topic)
    ]


def assert_equals_an_uninterrupted_run(service: Service, settings: Settings) -> None:
    """Apply the journalled ranges in the journalled order and compare every output."""
    topics = settings.topics
    inputs: dict[TopicPartition, deque[RawRecord]] = defaultdict(deque)
    for topic in filter(None, (topics.instances, topics.labels)):
        for record in read_raw(service, topic):
            inputs[TopicPartition(topic, record.partition)].append(record)
    written: dict[str, dict[int, list[bytes | None]]] = {}
    for topic in (topics.predictions, topics.events, topics.dead_letters):
        written[topic] = defaultdict(list)
        for record in read_raw(service, topic):
            written[topic][record.partition].append(record.value)
    partitions = {topic: service.partitions(topic) for topic in written}
    expected: dict[str, dict[int, list[bytes | None]]] = {topic: defaultdict(list) for topic in written}
    tasks: dict[int, Task] = {}
    states: dict[tuple[int, int, str], dict[str, np.ndarray]] = {}
    entries = read_raw(service, settings.journal_topic)
    records = [journal.decode(entry.value, f"{entry.offset}") for entry in entries]
    rolled_back_to = {(r.task, r.to.seq, r.to.chain) for r in records if isinstance(r, journal.RollbackRecord)}
    for entry, record in zip(entries, records, strict=True):
        if isinstance(record, journal.LineageRecord):
            assert record.task not in tasks, "a second model was started"
            task = tasks[record.task] = Task(
                settings, record.task, [TopicPartition(p.topic, p.partition) for p in record.positions], record.id
            )
            task.positions = {TopicPartition(p.topic, p.partition): p.offset for p in record.positions}
            task.preamble.append(entry.value or b"")
            continue
        if isinstance(record, journal.RollbackRecord):
            task = tasks[record.task] = _roll_back(
                tasks[record.task], record, states[record.task, record.to.seq, record.to.chain]
            )
            expected[topics.events][0].append(_rollback_event(task, record))
            continue
        assert isinstance(record, journal.BatchRecord), f"unexpected record in the journal: {record}"
        task = tasks[record.task]
        rows: dict[TopicPartition, list[RawRecord]] = {}
        for moved, count in zip(record.rng, record.n, strict=True):
            assert task.positions[moved.of] == moved.start, f"the journal's ranges leave a gap: {record}"
            rows[moved.of] = _take_before(moved.end, inputs[moved.of])
            assert len(rows[moved.of]) == count
            assert all(r.offset >= moved.start for r in rows[moved.of])
        ordered = merge_ranges(rows, topics.labels)
        assert zlib.crc32(b"".join(r.value or b"" for r in ordered)) == record.crc
        batch = Batch(task, record.now)
        for row in ordered:
            batch.add(row)
        applied, _ = batch.run(outputs=True)
        assert task.mark == journal.Mark(record.seq, record.chain), f"another chain at {record}"
        if (record.task, record.seq, record.chain) in rolled_back_to:
            states[record.task, record.seq, record.chain] = {
                name: array.copy() for name, array in task.arrays().items()
            }
        for output in applied.outputs:
            expected[output.topic][output.partition % partitions[output.topic]].append(output.value)
    if len(tasks) > 1:
        # The models share one partition of events, in which their order is not defined.
        for values in (*written[topics.events].values(), *expected[topics.events].values()):
            values.sort(key=lambda value: value or b"")
    assert written == expected
    for task in tasks.values():
        committed = service.committed(list(task.positions))
        assert committed == {p: (offset, str(task.mark)) for p, offset in task.positions.items()}, (
            "the committed offsets differ from those of the journal's last record"
        )


def _take_before(end: int, records: deque[RawRecord]) -> list[RawRecord]:
    """Remove the records before an offset from the front, and return them."""
    taken = []
    while records and records[0].offset < end:
        taken.append(records.popleft())
    return taken


def _roll_back(task: Task, record: journal.RollbackRecord, state: dict[str, np.ndarray]) -> Task:
    """Return the model as it was at the rollback's target, at the current positions."""
    assert (record.seq, record.before) == (task.mark.seq + 1, task.mark.chain)
    assert [tuple(position) for position in map(_parts, record.positions)] == [
        (*partition, offset) for partition, offset in sorted(task.positions.items())
    ], "a rollback moves no position"
    back = Task(task.settings, task.number, task.partitions, task.lineage)
    back.load_arrays(state)
    back.positions = task.positions
    body = replace(record, chain="")
    digest = blake2b(bytes.fromhex(record.before), digest_size=12)
    digest.update(journal.encode(body))
    back.mark = journal.Mark(record.seq, digest.hexdigest())
    assert back.mark.chain == record.chain
    return back


def _parts(position: journal.Position) -> tuple[str, int, int]:
    return position.topic, position.partition, position.offset


def _rollback_event(task: Task, record: journal.RollbackRecord) -> bytes:
    row = task.model.learned
    event = {
        "schema_version": 1,
        "kind": "rollback",
        "at": {"row": row, "now_ns": record.now},
        "scope": "model",
        "name": "",
        "signal": "sequence",
        "direction": "none",
        "before": float(record.seq - 1),
        "after": float(record.to.seq),
        "n": 0,
        "since_row": row,
        "action": "rollback",
    }
    return json.dumps(event, separators=(",", ":")).encode()
