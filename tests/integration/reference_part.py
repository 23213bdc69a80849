"""One uninterrupted run of a release over a part of a journal, in memory: the parts of a reference that needs several.

Run in a process of another release, `main` reads a part from a file and writes what it gives to another.
"""

from __future__ import annotations

import json
import pickle
import zlib
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from msgspec.structs import replace

from streamlearn._version import MODEL_VERSION
from streamlearn.engine.journal import records as journal
from streamlearn.engine.tasks.batch import Batch
from streamlearn.engine.tasks.journalled_settings import with_journalled_settings
from streamlearn.engine.tasks.task import Task
from streamlearn.engine.tasks.timestamp_merge import merge_ranges
from streamlearn.migrations.registry import migrate
from streamlearn.settings.loading import load_settings
from streamlearn.settings.settings import Settings
from streamlearn.source.base import RawRecord, TopicPartition

Position = tuple[str, int]
Output = tuple[str, int, bytes | None]


class State(NamedTuple):
    """A model at a mark, as a release had it in memory."""

    model_version: int
    settings: dict[str, Any]
    lineage: str
    positions: dict[Position, int]
    now_ns: int
    arrays: dict[str, np.ndarray]


class Part(NamedTuple):
    """The journal of one task between two points, which one release runs.

    ``entries`` are journal records, as bytes, that follow ``mark`` and ``state``; those of a new model when ``state``
    is None. ``again`` are applied before them once more, as an upgrade does. States at the marks ``kept`` are returned.
    """

    task: int
    model_version: int
    mark: tuple[int, str]
    state: State | None
    again: list[bytes]
    entries: list[bytes]
    kept: set[tuple[int, str]]


class PartResult(NamedTuple):
    """What a part gives: outputs, the kept states, and the last mark and positions."""

    outputs: list[Output]
    states: dict[tuple[int, str], State]
    mark: tuple[int, str]
    positions: dict[Position, int]


def run_part(settings: Settings, inputs: Mapping[Position, Sequence[RawRecord]], part: Part) -> PartResult:
    """Apply the journalled ranges of a part in the journalled order.

    Parameters
    ----------
    settings:
        The settings of the workers.
    inputs:
        All records of each partition, by offset.
    part:
        The part.

    Raises
    ------
    AssertionError
        When this release, from the part's start, does not come to what the journal has.
    """
    assert part.model_version == MODEL_VERSION, "the part is another release's"
    return _Run(settings, inputs, part).result()


