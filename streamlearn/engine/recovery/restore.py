"""Recovery: load the newest snapshot that fits the journal, then replay the journal after it without output."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from streamlearn.engine.journal import records as journal
from streamlearn.engine.journal.lineage import last_rollback, last_rollback_went_to, path_to
from streamlearn.engine.journal.reader import JournalEntry, JournalReader
from streamlearn.engine.recovery.replay import Replay
from streamlearn.engine.recovery.snapshot_manifest import PROGRESS_LOG_SECONDS, check_in_journal, load_task, mark_of
from streamlearn.engine.tasks.journalled_settings import with_journalled_settings
from streamlearn.engine.tasks.task import Task
from streamlearn.errors import JournalError, OutOfReachError, SnapshotError
from streamlearn.kernels.cache import kernel_hash
from streamlearn.settings.settings import Settings
from streamlearn.snapshot.store import SnapshotEntry, SnapshotStore
from streamlearn.source.base import Source, TopicPartition

_logger = logging.getLogger(__name__)

OnProgress = Callable[[Task | None, int, float], None]
"""Called with the progress of a restore: the task between two batches, or None while a snapshot is read; the rows
replayed so far; and the share, from 0 to 1, of the batches to replay."""


class Restore:
    """Builds a task at a committed mark.

    Parameters
    ----------
    settings:
        The settings of this run.
    source:
        Where the journal and the input are read.
    store:
        Snapshots; None when there is no store.
    on_progress:
        Called after every batch; it may take a snapshot, from which another restore would continue.
    read_only:
        The model is another worker's, which continues: the journal may be longer than what was committed when the
        restore began, and a model of another release is refused, since nothing may be journalled.
    """

    def __init__(
        self,
        settings: Settings,
        source: Source,
        store: SnapshotStore | None,
        on_progress: OnProgress | None = None,
        *,
        read_only: bool = False,
    ) -> None:
        self._settings = settings
        self._source = source
        self._store = store
        self._on_progress = on_progress or (lambda task, rows, share: None)
        self._read_only = read_only
        self._refused: list[str] = []

    def run(
        self,
        number: int,
        partitions: Sequence[TopicPartition],
        committed: journal.Mark,
        positions: Mapping[TopicPartition, int],
    ) -> Task:
        """Return the task at the committed mark and positions.

        Raises
        ------
        JournalError, OffsetLostError, SnapshotError
            When the mark cannot be reached from what is left.
        """
        task = self._from_snapshot(number, partitions, committed)
        if task is None:
            task = self._from_journal_start(number, partitions, committed)
        if task.mark != committed or task.positions != dict(positions):
            raise JournalError(
                f"task {number}: the replay ended at {task.mark} {sorted(task.positions.items())}, but {committed} "
                f"{sorted(positions.items())} is committed: the journal and the group's offsets do not belong together"
            )
        return task

    def _from_snapshot(self, number: int, partitions: Sequence[TopicPartition], committed: journal.Mark) -> Task | None:
        """Return the task from the newest usable snapshot and the journal after it; None without one."""
        if self._store is None:
            return None
        group = self._settings.kafka.group_id
        for entry in sorted(self._store.list(group, None, number), key=lambda entry: -entry.seq):
            try:
                manifest = self._store.read_manifest(entry)
                entries = self._journal_after(entry, manifest, committed)
                kernel = _check_kernels(manifest["kernel"], entries, entry.path)
                if kernel != kernel_hash() and self._read_only:
                    raise SnapshotError(f"{entry.path} is of another release (kernel {kernel}), which still runs")
                _logger.info("reading snapshot %s (%d bytes)", entry.path, entry.size_bytes)
                task = load_task(
                    self._settings, self._store, entry, partitions, lambda: self._on_progress(None, 0, 0.0)
                )
                self._replay(task, entries, committed, entry.path)
                if kernel != kernel_hash():
                    _change_kernel(task)
                return task
            except SnapshotError as error:
                _logger.warning("snapshot refused: %s", error)
                self._refused.append(str(error))
        return None

    def _journal_after(
        self, entry: SnapshotEntry, manifest: Mapping[str, Any], committed: journal.Mark
    ) -> list[JournalEntry]:
        """Return the journal entries from a snapshot to the committed mark.

        Raises
        ------
        SnapshotError
            When the snapshot does not lead to the committed mark.
        """
        if entry.seq > committed.seq:
            raise SnapshotError(f"{entry.path} is of sequence {entry.seq}, beyond the committed {committed.seq}")
        if entry.seq == committed.seq and entry.chain != committed.chain:
            raise SnapshotError(f"{entry.path} has the chain {entry.chain}, committed is {committed.chain}")
        offset = manifest["journal_offset"]
        reader = JournalReader(self._source, self._settings.journal_topic, entry.task, offset)
        entries = reader.entries
        if is_kept := offset >= reader.log_start:
            check_in_journal(entry, entries[0] if entries and entries[0].offset == offset else None)
            entries = entries[1:]
        if any(isinstance(later.record, journal.LineageRecord) for later in entries):
            raise SnapshotError(f"{entry.path} is of lineage {entry.lineage}; a new model was started after it")
        entries = self._up_to_committed(entries, committed)
        if not is_kept and entry.seq != committed.seq and not last_rollback_went_to(entries, mark_of(entry)):
            raise SnapshotError(f"{entry.path} is older than the journal, which begins at offset {reader.log_start}")
        return path_to(entries, mark_of(entry), entry.path)

    def _from_journal_start(self, number: int, partitions: Sequence[TopicPartition], committed: journal.Mark) -> Task:
        """Return the task from the whole journal."""
        where = f"{self._settings.journal_topic}[{number}]"
        reader = JournalReader(self._source, self._settings.journal_topic, number)
        entries = reader.since_lineage()
        if not entries:
            refused = "".join(f"; {reason}" for reason in self._refused)
            rollback = last_rollback(reader.entries)
            rolled_back = "" if rollback is None else f"; the model was rolled back to {rollback.to}"
            way_out = "a snapshot back" if rollback is None else "that snapshot or one since then back"
            raise OutOfReachError(
                f"task {number} is committed at {committed}, but there is no usable snapshot under "
                f"{self._settings.snapshot.location}, and {where} no longer has the model's beginning"
                f"{refused}{rolled_back}: put {way_out}, or begin a new model with another kafka.group_id"
            )
        lineage = entries[0].record
        assert isinstance(lineage, journal.LineageRecord)
        entries = path_to(self._up_to_committed(entries, committed), journal.START, where)
        _check_kernels(lineage.kernel, entries, where)
        task = Task(with_journalled_settings(self._settings, lineage.settings), number, partitions, lineage.id)
        task.topics = lineage.topics
        task.positions = {TopicPartition(p.topic, p.partition): p.offset for p in lineage.positions}
        self._replay(task, entries, committed, where)
        return task

    def _up_to_committed(self, entries: list[JournalEntry], committed: journal.Mark) -> list[JournalEntry]:
        """Return the entries up to the committed mark; later ones are an error unless the restore is read-only."""
        if not self._read_only:
            return entries
        is_committed = (
            isinstance(entry.record, journal.NumberedRecord) and entry.record.seq <= committed.seq for entry in entries
        )
        return entries[: max((index + 1 for index, inside in enumerate(is_committed) if inside), default=0)]

    def _replay(self, task: Task, entries: Sequence[JournalEntry], committed: journal.Mark, origin: str) -> None:
        """Apply the batches between the task's mark and the committed one."""
        rows, first_seq, logged_at = 0, task.mark.seq, time.monotonic()
        with contextlib.closing(Replay(self._settings, self._source, task, origin)) as replay:
            for entry in entries:
                if isinstance(entry.record, journal.NumberedRecord) and entry.record.seq > committed.seq:
                    raise JournalError(
                        f"task {task.number}: the journal goes up to sequence {entry.record.seq}, but {committed} is "
                        "committed: the group's offsets were set back; begin a new model with another kafka.group_id"
                    )
                rows += replay.apply(entry)
                done = task.mark.seq - first_seq
                self._on_progress(task, rows, done / max(1, committed.seq - first_seq))
                if time.monotonic() > logged_at + PROGRESS_LOG_SECONDS:
                    logged_at = time.monotonic()
                    _logger.info("task %d: %d rows replayed, %s of %s", task.number, rows, task.mark, committed)


def _change_kernel(task: Task) -> None:
    """Journal that this release computes the batches from here on."""
    change = journal.ControlRecord(journal.VERSION, task.number, kernel=kernel_hash())
    task.preamble.append(journal.encode(change))
    _logger.info("task %d continues with another release (kernel %s)", task.number, kernel_hash())


def _check_kernels(kernel: str, entries: Sequence[JournalEntry], where: str) -> str:
    """Return the kernel hash after the last entry; refuse to replay batches of another release, which may compute other
    bits."""
    for entry in entries:
        if isinstance(entry.record, journal.ControlRecord) and entry.record.kernel:
            kernel = entry.record.kernel
        elif isinstance(entry.record, journal.BatchRecord) and kernel != kernel_hash():
            raise OutOfReachError(
                f"{where}: batches after it were made by another release (kernel {kernel}): run that release once more "
                "and stop it with SIGTERM, so that it ends on a snapshot, before starting this one"
            )
    return kernel
