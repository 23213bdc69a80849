"""Coming back: the newest snapshot that proves itself, and the journalled rows since, applied again without output."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from streamlearn.engine.journal import records as journal
from streamlearn.engine.journal.lineage import goes_back_to, last_rollback, path_to
from streamlearn.engine.journal.reader import Entry, JournalReader
from streamlearn.engine.recovery.replay import Replay
from streamlearn.engine.tasks.journalled_settings import with_journalled_settings
from streamlearn.engine.tasks.task import Task
from streamlearn.errors import JournalError, OutOfReachError, SnapshotError
from streamlearn.kernels.cache import kernel_hash
from streamlearn.settings.settings import Settings
from streamlearn.snapshot.store import SnapshotEntry, SnapshotStore
from streamlearn.source.base import Source, TopicPartition

_logger = logging.getLogger(__name__)

TELL_SECONDS = 5.0

Progress = Callable[[Task | None, int, float], None]
"""Told of a restore: the task between two batches, the rows applied again so far, and their share from 0 to 1."""


def manifest_of(task: Task) -> dict[str, Any]:
    """Return what a snapshot says of the point at which it was taken, beside the store's own entries."""
    return {
        "positions": [[*partition, offset] for partition, offset in sorted(task.positions.items())],
        "topics": {topic: [identity.id, identity.partitions] for topic, identity in sorted(task.topics.items())},
        "journal_offset": task.journal_offset,
        "kernel": kernel_hash(),
        "settings": task.journalled_settings,
        "now": task.now_ns,
        "rollback": None if task.rollback is None else msgspec.to_builtins(task.rollback),
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
        Called after every batch; it may take a snapshot, from which another restore would go on.
    following:
        The model is another worker's, which goes on: the journal may be longer than what was committed when this was
        asked for, and nothing may be changed, so that another release's model cannot be taken over.
    """

    def __init__(
        self,
        settings: Settings,
        source: Source,
        store: SnapshotStore | None,
        progress: Progress | None = None,
        *,
        following: bool = False,
    ) -> None:
        self._settings = settings
        self._source = source
        self._store = store
        self._progress = progress or (lambda task, rows, share: None)
        self._following = following
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

    def _from_snapshot(self, number: int, partitions: Sequence[TopicPartition], committed: journal.Mark) -> Task | None:
        """Return the task as the newest snapshot that proves itself and the journal behind it give it."""
        if self._store is None:
            return None
        group = self._settings.kafka.group_id
        for entry in sorted(self._store.list(group, None, number), key=lambda entry: -entry.seq):
            try:
                manifest = self._store.read_manifest(entry)
                tail = self._tail(entry, manifest, committed)
                kernel = _check_kernels(manifest["kernel"], tail, entry.path)
                if kernel != kernel_hash() and self._following:
                    raise SnapshotError(f"{entry.path} is of another release (kernel {kernel}), which still runs")
                _logger.info("reading snapshot %s (%d bytes)", entry.path, entry.size_bytes)
                task = loaded(self._settings, self._store, entry, partitions, lambda: self._progress(None, 0, 0.0))
                self._replay(task, tail, committed, entry.path)
                if kernel != kernel_hash():
                    _change_kernel(task)
                return task
            except SnapshotError as error:
                _logger.warning("snapshot refused: %s", error)
                self._refused.append(str(error))
        return None

    def _tail(self, entry: SnapshotEntry, manifest: Mapping[str, Any], committed: journal.Mark) -> list[Entry]:
        """Return the journal behind a snapshot; raise `SnapshotError` when the two do not belong together."""
        if entry.seq > committed.seq:
            raise SnapshotError(f"{entry.path} is of sequence {entry.seq}, beyond the committed {committed.seq}")
        if entry.seq == committed.seq and entry.chain != committed.chain:
            raise SnapshotError(f"{entry.path} has the chain {entry.chain}, committed is {committed.chain}")
        at = manifest["journal_offset"]
        reader = JournalReader(self._source, self._settings.journal_topic, entry.task, at)
        entries = reader.entries
        point = journal.Mark(entry.seq, entry.chain)
        if is_kept := at >= reader.log_start:
            check_point(entry, entries[0] if entries and entries[0].offset == at else None)
            entries = entries[1:]
        if any(isinstance(later.record, journal.LineageRecord) for later in entries):
            raise SnapshotError(f"{entry.path} is of lineage {entry.lineage}; a new model was begun after it")
        entries = self._within(entries, committed)
        if not is_kept and entry.seq != committed.seq and not goes_back_to(entries, point):
            raise SnapshotError(f"{entry.path} is older than the journal, which begins at offset {reader.log_start}")
        return path_to(entries, point, entry.path)

    def _from_beginning(self, number: int, partitions: Sequence[TopicPartition], committed: journal.Mark) -> Task:
        """Return the task as the whole journal gives it."""
        where = f"{self._settings.journal_topic}[{number}]"
        reader = JournalReader(self._source, self._settings.journal_topic, number)
        entries = reader.since_lineage()
        if not entries:
            refused = "".join(f"; {reason}" for reason in self._refused)
            rollback = last_rollback(reader.entries)
            wanted = "" if rollback is None else f"; the model was rolled back to {rollback.to.seq}:{rollback.to.chain}"
            way_out = "a snapshot back" if rollback is None else "that snapshot or one since then back"
            raise OutOfReachError(
                f"task {number} is committed at {committed}, but there is no usable snapshot under "
                f"{self._settings.snapshot.location}, and {where} no longer has the model's beginning"
                f"{refused}{wanted}: put {way_out}, or begin anew with another kafka.group_id"
            )
        lineage = entries[0].record
        assert isinstance(lineage, journal.LineageRecord)
        entries = path_to(self._within(entries, committed), journal.Mark(0, journal.FIRST_CHAIN), where)
        _check_kernels(lineage.kernel, entries, where)
        task = Task(with_journalled_settings(self._settings, lineage.settings), number, partitions, lineage.id)
        task.topics = lineage.topics
        task.positions = {TopicPartition(p.topic, p.partition): p.offset for p in lineage.positions}
        self._replay(task, entries, committed, where)
        return task

    def _within(self, entries: list[Entry], committed: journal.Mark) -> list[Entry]:
        """Return the entries without those that were committed since, where these are no fault."""
        if not self._following:
            return entries
        within = (
            isinstance(entry.record, journal.NumberedRecord) and entry.record.seq <= committed.seq for entry in entries
        )
        return entries[: max((place + 1 for place, inside in enumerate(within) if inside), default=0)]

    def _replay(self, task: Task, entries: Sequence[Entry], committed: journal.Mark, origin: str) -> None:
        """Apply the batches between the task's mark and the committed one."""
        rows, begun_at, told_at = 0, task.mark.seq, time.monotonic()
        with contextlib.closing(Replay(self._settings, self._source, task, origin)) as replay:
            for entry in entries:
                if isinstance(entry.record, journal.NumberedRecord) and entry.record.seq > committed.seq:
                    raise JournalError(
                        f"task {task.number}: the journal goes up to sequence {entry.record.seq}, but {committed} is "
                        "committed: the group's offsets were set back; begin anew with another kafka.group_id"
                    )
                rows += replay.apply(entry)
                done = task.mark.seq - begun_at
                self._progress(task, rows, done / max(1, committed.seq - begun_at))
                if time.monotonic() > told_at + TELL_SECONDS:
                    told_at = time.monotonic()
                    _logger.info("task %d: %d rows applied again, %s of %s", task.number, rows, task.mark, committed)


class _Telling:
    """Tells of the reading of a snapshot."""

    def __init__(self, entry: SnapshotEntry, told: Callable[[], None]) -> None:
        self._entry = entry
        self._told = told
        self._read = 0
        self._moment = time.monotonic()

    def read(self, size_bytes: int) -> None:
        """So many more bytes were read."""
        self._read += size_bytes
        self._told()
        if time.monotonic() > self._moment + TELL_SECONDS:
            self._moment = time.monotonic()
            _logger.info(
                "snapshot %s: %.0f of %.0f MB read", self._entry.path, self._read / 1e6, self._entry.size_bytes / 1e6
            )


def loaded(
    settings: Settings,
    store: SnapshotStore,
    entry: SnapshotEntry,
    partitions: Sequence[TopicPartition],
    told: Callable[[], None] = lambda: None,
) -> Task:
    """Return the task as a snapshot has it; ``told`` is called whenever a block of it has been read.

    Raises
    ------
    SnapshotError
        When the snapshot cannot be read, or does not fit this release.
    """
    telling = _Telling(entry, told)
    with store.open(entry, telling.read) as (manifest, arrays):
        task = Task(with_journalled_settings(settings, manifest["settings"]), entry.task, partitions, entry.lineage)
        task.load_arrays(arrays)
    task.positions = {TopicPartition(topic, partition): offset for topic, partition, offset in manifest["positions"]}
    task.topics = {topic: journal.TopicIdentity(*identity) for topic, identity in manifest["topics"].items()}
    task.mark = journal.Mark(entry.seq, entry.chain)
    task.snapshot_seq = entry.seq
    task.journal_offset = manifest["journal_offset"]
    task.now_ns = manifest.get("now", 0)
    rollback = manifest.get("rollback")
    task.rollback = None if rollback is None else msgspec.convert(rollback, journal.RollbackRecord)
    return task


def check_point(entry: SnapshotEntry, own: Entry | None) -> None:
    """Raise `SnapshotError` unless the record where the journal should have a snapshot's point is of that point."""
    record = None if own is None else own.record
    if not isinstance(record, journal.NumberedRecord):
        found = "no such batch"
    elif (record.seq, record.chain) == (entry.seq, entry.chain):
        return
    else:
        found = f"{record.seq}:{record.chain}"
    raise SnapshotError(
        f"{entry.path} is at {entry.seq}:{entry.chain}, the journal has {found} there: it belongs to another model"
    )


def _change_kernel(task: Task) -> None:
    """Let the journal say that this release computes the batches from here on."""
    change = journal.ControlRecord(journal.VERSION, task.number, kernel=kernel_hash())
    task.preamble.append(journal.encode(change))
    _logger.info("task %d goes on with another release (kernel %s)", task.number, kernel_hash())


def _check_kernels(kernel: str, entries: Sequence[Entry], where: str) -> str:
    """Return the kernel at the end; refuse to replay batches of another release, which may compute other bits."""
    for entry in entries:
        if isinstance(entry.record, journal.ControlRecord) and entry.record.kernel:
            kernel = entry.record.kernel
        elif isinstance(entry.record, journal.BatchRecord) and kernel != kernel_hash():
            raise OutOfReachError(
                f"{where}: batches after it were made by another release (kernel {kernel}): run that release once more "
                "and stop it with SIGTERM, so that it ends on a snapshot, before starting this one"
            )
    return kernel