class _Run:
    def __init__(self, settings: Settings, inputs: Mapping[Position, Sequence[RawRecord]], part: Part) -> None:
        self._settings = settings
        self._inputs = inputs
        self._part = part
        self._offsets = {partition: [record.offset for record in records] for partition, records in inputs.items()}
        self._outputs: list[Output] = []
        self._states: dict[tuple[int, str], State] = {}
        self._task: Task | None = None

    @property
    def task(self) -> Task:
        assert self._task is not None, "the model has not begun"
        return self._task

    def result(self) -> PartResult:
        part = self._part
        if part.state is not None:
            self._task = _load(self._settings, part.task, journal.Mark(*part.mark), part.state)
        for data in part.again:
            self._apply(data, again=True)
        for data in part.entries:
            record = self._apply(data, again=False)
            if isinstance(record, journal.NumberedRecord) and (record.seq, record.chain) in part.kept:
                self._states[record.seq, record.chain] = _state_of(self.task)
        positions = {tuple(partition): offset for partition, offset in self.task.positions.items()}
        return PartResult(self._outputs, self._states, (self.task.mark.seq, self.task.mark.chain), positions)

    def _apply(self, data: bytes, *, again: bool) -> journal.JournalRecord:
        record = journal.decode(data, "the journal")
        if isinstance(record, journal.LineageRecord):
            assert self._task is None, "a second model was started"
            partitions = [TopicPartition(p.topic, p.partition) for p in record.positions]
            self._task = Task(self._settings, record.task, partitions, record.id)
            self.task.positions = {TopicPartition(p.topic, p.partition): p.offset for p in record.positions}
            self.task.preamble.append(data)
        elif isinstance(record, journal.ControlRecord):
            assert not record.lost
            self.task.preamble.append(data)
        elif isinstance(record, journal.RollbackRecord):
            self._roll_back(record, again)
        elif isinstance(record, journal.UpgradeRecord):
            self._upgrade(record)
        else:
            assert isinstance(record, journal.BatchRecord), f"unexpected record in the journal: {record}"
            self._apply_batch(record, again)
        return record

    def _apply_batch(self, record: journal.BatchRecord, again: bool) -> None:
        task = self.task
        rows: dict[TopicPartition, list[RawRecord]] = {}
        for moved, count in zip(record.rng, record.n, strict=True):
            assert task.positions[moved.of] == moved.start, f"the journal's ranges leave a gap: {record}"
            rows[moved.of] = self._read(moved)
            assert len(rows[moved.of]) == count
        ordered = merge_ranges(rows, self._settings.topics.labels)
        assert zlib.crc32(b"".join(r.value or b"" for r in ordered)) == record.crc
        batch = Batch(task, record.now, record.v)
        for row in ordered:
            batch.add(row)
        applied, _ = batch.run(outputs=not again)
        if again:
            assert task.mark.seq == record.seq
            return
        assert task.mark == record.mark, f"another chain at {record}"
        self._outputs.extend((each.topic, each.partition, each.value) for each in applied.outputs)

    def _read(self, moved: journal.Range) -> list[RawRecord]:
        offsets = self._offsets[moved.topic, moved.partition]
        first, last = (bisect_left(offsets, offset) for offset in (moved.start, moved.end))
        return list(self._inputs[moved.topic, moved.partition][first:last])

    def _roll_back(self, record: journal.RollbackRecord, again: bool) -> None:
        """Take the mark of a rollback: the part begins with the state that it went to."""
        task = self.task
        assert record.mark.chain == _chain_of(record)
        assert task.mark == record.to or (again and task.mark.seq == record.to.seq)
        task.positions = {TopicPartition(p.topic, p.partition): p.offset for p in record.positions}
        task.mark = record.mark
        task.now_ns = record.now
        if not again:
            before, after = float(record.seq - 1), float(record.to.seq)
            row = task.model.learned
            self._add_event(record.now, "rollback", "sequence", before, after, rows=0, since_row=row)

    def _upgrade(self, record: journal.UpgradeRecord) -> None:
        """Take the mark of an upgrade: the rows since its base were applied again."""
        task = self.task
        assert record.mark.chain == _chain_of(record)
        assert task.mark == journal.Mark(record.seq - 1, record.learned), "the rows give another chain"
        assert _positions_of(record) == task.positions, "an upgrade moves no position"
        task.mark = record.mark
        task.now_ns = record.now
        since_row = max(0, task.model.learned - record.rows)
        before, after = float(record.from_version), float(record.to_version)
        self._add_event(record.now, "upgrade", "model_version", before, after, rows=record.rows, since_row=since_row)

    def _add_event(
        self, now: int, kind: str, signal: str, before: float, after: float, *, rows: int, since_row: int
    ) -> None:
        event = {
            "schema_version": 1,
            "kind": kind,
            "at": {"row": self.task.model.learned, "now_ns": now},
            "scope": "model",
            "name": "",
            "signal": signal,
            "direction": "none",
            "before": before,
            "after": after,
            "n": rows,
            "since_row": since_row,
            "action": kind,
        }
        self._outputs.append((self._settings.topics.events, 0, json.dumps(event, separators=(",", ":")).encode()))


def _positions_of(record: journal.RollbackRecord | journal.UpgradeRecord) -> dict[TopicPartition, int]:
    return {TopicPartition(p.topic, p.partition): p.offset for p in record.positions}


def _chain_of(record: journal.RollbackRecord | journal.UpgradeRecord) -> str:
    digest = blake2b(bytes.fromhex(record.before), digest_size=12)
    digest.update(journal.encode(replace(record, chain="")))
    return digest.hexdigest()


def _state_of(task: Task) -> State:
    positions = {tuple(partition): offset for partition, offset in task.positions.items()}
    arrays = {name: array.copy() for name, array in task.arrays().items()}
    return State(MODEL_VERSION, task.journalled_settings, task.lineage, positions, task.now_ns, arrays)


def _load(settings: Settings, number: int, mark: journal.Mark, state: State) -> Task:
    journalled, arrays = migrate(state.model_version, state.settings, state.arrays)
    partitions = [TopicPartition(*partition) for partition in state.positions]
    task = Task(with_journalled_settings(settings, journalled), number, partitions, state.lineage)
    task.load_arrays(arrays)
    task.positions = {TopicPartition(*partition): offset for partition, offset in state.positions.items()}
    task.mark = mark
    task.now_ns = state.now_ns
    return task


def main(arguments: Sequence[str]) -> None:
    """Run a part: the settings of the workers, the file of the inputs, that of the part, and that of the result."""
    *settings, inputs, part, result = arguments
    made = run_part(
        load_settings(None, settings, {}).settings,
        pickle.loads(Path(inputs).read_bytes()),
        pickle.loads(Path(part).read_bytes()),
    )
    Path(result).write_bytes(pickle.dumps(made))
