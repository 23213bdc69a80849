"""Recovery: load the newest snapshot that fits the journal, then replay the journal after it without output."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence

from streamlearn._version import MODEL_VERSION, __version__
from streamlearn.cleanup import Cleanup
from streamlearn.engine.journal import records as journal
from streamlearn.engine.journal.lineage import find_upgrades
from streamlearn.engine.journal.model_versions import count_rows
from streamlearn.engine.recovery.replay import Replay
from streamlearn.engine.recovery.snapshot_manifest import PROGRESS_LOG_SECONDS, load_task
from streamlearn.engine.recovery.snapshot_paths import SnapshotPath, SnapshotPaths, other_version
from streamlearn.engine.tasks.journalled_settings import with_journalled_settings
from streamlearn.engine.tasks.task import Task
from streamlearn.errors import JournalError, OtherVersionError, OutOfReachError, SnapshotError
from streamlearn.migrations.registry import migrate_settings
from streamlearn.settings.settings import Settings
from streamlearn.snapshot.store import SnapshotStore
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
        restore began, and a model of another model version is refused, since nothing may be journalled.
    may_upgrade:
        Where the model version before computed batches after the newest snapshot, apply their rows once more with this
        one. The caller then commits an upgrade (`engine.recovery.upgrade`).

    Attributes
    ----------
    upgraded_from:
        The way whose rows `run` has applied once more; None without an upgrade.
    """

    def __init__(
        self,
        settings: Settings,
        source: Source,
        store: SnapshotStore | None,
        on_progress: OnProgress | None = None,
        *,
        read_only: bool = False,
        may_upgrade: bool = False,
    ) -> None:
        self._settings = settings
        self._source = source
        self._store = store
        self._on_progress = on_progress or (lambda task, rows, share: None)
        self._read_only = read_only
        self._may_upgrade = may_upgrade
        self.upgraded_from: SnapshotPath | None = None
        self._paths = SnapshotPaths(settings, source, store, may_be_longer=read_only)

    def run(
        self,
        number: int,
        partitions: Sequence[TopicPartition],
        committed: journal.Mark,
        positions: Mapping[TopicPartition, int],
    ) -> Task:
        """Return the task at the committed mark and positions.

        After an upgrade its chain is another one, that of this release's answers.

        Raises
        ------
        JournalError, OffsetLostError, SnapshotError
            When the mark cannot be reached from what is left; `OtherVersionError` when another model version is needed.
        """

        def apply(path: SnapshotPath) -> Task:
            can_replay = path.can_replay and not (self._read_only and path.final_version != MODEL_VERSION)
            if not can_replay and not (self._may_upgrade and path.can_upgrade):
                raise other_version(path)
            task = self._start(path, number, partitions)
            if not can_replay:
                _logger.warning(
                    "task %d: model version %d applies %d rows since %s once more, which version %d has answered",
                    number,
                    MODEL_VERSION,
                    count_rows(path.entries),
                    path.start_text,
                    path.final_version,
                )
            self._replay(task, path, committed, before_upgrade=not can_replay or bool(find_upgrades(path.entries)))
            if not can_replay:
                self.upgraded_from = path
            elif path.final_version != MODEL_VERSION:
                _change_model_version(task, path.final_version)
            return task

        task = self._follow_first_path(number, committed, apply)
        reached = journal.Mark(committed.seq, task.mark.chain) if self.upgraded_from else committed
        if task.mark != reached or task.positions != dict(positions):
            raise JournalError(
                f"task {number}: the replay ended at {task.mark} {sorted(task.positions.items())}, but {committed} "
                f"{sorted(positions.items())} is committed: the journal and the group's offsets do not belong together"
            )
        return task

    def _follow_first_path(self, number: int, committed: journal.Mark, apply: Callable[[SnapshotPath], Task]) -> Task:
        """Return what ``apply`` gives for the first usable way: from the newest snapshot on, at last from the model's
        beginning."""
        of_newest: OtherVersionError | None = None
        for path in self._paths.from_snapshots(number, committed):
            try:
                if isinstance(path, SnapshotError):
                    raise path
                return apply(path)
            except SnapshotError as error:
                if isinstance(error, OtherVersionError):
                    if of_newest is not None:
                        continue  # older snapshots would only say the same
                    of_newest = error
                _logger.warning("snapshot refused: %s", error)
                self._paths.refused.append(str(error))
        try:
            return apply(self._paths.from_beginning(number, committed))
        except OutOfReachError as error:
            raise of_newest or error from error

    def _start(self, path: SnapshotPath, number: int, partitions: Sequence[TopicPartition]) -> Task:
        """Return the task at the start of a way: as the snapshot has it, or new."""
        if path.entry is not None:
            assert self._store is not None
            _logger.info("reading snapshot %s (%d bytes)", path.entry.path, path.entry.size_bytes)
            return load_task(
                self._settings, self._store, path.entry, partitions, lambda: self._on_progress(None, 0, 0.0)
            )
        lineage = path.entries[0].record
        assert isinstance(lineage, journal.LineageRecord)
        settings = migrate_settings(lineage.model_version, lineage.settings)
        task = Task(with_journalled_settings(self._settings, settings), number, partitions, lineage.id)
        task.topics = lineage.topics
        task.positions = {TopicPartition(p.topic, p.partition): p.offset for p in lineage.positions}
        return task

    def _replay(self, task: Task, path: SnapshotPath, committed: journal.Mark, *, before_upgrade: bool) -> None:
        """Apply the batches between the task's mark and the committed one."""
        rows, first_seq, logged_at = 0, task.mark.seq, time.monotonic()
        replay = Replay(
            self._settings,
            self._source,
            task,
            path.origin,
            before_upgrade=before_upgrade,
            model_version=path.model_version,
        )
        with Cleanup(replay.close):
            for entry in path.entries:
                if isinstance(entry.record, journal.NumberedRecord) and entry.record.seq > committed.seq:
                    raise JournalError(
                        f"task {task.number}: the journal goes up to sequence {entry.record.seq}, but {committed} is "
                        "committed: the group's offsets were set back; begin a new model with another kafka.group_id"
                    )
                rows += replay.apply(entry)
                done = task.mark.seq - first_seq
                # The states before an upgrade have no mark in the journal: no snapshot can be taken of them.
                reached = None if replay.is_before_upgrade else task
                self._on_progress(reached, rows, done / max(1, committed.seq - first_seq))
                if time.monotonic() > logged_at + PROGRESS_LOG_SECONDS:
                    logged_at = time.monotonic()
                    _logger.info("task %d: %d rows replayed, %s of %s", task.number, rows, task.mark, committed)


def _change_model_version(task: Task, before: int) -> None:
    """Journal that this release's model version computes the batches from here on."""
    change = journal.ControlRecord(journal.VERSION, task.number, model_version=MODEL_VERSION, release=__version__)
    task.preamble.append(journal.encode(change))
    _logger.info("task %d: model version %d continues the model of version %d", task.number, MODEL_VERSION, before)
