"""Snapshots off the hot path: the arrays are copied at a committed point, a thread writes them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from queue import Queue
from typing import Any, NamedTuple

import numpy as np

from streamlearn.engine.restore import manifest_of
from streamlearn.engine.task import Task
from streamlearn.state.arrays import copy_arrays
from streamlearn.state.snapshot_store import SnapshotStore

_logger = logging.getLogger(__name__)


class _Job(NamedTuple):
    lineage: str
    task: int
    seq: int
    chain: str
    manifest: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]


class SnapshotWriter:
    """Owns the thread that writes snapshots.

    A snapshot that cannot be written, as on a full disk, is reported and the engine goes on: answers do not need it.
    """

    def __init__(self, store: SnapshotStore, group: str) -> None:
        self._store = store
        self._group = group
        self._queue: Queue[_Job | None] = Queue(maxsize=1)
        self._busy = threading.Event()
        self._written: dict[int, tuple[str, str]] = {}
        self.failures = 0
        self._thread = threading.Thread(target=self._work, name="snapshots", daemon=True)
        self._thread.start()

    @property
    def busy(self) -> bool:
        """Whether a snapshot is being written."""
        return self._busy.is_set()

    def has(self, task: Task) -> None:
        """Note that a task came from a snapshot of the point at which it stands."""
        self._written[task.number] = _point(task)

    def take(self, task: Task) -> None:
        """Copy a task at its committed point and let it be written; waits while another one is."""
        if self._written.get(task.number) == _point(task) or task.mark.seq == 0:
            return
        self._written[task.number] = _point(task)
        self._busy.set()
        mark = task.mark
        self._queue.put(
            _Job(task.lineage, task.number, mark.seq, mark.chain, manifest_of(task), copy_arrays(task.arrays()))
        )

    def close(self) -> None:
        """Write what was taken, then end the thread."""
        self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (job := self._queue.get()) is not None:
            try:
                entry = self._store.save(
                    self._group, job.lineage, job.task, job.seq, job.chain, job.arrays, job.manifest
                )
                self._store.prune(self._group, job.lineage, job.task)
                _logger.info("snapshot written: %s (%d bytes)", entry.path, entry.size_bytes)
            except Exception as error:  # an object store's client raises errors of its own
                self.failures += 1
                self._written.pop(job.task, None)
                _logger.error("snapshot not written, answers go on: %s: %s", type(error).__name__, error)
            if self._queue.empty():
                self._busy.clear()


def _point(task: Task) -> tuple[str, str]:
    return task.lineage, task.mark.chain
