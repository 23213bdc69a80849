"""Applies journalled batches again, without output, and verifies each.

The record counts, the CRC of the values and the chain must be those of the journal. A state that differs in one bit of
one weight gives another chain. The batches before an upgrade were computed by another model version, and are applied
once more by this one: the upgrade's record has the chain that this gives.
"""

from __future__ import annotations

import zlib

from streamlearn._version import MODEL_VERSION
from streamlearn.cleanup import Cleanup
from streamlearn.engine.journal import records as journal
from streamlearn.engine.journal.reader import JournalEntry
from streamlearn.engine.tasks.batch import Batch
from streamlearn.engine.tasks.journalled_settings import with_journalled_settings
from streamlearn.engine.tasks.task import Task
from streamlearn.engine.tasks.timestamp_merge import merge_ranges
from streamlearn.errors import JournalError, OffsetLostError, SnapshotError
from streamlearn.migrations.registry import migrate_settings
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
        The task, at a committed mark.
    origin:
        Where its state comes from, for error messages.
    before_upgrade:
        The next batches were computed by another model version, and are applied once more by this one; up to an
        upgrade's record.
    model_version:
        The version that wrote the next records.
    """

    def __init__(
        self,
        settings: Settings,
        source: Source,
        task: Task,
        origin: str,
        *,
        before_upgrade: bool = False,
        model_version: int = MODEL_VERSION,
    ) -> None:
        self._settings = settings
        self._before_upgrade = before_upgrade
        self._model_version = model_version
        self._source = source
        self._task = task
        self._origin = origin
        self._readers: dict[TopicPartition, RangeReader] = {}

    @property
    def is_before_upgrade(self) -> bool:
        """Whether the task is on the way to an upgrade: its mark is not in the journal."""
        return self._before_upgrade

    def apply(self, entry: JournalEntry) -> int:
        """Apply the next entry of the journal, and return how many rows it has.

        Raises
        ------
        JournalError, OffsetLostError, SnapshotError
            When the entry does not follow from the task's state, or the input is not what was applied.
        """
        task, record = self._task, entry.record
        if isinstance(record, journal.BatchRecord):
            rows = self._apply_batch(record)
            task.journal_offset = entry.offset
            return rows
        if isinstance(record, journal.RollbackRecord):
            self._apply_rollback(record)
            task.journal_offset = entry.offset
            return 0
        if isinstance(record, journal.UpgradeRecord):
            self._apply_upgrade(record)
            task.journal_offset = entry.offset
            return 0
        if isinstance(record, journal.SettingsRecord):
            settings = migrate_settings(self._model_version, record.settings)
            task.change_settings(with_journalled_settings(self._settings, settings))
        elif isinstance(record, journal.ControlRecord):
            task.skip(record.lost)
            if record.model_version is not None:
                self._model_version = record.model_version
            for lost in record.lost:
                reader = self._readers.pop(lost.of, None)
                if reader is not None:
                    reader.close()
        task.preamble.append(entry.data)
        return 0

    def close(self) -> None:
        """Close the connections."""
        readers, self._readers = self._readers, {}
        with Cleanup(*(reader.close for reader in readers.values())):
            pass

    def _apply_rollback(self, record: journal.RollbackRecord) -> None:
        task = self._task
        where = f"task {task.number}, sequence {record.seq}"
        if record != record.with_chain():
            raise JournalError(f"{where}: the rollback's record does not have the chain that belongs to it")
        if task.mark != record.to and not (self._before_upgrade and task.mark.seq == record.to.seq):
            raise SnapshotError(
                f"{self._origin}: it leads to {task.mark}, but the rollback at {where} went to {record.to}"
            )
        # The readers are at the positions before the rollback.
        self.close()
        task.apply_rollback(record)

    def _apply_upgrade(self, record: journal.UpgradeRecord) -> None:
        task = self._task
        where = f"task {task.number}, sequence {record.seq}"
        if record != record.with_chain():
            raise JournalError(f"{where}: the upgrade's record does not have the chain that belongs to it")
        reached = {TopicPartition(p.topic, p.partition): p.offset for p in record.positions}
        if task.mark != journal.Mark(record.seq - 1, record.learned) or task.positions != reached:
            raise SnapshotError(
                f"{self._origin}: applying the rows before the upgrade at {where} once more leads to {task.mark}, the "
                f"journal has {record.seq - 1}:{record.learned}: the state was altered, or this machine computes other "
                "bits"
            )
        self._before_upgrade = False
        self._model_version = record.to_version
        task.apply_upgrade(record)

    def _apply_batch(self, record: journal.BatchRecord) -> int:
        task = self._task
        where = f"task {task.number}, sequence {record.seq}"
        if record.seq != task.mark.seq + 1:
            raise JournalError(f"{where}: the batch before it ({record.seq - 1}) is missing from the journal")
        moves = zip(record.rng, record.n, strict=True)
        records = {moved.of: self._read(moved, count, where) for moved, count in moves}
        ordered = merge_ranges(records, self._settings.topics.labels)
        crc = 0
        for raw in ordered:
            crc = zlib.crc32(raw.value or b"", crc)
        if crc != record.crc:
            raise JournalError(f"{where}: the input's values differ from those applied (CRC {crc}, then {record.crc})")
        batch = Batch(task, record.now, record.v)
        for raw in ordered:
            batch.add(raw)
        batch.run(outputs=False)
        if task.mark.chain != record.chain and not self._before_upgrade:
            raise SnapshotError(
                f"{self._origin}: the replay from there gives the chain {task.mark.chain} at {where}, the journal has "
                f"{record.chain}: the state was altered, or this machine computes other bits"
            )
        return len(ordered)

    def _read(self, moved: journal.Range, count: int, where: str) -> list[RawRecord]:
        """Return the ``count`` records of a range."""
        partition = moved.of
        shown = f"{where}: {partition.topic}[{partition.partition}]"
        position = self._task.positions.get(partition)
        if position != moved.start:
            raise JournalError(f"{shown} continues at {moved.start}, but the batch before ended at {position}")
        if partition not in self._readers:
            self._readers[partition] = self._source.reader(partition, moved.start)
        records = self._readers[partition].read_to(moved.end)
        if len(records) != count:
            raise OffsetLostError(
                f"{shown} has {len(records)} records in [{moved.start}, {moved.end}), {count} were applied: the input "
                "was deleted or compacted, and the model cannot be restored from it; put a newer snapshot back"
            )
        return records
