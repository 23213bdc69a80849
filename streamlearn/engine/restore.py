"""Coming back: the newest snapshot that proves itself, and the journalled rows since, applied again without output.

Every batch is checked: row counts, the values' CRC and the chain must be those of the journal. A state that differs
in one bit of one weight gives another chain.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from streamlearn.arithmetic.kernel_cache import kernel_hash
from streamlearn.engine import journal
from streamlearn.engine.align import merged
from streamlearn.engine.behaviour import with_behaviour
from streamlearn.engine.task import Batch, Task
from streamlearn.errors import JournalError, OffsetLostError, SnapshotError
from streamlearn.settings.model import Settings
from streamlearn.source.base import RangeReader, RawRecord, Source, TopicPartition
from streamlearn.state.snapshot_store import SnapshotEntry, SnapshotStore

_logger = logging.getLogger(__name__)


class Entry(NamedTuple):
    """A record of the journal: where it lies, what it says, and its bytes."""

    offset: int
    record: journal.JournalRecord
    data: bytes


class JournalReader:
    """A task's journal from an offset, or from where the log begins, up to its committed end."""

    def __init__(self, source: Source, topic: str, task: int, start: int = 0) -> None:
        partition = TopicPartition(topic, task)
        where = f"{topic}[{task}]"
        bounds = source.bounds([partition])[partition]
        self.log_start = bounds.start
        self.entries: list[Entry] = []
        reader = source.reader(partition, max(bounds.start, start))
        try:
            for raw in reader.read_to(bounds.end):
                record = journal.decode(raw.value, f"{where}@{raw.offset}")
                if record.task == task:
                    self.entries.append(Entry(raw.offset, record, raw.value or b""))
        finally:
            reader.close()

    def lineage(self) -> journal.LineageRecord | None:
        """Return where the model comes from; the newest, should a model have been begun anew."""
        return next((e.record for e in reversed(self.entries) if isinstance(e.record, journal.LineageRecord)), None)

    def last(self) -> journal.BatchRecord | None:
        """Return the last batch."""
        return next((e.record for e in reversed(self.entries) if isinstance(e.record, journal.BatchRecord)), None)

    def since_lineage(self) -> list[Entry]:
        """Return the entries from the newest beginning of a model on; empty when the log no longer has it."""
        for place in range(len(self.entries) - 1, -1, -1):
            if isinstance(self.entries[place].record, journal.LineageRecord):
                return self.entries[place:]
        return []


