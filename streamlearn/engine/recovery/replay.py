"""Applying journalled batches again, without output, and proving each.

Row counts, the values' CRC and the chain must be those of the journal. A state that differs in one bit of one weight
gives another chain.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from streamlearn.engine.journal import records as journal
from streamlearn.engine.journal.reader import Entry
from streamlearn.engine.tasks.journalled_settings import with_journalled_settings
from streamlearn.engine.tasks.task import Batch, Task
from streamlearn.engine.tasks.timestamp_merge import merged
from streamlearn.errors import JournalError, OffsetLostError, SnapshotError
from streamlearn.settings.settings import Settings
from streamlearn.source.base import RangeReader, RawRecord, Source, TopicPartition


class Replay:
    """Moves a task along its journal.

    Parameters
    ----------
    settings:
        The settings of this run.
    source:
        Where the input is read again; a reader for each partition stays open until `close`.
    task:
        The task, at a committed point.
    origin:
        Where its state comes from, to be named when it proves to be altered.
    """

    def __init__(self, settings: Settings, source: Source, task: Task, origin: str) -> None:
        self._settings = settings
        self._source = source
        self._task = task
        self._origin = origin
        self._inputs: dict[TopicPartition, RangeReader] = {}

    def apply(self, entry: Entry) -> int:
        """Apply the next record of the journal, and return how many rows it had.

        Raises
        ------
        JournalError, OffsetLostError, SnapshotError
            When the record does not follow from the task's state, or the input is not what was applied.
        """
        task, record = self._task, entry.record
        if isinstance(record, journal.BatchRecord):
            rows = self._batch(record)
            task.journal_offset = entry.offset
            return rows
        if isinstance(record, journal.RollbackRecord):
            self._roll_back(record)
            task.journal_offset = entry.offset
            return 0
        if isinstance(record, journal.SettingsRecord):
            task.change(with_journalled_settings(self._settings, record.settings))
        elif isinstance(record, journal.ControlRecord):
            task.lose(record.lost)
            for lost in record.lost:
                behind = self._inputs.pop(lost.of, None)
                if behind is not None:
                    behind.close()
        task.preamble.append(entry.data)
        return 0

    def close(self) -> None:
        """Give the connections back."""
        for reader in self._inputs.values():
            reader.close()
        self._inputs = {}

    def _roll_back(self, record: journal.RollbackRecord) -> None:
        task, to = self._task, record.to
        where = f"task {task.number}, sequence {record.seq}"
        if record != record.sealed():
            raise JournalError(f"{where}: the rollback's record does not have the chain that belongs to it")
        if task.mark != journal.Mark(to.seq, to.chain):
            raise SnapshotError(
                f"{self._origin}: it leads to {task.mark}, but the rollback at {where} went to {to.seq}:{to.chain}"
            )
        # They read on from where the state stood, and it goes on elsewhere.
        self.close()
        task.roll_back(record)

    def _batch(self, record: journal.BatchRecord) -> int:
        task = self._task
        where = f"task {task.number}, sequence {record.seq}"
        if record.seq != task.mark.seq + 1:
            raise JournalError(f"{where}: the batch before it ({record.seq - 1}) is missing from the journal")
        records = {moved.of: self._read(moved, count, where) for moved, count in _moves(record)}
        ordered = merged(records, self._settings.topics.labels)
        crc = 0
        for raw in ordered:
            crc = zlib.crc32(raw.value or b"", crc)
        if crc != record.crc:
            raise JournalError(f"{where}: the input's values differ from those applied (CRC {crc}, then {record.crc})")
        batch = Batch(task, record.now)
        for raw in ordered:
            batch.add(raw)
        batch.run(outputs=False)
        if task.mark.chain != record.chain:
            raise SnapshotError(
                f"{self._origin}: the replay from there gives the chain {task.mark.chain} at {where}, the journal has "
                f"{record.chain}: the state was altered, or this machine computes other bits"
            )
        return len(ordered)

    def _read(self, moved: journal.Range, count: int, where: str) -> list[RawRecord]:
        partition = moved.of
        shown = f"{where}: {partition.topic}[{partition.partition}]"
        position = self._task.positions.get(partition)
        if position != moved.start:
            raise JournalError(f"{shown} goes on at {moved.start}, but the batch before ended at {position}")
        if partition not in self._inputs:
            self._inputs[partition] = self._source.reader(partition, moved.start)
        records = self._inputs[partition].read_to(moved.end)
        if len(records) != count:
            raise OffsetLostError(
                f"{shown} has {len(records)} records in [{moved.start}, {moved.end}), {count} were applied: the input "
                "was deleted or compacted, and the model cannot be restored from it; put a newer snapshot back"
            )
        return records


def _moves(record: journal.BatchRecord) -> Iterator[tuple[journal.Range, int]]:
    return zip(record.rng, record.n, strict=True)
