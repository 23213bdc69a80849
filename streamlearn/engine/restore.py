"""Coming back: the newest snapshot that proves itself, and the journalled rows since, applied again without output.

Every batch is checked: row counts, the values' CRC and the chain must be those of the journal. A state that differs in one
bit of one weight gives another chain.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from streamlearn.arithmetic.kernel_cache import kernel_hash
from streamlearn.engine import journal
from streamlearn.engine.align import merged
from streamlearn.engine.behaviour import with_behaviour
from streamlearn.engine.task import Batch, Task
from streamlearn.errors import JournalError, OffsetLostError, SnapshotError, StopError
from streamlearn.settings.model import Settings
from streamlearn.source.base import RangeReader, RawRecord, Source, TopicPartition
from streamlearn.state.snapshot_store import SnapshotEntry, SnapshotStore

_logger = logging.getLogger(__name__)


class JournalReader:
    """A task's journal up to its committed end, read once and kept in order with offsets."""

    def __init__(self, source: Source, topic: str, task: int) -> None:
        self.partition = TopicPartition(topic, task)
        self._where = f"{topic}[{task}]"
        bounds = source.bounds([self.partition])[self.partition]
        self.start = bounds.start
        self.records: list[tuple[int, journal.JournalRecord]] = []
        reader = source.reader(self.partition, bounds.start)
        try:
            for raw in reader.read_to(bounds.end):
                record = journal.decode(raw.value, f"{self._where}@{raw.offset}")
                if record.task == task:
                    self.records.append((raw.offset, record))
        finally:
            reader.close()

    def lineage(self) -> journal.LineageRecord | None:
        """Return where the model comes from; the newest, should a model have been begun anew."""
        for _, record in reversed(self.records):
            if isinstance(record, journal.LineageRecord):
                return record
        return None

    def last(self) -> journal.BatchRecord | None:
        """Return the last batch."""
        for _, record in reversed(self.records):
            if isinstance(record, journal.BatchRecord):
                return record
        return None

    def mark_at(self, seq: int, lineage: str) -> str | None:
        """Return the chain that the journal has for a sequence number, if it still holds it."""
        current = ""
        found = None
        for _, record in self.records:
            if isinstance(record, journal.LineageRecord):
                current = record.id
            elif isinstance(record, journal.BatchRecord) and record.seq == seq and current in ("", lineage):
                found = record.chain
        return found


def manifest_of(task: Task, group: str) -> dict[str, Any]:
    """Return what a snapshot says of the point at which it was taken."""
    return {
        "group": group,
        "lineage": task.lineage,
        "task": task.number,
        "seq": task.mark.seq,
        "chain": task.mark.chain,
        "positions": [[*partition, offset] for partition, offset in sorted(task.positions.items())],
        "journal_offset": task.journal_offset,
        "kernel": kernel_hash(),
        "settings": task.behaviour,
    }