def manifest_of(task: Task) -> dict[str, Any]:
    """Return what a snapshot says of the point at which it was taken, beside the store's own entries."""
    return {
        "positions": [[*partition, offset] for partition, offset in sorted(task.positions.items())],
        "topics": {topic: [identity.id, identity.partitions] for topic, identity in sorted(task.topics.items())},
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
        self._refused: list[str] = []

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
        task = self._from_snapshot(number, partitions, committed)
        if task is None:
            task = self._from_beginning(number, partitions, committed)
        if task.mark != committed or task.positions != dict(positions):
            raise JournalError(
                f"task {number}: the replay ended at {task.mark} {sorted(task.positions.items())}, but {committed} "
                f"{sorted(positions.items())} is committed: the journal and the group's offsets do not belong together"
            )
        return task

    def _from_snapshot(
        self, number: int, partitions: Sequence[TopicPartition], committed: journal.Metadata
    ) -> Task | None:
        """Return the task as the newest snapshot that proves itself and the journal behind it give it."""
        if self._store is None:
            return None
        group = self._settings.kafka.group_id
        for entry in sorted(self._store.list(group, None, number), key=lambda entry: -entry.seq):
            try:
                task, tail = self._load(entry, partitions, committed)
                self._replay(task, tail, committed, entry.path)
                return task
            except SnapshotError as error:
                _logger.warning("snapshot refused: %s", error)
                self._refused.append(str(error))
        return None

    def _load(
        self, entry: SnapshotEntry, partitions: Sequence[TopicPartition], committed: journal.Metadata
    ) -> tuple[Task, list[Entry]]:
        assert self._store is not None
        if entry.seq > committed.seq:
            raise SnapshotError(f"{entry.path} is of sequence {entry.seq}, beyond the committed {committed.seq}")
        if entry.seq == committed.seq and entry.chain != committed.chain:
            raise SnapshotError(f"{entry.path} has the chain {entry.chain}, committed is {committed.chain}")
        manifest = self._store.read_manifest(entry)
        tail = self._tail(entry, manifest, committed)
        _, arrays = self._store.read(entry)
        task = Task(with_behaviour(self._settings, manifest["settings"]), entry.task, partitions, entry.lineage)
        task.load_arrays(arrays)
        task.positions = {
            TopicPartition(topic, partition): offset for topic, partition, offset in manifest["positions"]
        }
        task.topics = {topic: journal.TopicIdentity(*identity) for topic, identity in manifest["topics"].items()}
        task.mark = journal.Metadata(entry.seq, entry.chain)
        task.snapshot_seq = entry.seq
        task.journal_offset = manifest["journal_offset"]
        if manifest["kernel"] != kernel_hash() and not tail:
            change = journal.ControlRecord(journal.VERSION, task.number, kernel=kernel_hash())
            task.preamble.append(journal.encode(change))
            _logger.info("task %d goes on with another release (kernel %s)", task.number, kernel_hash())
        return task, tail

    def _tail(self, entry: SnapshotEntry, manifest: Mapping[str, Any], committed: journal.Metadata) -> list[Entry]:
        """Return the journal behind a snapshot; raise `SnapshotError` when the two do not belong together."""
        at = manifest["journal_offset"]
        reader = JournalReader(self._source, self._settings.journal_topic, entry.task, at)
        entries = reader.entries
        if at >= reader.log_start:
            own = entries[0].record if entries and entries[0].offset == at else None
            if not isinstance(own, journal.BatchRecord) or (own.seq, own.chain) != (entry.seq, entry.chain):
                found = f"{own.seq}:{own.chain}" if isinstance(own, journal.BatchRecord) else "no such batch"
                raise SnapshotError(
                    f"{entry.path} is at {entry.seq}:{entry.chain}, the journal has {found} there: it belongs to "
                    "another model"
                )
            entries = entries[1:]
        elif entry.seq != committed.seq:
            raise SnapshotError(f"{entry.path} is older than the journal, which begins at offset {reader.log_start}")
        if any(isinstance(later.record, journal.LineageRecord) for later in entries):
            raise SnapshotError(f"{entry.path} is of lineage {entry.lineage}; a new model was begun after it")
        _check_kernels(manifest["kernel"], entries, entry.path)
        return entries

    def _from_beginning(self, number: int, partitions: Sequence[TopicPartition], committed: journal.Metadata) -> Task:
        """Return the task as the whole journal gives it."""
        where = f"{self._settings.journal_topic}[{number}]"
        entries = JournalReader(self._source, self._settings.journal_topic, number).since_lineage()
        if not entries:
            refused = "".join(f"; {reason}" for reason in self._refused)
            raise SnapshotError(
                f"task {number} is committed at {committed}, but there is no usable snapshot under "
                f"{self._settings.snapshot.location}, and {where} no longer has the model's beginning{refused}: "
                "put a snapshot back, or begin anew with another kafka.group_id"
            )
        lineage = entries[0].record
        assert isinstance(lineage, journal.LineageRecord)
        _check_kernels(lineage.kernel, entries, where)
        task = Task(with_behaviour(self._settings, lineage.settings), number, partitions, lineage.id)
        task.topics = lineage.topics
        task.positions = {TopicPartition(p.topic, p.partition): p.offset for p in lineage.positions}
        self._replay(task, entries, committed, where)
        return task

    def _replay(self, task: Task, entries: Sequence[Entry], committed: journal.Metadata, origin: str) -> None:
        """Apply the batches between the task's mark and the committed one."""
        inputs: dict[TopicPartition, RangeReader] = {}
        rows = 0
        try:
            for entry in entries:
                record = entry.record
                if isinstance(record, journal.BatchRecord):
                    if record.seq > committed.seq:
                        raise JournalError(
                            f"task {task.number}: the journal goes up to sequence {record.seq}, but {committed} is "
                            "committed: the group's offsets were set back; begin anew with another kafka.group_id"
                        )
                    rows += self._replay_batch(task, record, inputs, origin)
                    task.journal_offset = entry.offset
                    self._progress(rows)
                    continue
                if isinstance(record, journal.SettingsRecord):
                    task.change(with_behaviour(self._settings, record.settings))
                elif isinstance(record, journal.ControlRecord):
                    task.lose(record.lost)
                    for lost in record.lost:
                        behind = inputs.pop(lost.of, None)
                        if behind is not None:
                            behind.close()
                task.preamble.append(entry.data)
        finally:
            for source in inputs.values():
                source.close()

    def _replay_batch(
        self, task: Task, record: journal.BatchRecord, inputs: dict[TopicPartition, RangeReader], origin: str
    ) -> int:
        where = f"task {task.number}, sequence {record.seq}"
        if record.seq != task.mark.seq + 1:
            raise JournalError(f"{where}: the batch before it ({record.seq - 1}) is missing from the journal")
        records = {moved.of: self._read(task, moved, count, where, inputs) for moved, count in _moves(record)}
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
                f"{origin}: the replay from there gives the chain {task.mark.chain} at {where}, the journal has "
                f"{record.chain}: the state was altered, or this machine computes other bits"
            )
        return len(ordered)

    def _read(
        self,
        task: Task,
        moved: journal.Range,
        count: int,
        where: str,
        inputs: dict[TopicPartition, RangeReader],
    ) -> list[RawRecord]:
        partition = moved.of
        shown = f"{where}: {partition.topic}[{partition.partition}]"
        if task.positions.get(partition) != moved.start:
            raise JournalError(
                f"{shown} goes on at {moved.start}, but the batch before ended at {task.positions.get(partition)}"
            )
        if partition not in inputs:
            inputs[partition] = self._source.reader(partition, moved.start)
        records = inputs[partition].read_to(moved.end)
        if len(records) != count:
            raise OffsetLostError(
                f"{shown} has {len(records)} records in [{moved.start}, {moved.end}), {count} were applied: the input "
                "was deleted or compacted, and the model cannot be restored from it; put a newer snapshot back"
            )
        return records


def _moves(record: journal.BatchRecord) -> Iterator[tuple[journal.Range, int]]:
    return zip(record.rng, record.n, strict=True)


def _check_kernels(kernel: str, entries: Sequence[Entry], where: str) -> None:
    """Refuse to replay batches that another release made: it may compute other bits."""
    for entry in entries:
        if isinstance(entry.record, journal.ControlRecord) and entry.record.kernel:
            kernel = entry.record.kernel
        elif isinstance(entry.record, journal.BatchRecord) and kernel != kernel_hash():
            raise SnapshotError(
                f"{where}: batches after it were made by another release (kernel {kernel}): run that release once more "
                "and stop it with SIGTERM, so that it ends on a snapshot, before starting this one"
            )
