"""Warm stand-by: a worker without partitions follows the active worker's journal and holds the same model.

A thread applies each committed batch to a copy of the model, and verifies it by the journal's chain. It only reads: it
joins no group, commits nothing and writes nothing. When the worker becomes active, it takes the model over at the
committed mark, so that a takeover needs no restore, however large the model is.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from itertools import count
from typing import Literal, NamedTuple

from streamlearn._version import MODEL_VERSION
from streamlearn.cleanup import Cleanup
from streamlearn.engine.commit import read_mark
from streamlearn.engine.journal import records as journal
from streamlearn.engine.journal.reader import JournalEntry, decode_entry
from streamlearn.engine.recovery.replay import Replay
from streamlearn.engine.recovery.restore import OnProgress, Restore
from streamlearn.engine.recovery.version_road import Road, find_road
from streamlearn.engine.tasks.task import Task
from streamlearn.engine.tasks.task_scope import all_tasks
from streamlearn.errors import OtherVersionError, RetryableError, SnapshotError
from streamlearn.settings.settings import Settings
from streamlearn.snapshot.store import SnapshotStore
from streamlearn.source.base import Source, TopicPartition
from streamlearn.telemetry.attempts import Attempt

_logger = logging.getLogger(__name__)

TASK = 0
"""The only task of scope ``topic``."""
FOLLOW_SECONDS = 0.5
"""Longest wait for the next journal records."""
PROGRESS_SECONDS = 1.0
"""How often a takeover that waits reports."""
NO_MODEL_SECONDS = 1.0
"""How often the committed offsets are read while there is no model."""
READ_AGAIN_SECONDS = 1.0
"""Pause after brokers did not answer."""
RETRY_SECONDS = 10.0
"""Pause after a failure."""
STUCK_SECONDS = 60.0
"""A takeover stops to wait when nothing was applied for so long."""
CLOSE_SECONDS = 10.0
"""Longest wait for the thread to end."""
MAX_BUFFERED_ENTRIES = 1_000
"""Journal entries to read ahead."""

State = Literal["waiting", "restoring", "following", "cold"]


class StandbyStatus(NamedTuple):
    """The status of a stand-by.

    ``state`` is ``waiting`` while there is no model yet, ``restoring`` until the stand-by holds it, ``following`` from
    then on, and ``cold`` while it cannot hold it, for the ``reason``. ``lag_batches`` are the committed batches that it
    has read and not applied. ``restored`` is the progress of a restore: the rows replayed, and the share, from 0 to 1,
    of the batches; None before the first one and after the restore.
    """

    state: State
    mark: journal.Mark | None = None
    lag_batches: int = 0
    reason: str = ""
    restored: tuple[int, float] | None = None


class _EndedError(Exception):
    """Ends the thread: the model was taken over, or is not needed any more."""


class Standby:
    """Follows the model of scope ``topic`` from its own thread, until it is taken over or closed.

    Parameters
    ----------
    settings:
        The settings of this run.
    source:
        Used once, to open the thread's own connection (`Source.observer`).
    store:
        Snapshots to restore from; None when there is no store.
    on_failure, on_retry:
        Called from the thread when it failed, and when it tries again.
    task:
        The model at a committed mark, of a worker that has just lost the active role; None to restore it.
    """

    def __init__(
        self,
        settings: Settings,
        source: Source,
        store: SnapshotStore | None,
        task: Task | None = None,
        *,
        on_failure: Callable[[Attempt, Exception], None] = lambda what, error: None,
        on_retry: Callable[[Attempt], None] = lambda what: None,
    ) -> None:
        self._settings = settings
        self._source = source
        self._store = store
        self._on_failure = on_failure
        self._on_retry = on_retry
        self._task = task
        self._status = StandbyStatus("restoring")
        self._rows = 0
        self._progressed_at = time.monotonic()
        self._ended = False
        # Guards the attributes above. It is held while a batch is applied: its holder sees a whole model.
        self._changed = threading.Condition()
        self._takeover_requested = threading.Event()
        self._thread = threading.Thread(target=self._work, name="stand-by", daemon=True)
        self._thread.start()

    @property
    def status(self) -> StandbyStatus:
        """The status; may be read from any thread."""
        return self._status

    def take_over(
        self, mark: journal.Mark, positions: Mapping[TopicPartition, int], on_progress: OnProgress
    ) -> Task | None:
        """Wait until the model is at the committed mark, stop following, and return the model; None when it cannot be
        used.

        ``on_progress`` is called about every second until then.
        """
        self._takeover_requested.set()
        self._progressed_at = time.monotonic()
        while not self._changed.acquire(timeout=PROGRESS_SECONDS):
            on_progress(None, self._rows, 0.0)
        try:
            while not self._ended and (self._task is None or self._task.mark.seq < mark.seq):
                if not self._changed.wait(PROGRESS_SECONDS):
                    on_progress(None, self._rows, 0.0)
                if time.monotonic() - self._progressed_at > STUCK_SECONDS:
                    _logger.warning("the stand-by applied nothing for %.0f s; its model is not used", STUCK_SECONDS)
                    self._task = None
                    break
            self._ended = True
            task = self._task
        finally:
            self._changed.release()
        if task is None and self._status.state == "cold":
            return None
        if task is None or task.mark != mark or task.positions != dict(positions):
            _logger.warning("the stand-by is at %s, committed is %s; its model is not used", task and task.mark, mark)
            return None
        return task

    def end(self) -> None:
        """Ask the thread to end; it closes its connections itself."""
        self._ended = True
        self._takeover_requested.set()

    def close(self) -> None:
        """End the thread, within a bounded time."""
        self.end()
        self._thread.join(CLOSE_SECONDS)

    def _work(self) -> None:
        """Run the thread: follow the journal, and start again after a failure."""
        try:
            for failures in count():
                if self._ended:
                    return
                if failures:
                    self._on_retry("stand_by")
                try:
                    source = self._source.observer()
                    with Cleanup(lambda source=source: source.close(leave=False)):
                        self._follow(source)
                except _EndedError:
                    return
                except RetryableError as error:
                    # It comes from reading, not from applying: the model is whole, and goes on from there.
                    self._drop_preamble()
                    self._on_failure("stand_by", error)
                    _logger.warning("the stand-by cannot read: %s; trying again", error)
                    if self._task is None:
                        self._report_failure(error)
                    if self._takeover_requested.wait(READ_AGAIN_SECONDS):
                        return
                except OtherVersionError as error:
                    # Not a failure: it passes when the other worker ends or is upgraded.
                    self._report_cold(str(error))
                    if self._takeover_requested.wait(RETRY_SECONDS):
                        return
                except Exception as error:  # neither the active worker nor a cold takeover depends on the stand-by
                    self._on_failure("stand_by", error)
                    self._report_failure(error)
                    if self._takeover_requested.is_set():
                        return
                    self._takeover_requested.wait(RETRY_SECONDS)
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _drop_preamble(self) -> None:
        """Drop the journal records after the last batch: they are read again."""
        with self._changed:
            if self._task is not None and not self._ended:
                self._task.preamble = []

    def _report_failure(self, error: Exception) -> None:
        self._report_cold(f"{type(error).__name__}: {error}")

    def _report_cold(self, reason: str) -> None:
        if reason != self._status.reason:
            _logger.warning("not standing by warm: %s; looking again every %.0f s", reason, RETRY_SECONDS)
        with self._changed:
            if not self._ended:
                self._task = None
                self._status = StandbyStatus("cold", reason=reason)

    def _on_progress(self, task: Task | None, rows: int, share: float) -> None:
        if self._ended:
            raise _EndedError
        self._progressed_at = time.monotonic()
        self._rows = rows
        if self._status.state == "restoring":
            self._status = StandbyStatus("restoring", restored=(rows, share))

    def _follow(self, source: Source) -> None:
        """Restore the model unless there is one, then apply new journal entries until the end."""
        task = self._task or self._restore(source)
        partition = TopicPartition(self._settings.journal_topic, TASK)
        replay = Replay(self._settings, source, task, "the stand-by's model")
        reader = source.reader(partition, task.journal_offset + 1)
        with Cleanup(replay.close, reader.close):
            entries: deque[JournalEntry] = deque()
            last_seq = task.mark.seq
            rows = 0
            self._publish(task, last_seq, rows)
            while not self._ended:
                if len(entries) < MAX_BUFFERED_ENTRIES:
                    for raw in reader.follow(0.0 if entries else FOLLOW_SECONDS):
                        entry = decode_entry(raw)
                        entries.append(entry)
                        if isinstance(entry.record, journal.NumberedRecord):
                            last_seq = entry.record.seq
                self._status = StandbyStatus("following", task.mark, last_seq - task.mark.seq)
                if entries:
                    with self._changed:
                        if self._ended:
                            break
                        _check_same_model(entries[0])
                        rows += replay.apply(entries.popleft())
                        self._publish(task, last_seq, rows)

    def _publish(self, task: Task, last_seq: int, rows: int) -> None:
        """Make the model, which is whole, available to a takeover."""
        with self._changed:
            self._on_progress(task, rows, 1.0)
            self._task = task
            self._status = StandbyStatus("following", task.mark, last_seq - task.mark.seq)
            self._changed.notify_all()

    def _restore(self, source: Source) -> Task:
        """Return the model at the committed mark, as soon as there is one."""
        partitions = all_tasks(self._settings, source)[TASK]
        while True:
            mark, positions = read_mark(source, partitions)
            if mark is not None:
                break
            self._status = StandbyStatus("waiting")
            if self._takeover_requested.wait(NO_MODEL_SECONDS):
                raise _EndedError
        road = find_road(self._settings, source, self._store, TASK, partitions)
        if road.road in (Road.MIGRATE, Road.UPGRADE):
            found = MODEL_VERSION if road.path is None else road.path.final_version
            raise OtherVersionError(
                f"waits for an upgrade: the model is of model version {found}, this worker continues it with version "
                f"{MODEL_VERSION} when it becomes active"
            )
        self._status = StandbyStatus("restoring")
        restore = Restore(self._settings, source, self._store, self._on_progress, read_only=True)
        task = restore.run(TASK, partitions, mark, positions)
        _logger.info("standing by at %s", task.mark)
        return task


def _check_same_model(entry: JournalEntry) -> None:
    """Stop following where the model ends or another model version takes over; it is restored then, if it can be."""
    record = entry.record
    if isinstance(record, journal.LineageRecord):
        raise SnapshotError(f"a new model, lineage {record.id}, was started at offset {entry.offset} of the journal")
    version = MODEL_VERSION
    if isinstance(record, journal.ControlRecord) and record.model_version is not None:
        version = record.model_version
    elif isinstance(record, journal.UpgradeRecord):
        version = record.to_version
    if version != MODEL_VERSION:
        raise OtherVersionError(
            f"the active worker has model version {version}, this one {MODEL_VERSION}: upgrade this worker too"
        )
