"""StandbyStatus by: a worker without partitions follows the active one's journal and holds the same model.

A thread of its own applies each committed batch to its own copy of the model and proves it by the journal's chain. It
reads only: it joins no group, commits nothing and writes nothing. Whoever becomes active takes the model over at the
committed mark, so that a takeover costs no restore, whatever the size of the model.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import Literal, NamedTuple

from streamlearn.engine import commit
from streamlearn.engine.journal import records as journal
from streamlearn.engine.journal.reader import Entry, entry_of
from streamlearn.engine.recovery.replay import Replay
from streamlearn.engine.recovery.restore import Progress, Restore
from streamlearn.engine.tasks.task import Task
from streamlearn.engine.tasks.task_scope import tasks_of
from streamlearn.errors import SnapshotError
from streamlearn.kernels.cache import kernel_hash
from streamlearn.settings.settings import Settings
from streamlearn.snapshot.store import SnapshotStore
from streamlearn.source.base import Source, TopicPartition

_logger = logging.getLogger(__name__)

TASK = 0
WAIT_SECONDS = 0.5
WAITING_SECONDS = 1.0
EMPTY_SECONDS = 1.0
RETRY_SECONDS = 10.0
STUCK_SECONDS = 60.0
CLOSE_SECONDS = 10.0
ENTRIES_AT_HAND = 1_000

State = Literal["waiting", "restoring", "following", "cold"]


class StandbyStatus(NamedTuple):
    """Where a stand-by stands.

    ``state`` is ``waiting`` while there is no model yet, ``restoring`` until it holds one, ``following`` from then on,
    and ``cold`` when it cannot hold it, for the ``reason``. ``lag_batches`` are committed batches that it knows of and
    has not applied.
    """

    state: State
    mark: journal.Mark | None = None
    lag_batches: int = 0
    reason: str = ""


class _EndedError(Exception):
    """The thread is to end: the model was taken over, or nobody wants it."""


class Standby:
    """Follows the model of scope ``topic`` from a thread of its own, until it is taken over or closed.

    Parameters
    ----------
    settings:
        The settings of this run.
    source:
        Asked for an observer; not used otherwise.
    store:
        Snapshots to begin with; None when there are none.
    task:
        The model at a committed mark, of a worker that has lost the active role; None to restore it.
    """

    def __init__(
        self, settings: Settings, source: Source, store: SnapshotStore | None, task: Task | None = None
    ) -> None:
        self._settings = settings
        self._source = source
        self._store = store
        self._task = task
        self._standing = StandbyStatus("restoring")
        self._rows = 0
        self._moved_at = time.monotonic()
        self._ended = False
        # Guards what is above. It is held while a batch is applied, so that whoever holds it has a whole model.
        self._changed = threading.Condition()
        self._wanted = threading.Event()
        self._thread = threading.Thread(target=self._work, name="stand-by", daemon=True)
        self._thread.start()

    @property
    def standing(self) -> StandbyStatus:
        """Where it stands; may be asked from any thread."""
        return self._standing

    def take_over(self, mark: journal.Mark, positions: Mapping[TopicPartition, int], waiting: Progress) -> Task | None:
        """Let the model come to the committed mark, stop following, and return the model; None when it cannot.

        ``waiting`` is called about every second until then.
        """
        self._wanted.set()
        self._moved_at = time.monotonic()
        while not self._changed.acquire(timeout=WAITING_SECONDS):
            waiting(None, self._rows, 0.0)
        try:
            while not self._ended and (self._task is None or self._task.mark.seq < mark.seq):
                if not self._changed.wait(WAITING_SECONDS):
                    waiting(None, self._rows, 0.0)
                if time.monotonic() - self._moved_at > STUCK_SECONDS:
                    _logger.warning("the stand-by applied nothing for %.0f s; its model is not used", STUCK_SECONDS)
                    self._task = None
                    break
            self._ended = True
            task = self._task
        finally:
            self._changed.release()
        if task is None or task.mark != mark or task.positions != dict(positions):
            _logger.warning("the stand-by is at %s, committed is %s; its model is not used", task and task.mark, mark)
            return None
        return task

    def end(self) -> None:
        """Let the thread end as soon as it can; it gives its connections back by itself."""
        self._ended = True
        self._wanted.set()

    def close(self) -> None:
        """End the thread, within a bounded time."""
        self.end()
        self._thread.join(CLOSE_SECONDS)

    def _work(self) -> None:
        try:
            while not self._ended:
                try:
                    with contextlib.closing(_Observer(self._source)) as observer:
                        self._follow(observer.source)
                except _EndedError:
                    return
                except Exception as error:  # whatever it is, the active worker and a cold takeover do not depend on it
                    self._fails(error)
                    if self._wanted.is_set():
                        return
                    self._wanted.wait(RETRY_SECONDS)
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _fails(self, error: Exception) -> None:
        reason = f"{type(error).__name__}: {error}"
        if reason != self._standing.reason:
            _logger.warning("not standing by warm: %s; trying again every %.0f s", reason, RETRY_SECONDS)
        with self._changed:
            if not self._ended:
                self._task = None
                self._standing = StandbyStatus("cold", reason=reason)

    def _progress(self, task: Task | None, rows: int, share: float) -> None:
        if self._ended:
            raise _EndedError
        self._moved_at = time.monotonic()
        self._rows = rows

    def _follow(self, source: Source) -> None:
        """Restore the model unless it is held, then apply what the journal brings, without an end."""
        task = self._task or self._restored(source)
        partition = TopicPartition(self._settings.journal_topic, TASK)
        with (
            contextlib.closing(source.reader(partition, task.journal_offset + 1)) as reader,
            contextlib.closing(Replay(self._settings, source, task, "the stand-by's model")) as replay,
        ):
            at_hand: deque[Entry] = deque()
            known = task.mark.seq
            rows = 0
            self._holds(task, known, rows)
            while not self._ended:
                if len(at_hand) < ENTRIES_AT_HAND:
                    for raw in reader.follow(0.0 if at_hand else WAIT_SECONDS):
                        entry = entry_of(raw)
                        at_hand.append(entry)
                        if isinstance(entry.record, journal.NumberedRecord):
                            known = entry.record.seq
                self._standing = StandbyStatus("following", task.mark, known - task.mark.seq)
                if at_hand:
                    with self._changed:
                        if self._ended:
                            break
                        _check_same_model(at_hand[0])
                        rows += replay.apply(at_hand.popleft())
                        self._holds(task, known, rows)

    def _holds(self, task: Task, known: int, rows: int) -> None:
        """Note that the model is whole, and where it stands."""
        with self._changed:
            self._progress(task, rows, 1.0)
            self._task = task
            self._standing = StandbyStatus("following", task.mark, known - task.mark.seq)
            self._changed.notify_all()

    def _restored(self, source: Source) -> Task:
        """Return the model at the mark that is committed, as soon as there is one."""
        topics = self._settings.topics
        inputs = [
            TopicPartition(topic, number)
            for topic in (topics.instances, topics.labels)
            if topic
            for number in range(source.partitions(topic))
        ]
        partitions = tasks_of(self._settings, inputs)[TASK]
        while True:
            mark, positions = commit.read_mark(source, partitions)
            if mark is not None:
                break
            self._standing = StandbyStatus("waiting")
            if self._wanted.wait(EMPTY_SECONDS):
                raise _EndedError
        self._standing = StandbyStatus("restoring")
        restore = Restore(self._settings, source, self._store, self._progress, following=True)
        task = restore.run(TASK, partitions, mark, positions)
        _logger.info("standing by at %s", task.mark)
        return task


class _Observer:
    """An observer that is closed as one closes a connection."""

    def __init__(self, source: Source) -> None:
        self.source = source.observer()

    def close(self) -> None:
        self.source.close(leave=False)


def _check_same_model(entry: Entry) -> None:
    """Refuse to go on where the model ends or another release computes it; it is restored then, if it can be."""
    record = entry.record
    if isinstance(record, journal.LineageRecord):
        raise SnapshotError(f"a new model, lineage {record.id}, was begun at offset {entry.offset} of the journal")
    if isinstance(record, journal.ControlRecord) and record.kernel and record.kernel != kernel_hash():
        raise SnapshotError(f"the active worker runs another release (kernel {record.kernel})")