class Restore:
    """Builds a task at a committed point.

    Parameters
    ----------
    settings:
        The settings of this run.
    source:
        Where the journal and the input are read again.
    store:
        Snapshots; None when there are none to look for.
    progress:
        Called with rows applied so far.
    """

    def __init__(
        self,
        settings: Settings,
        source: Source,
        store: SnapshotStore | None,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        self._settings = settings
        self._source = source
        self._store = store
        self._progress = progress or (lambda rows: None)

    def run(
        self,
        number: int,
        partitions: Sequence[TopicPartition],
        committed: journal.Metadata,
        positions: Mapping[TopicPartition, int],
    ) -> Task:
        """Return the task at the committed mark and positions.

        Raises
        ------
        JournalError, OffsetLostError, SnapshotError
            When the point cannot be reached from what is left.
        """
        reader = JournalReader(self._source, self._settings.journal_topic, number)
        lineage = reader.lineage()
        if lineage is None and self._store is None:
            raise JournalError(
                f"{self._settings.journal_topic}[{number}] has no beginning of a model, but offsets are committed at "
                f"{committed}: restore the topic, or begin anew with another kafka.group_id"
            )
        identity = lineage.id if lineage is not None else self._only_lineage(number)
        task = self._from_snapshot(number, partitions, committed, reader, identity)
        if task is None:
            if lineage is None or not self._reaches_back(reader, 0):
                raise SnapshotError(
                    f"task {number}: no usable snapshot, and {self._settings.journal_topic}[{number}] begins after "
                    f"the model did: put a snapshot back under {self._settings.snapshot.location}, or begin anew with "
                    "another kafka.group_id"
                )
            task = Task(with_behaviour(self._settings, lineage.settings), number, partitions, identity)
        self._replay(task, reader, committed)
        if task.mark != committed or task.positions != dict(positions):
            raise JournalError(
                f"task {number}: the replay ended at {task.mark} {task.positions}, but {committed} {dict(positions)} "
                "is committed: the journal and the group's offsets do not belong together"
            )
        return task

    def _only_lineage(self, number: int) -> str:
        assert self._store is not None
        entries = [entry for entry in self._store.list(self._settings.kafka.group_id) if entry.task == number]
        if not entries:
            raise JournalError(
                f"{self._settings.journal_topic}[{number}] is empty and there is no snapshot of task {number} under "
                f"{self._settings.snapshot.location}: the model is lost; begin anew with another kafka.group_id"
            )
        return entries[0].lineage

    @staticmethod
    def _reaches_back(reader: JournalReader, seq: int) -> bool:
        """Return whether the journal holds every batch after a sequence number."""
        first = next((record.seq for _, record in reader.records if isinstance(record, journal.BatchRecord)), None)
        return first is None or first <= seq + 1

    def _from_snapshot(
        self,
        number: int,
        partitions: Sequence[TopicPartition],
        committed: journal.Metadata,
        reader: JournalReader,
        lineage: str,
    ) -> Task | None:
        if self._store is None:
            return None
        for entry in self._store.list(self._settings.kafka.group_id, lineage, number):
            try:
                return self._load(entry, partitions, committed, reader, lineage)
            except SnapshotError as error:
                _logger.warning("snapshot refused: %s", error)
        return None

    def _load(
        self,
        entry: SnapshotEntry,
        partitions: Sequence[TopicPartition],
        committed: journal.Metadata,
        reader: JournalReader,
        lineage: str,
    ) -> Task:
        assert self._store is not None
        if entry.seq > committed.seq:
            raise SnapshotError(f"{entry.path} is of sequence {entry.seq}, beyond the committed {committed.seq}")
        if entry.seq == committed.seq and entry.chain != committed.chain:
            raise SnapshotError(f"{entry.path} has the chain {entry.chain}, committed is {committed.chain}")
        journalled = reader.mark_at(entry.seq, lineage)
        if journalled is not None and journalled != entry.chain:
            raise SnapshotError(f"{entry.path} has the chain {entry.chain}, the journal {journalled}")
        if not self._reaches_back(reader, entry.seq) and entry.seq != committed.seq:
            raise SnapshotError(f"{entry.path} is older than the journal: the batches since {entry.seq} are gone")
        manifest, arrays = self._store.read(entry)
        if manifest["kernel"] != kernel_hash() and entry.seq != committed.seq:
            raise SnapshotError(
                f"{entry.path} and the batches after it were made by another release (kernel {manifest['kernel']}): "
                "stop that release with SIGTERM, so that it ends on a snapshot, before starting this one"
            )
        task = Task(with_behaviour(self._settings, manifest["settings"]), entry.task, partitions, lineage)
        task.load_arrays(arrays)
        task.positions = {
            TopicPartition(topic, partition): offset for topic, partition, offset in manifest["positions"]
        }
        task.mark = journal.Metadata(entry.seq, entry.chain)
        task.journal_offset = manifest["journal_offset"]
        return task

    def _replay(self, task: Task, reader: JournalReader, committed: journal.Metadata) -> None:
        """Apply the batches between the task's mark and the committed one."""
        inputs: dict[TopicPartition, RangeReader] = {}
        since: list[bytes] = []
        rows = 0
        current = ""
        try:
            for offset, record in reader.records:
                if isinstance(record, journal.LineageRecord):
                    current = record.id
                    if task.mark.seq == 0 and current == task.lineage:
                        since.append(journal.encode(record))
                        if record.kernel != kernel_hash():
                            raise JournalError(
                                f"task {task.number} was begun by another release (kernel {record.kernel}) and has no "
                                "snapshot: run that release once more and stop it with SIGTERM"
                            )
                elif offset <= task.journal_offset or (current and current != task.lineage):
                    continue
                elif isinstance(record, journal.SettingsRecord):
                    task.change(with_behaviour(self._settings, record.settings))
                    since.append(journal.encode(record))
                elif task.mark.seq < record.seq <= committed.seq:
                    rows += self._replay_batch(task, record, since, inputs)
                    since = []
                    task.journal_offset = offset
                    self._progress(rows)
        finally:
            for source in inputs.values():
                source.close()

    def _replay_batch(
        self,
        task: Task,
        record: journal.BatchRecord,
        since: list[bytes],
        inputs: dict[TopicPartition, RangeReader],
    ) -> int:
        where = f"task {task.number}, sequence {record.seq}"
        if record.seq != task.mark.seq + 1:
            raise JournalError(f"{where}: the batch before it ({record.seq - 1}) is missing from the journal")
        records: dict[TopicPartition, list[RawRecord]] = {}
        for moved, count in zip(record.rng, record.n, strict=True):
            partition = moved.of
            if task.positions.setdefault(partition, moved.start) != moved.start:
                raise JournalError(
                    f"{where}: {partition.topic}[{partition.partition}] goes on at {moved.start}, "
                    f"but the batch before ended at {task.positions[partition]}"
                )
            if partition not in inputs:
                inputs[partition] = self._source.reader(partition, moved.start)
            records[partition] = inputs[partition].read_to(moved.end)
            if len(records[partition]) != count:
                raise OffsetLostError(
                    f"{where}: {partition.topic}[{partition.partition}] has {len(records[partition])} records in "
                    f"[{moved.start}, {moved.end}), {count} were applied: the input was deleted or compacted, and the "
                    "model cannot be restored from it; put a newer snapshot back"
                )
        ordered = merged(records, self._settings.topics.labels)
        crc = 0
        for raw in ordered:
            crc = zlib.crc32(raw.value or b"", crc)
        if crc != record.crc:
            raise JournalError(f"{where}: the input's values differ from those applied (CRC {crc}, then {record.crc})")
        batch = Batch(task, record.now)
        for raw in ordered:
            batch.add(raw)
        _, made = batch.run(since, outputs=False)
        if made.chain != record.chain:
            raise ReplayMismatchError(
                f"{where}: the replay gives the chain {made.chain}, the journal has {record.chain}: the snapshot that "
                "the replay began from was altered, or this machine computes other bits"
            )
        return len(ordered)


class ReplayMismatchError(StopError):
    """A replayed batch gave other answers than the journalled one."""
