"""Snapshot manifests: builds the manifest of a task, and loads a task from a snapshot with such a manifest.

The store adds group, lineage, task, sequence number and chain to the manifest (`snapshot.store`), the file format its
own keys (`snapshot.format`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from streamlearn._version import MODEL_VERSION, __version__
from streamlearn.engine.journal import records as journal
from streamlearn.engine.journal.reader import JournalEntry
from streamlearn.engine.tasks.journalled_settings import with_journalled_settings
from streamlearn.engine.tasks.task import Task
from streamlearn.errors import SnapshotError
from streamlearn.migrations.registry import migrate
from streamlearn.settings.settings import Settings
from streamlearn.snapshot.store import SnapshotEntry, SnapshotStore
from streamlearn.source.base import TopicPartition

_logger = logging.getLogger(__name__)

PROGRESS_LOG_SECONDS = 5.0
"""How often the progress of reading a snapshot is logged."""


def build_manifest(task: Task) -> dict[str, Any]:
    """Return the manifest of a task at its committed mark."""
    return {
        "positions": [[*partition, offset] for partition, offset in sorted(task.positions.items())],
        "topics": {topic: [identity.id, identity.partitions] for topic, identity in sorted(task.topics.items())},
        "journal_offset": task.journal_offset,
        "model_version": MODEL_VERSION,
        "release": __version__,
        "settings": task.journalled_settings,
        "now": task.now_ns,
        "rollback": None if task.rollback is None else msgspec.to_builtins(task.rollback),
        "upgrade": None if task.upgrade is None else msgspec.to_builtins(task.upgrade),
    }


def model_version_of(manifest: Mapping[str, Any]) -> int:
    """Return the model version that wrote a snapshot; 0 for releases before model versions."""
    return manifest.get("model_version", 0)


def read_positions(manifest: Mapping[str, Any]) -> dict[TopicPartition, int]:
    """Return the positions in a manifest."""
    return {TopicPartition(topic, partition): offset for topic, partition, offset in manifest["positions"]}


def load_task(
    settings: Settings,
    store: SnapshotStore,
    entry: SnapshotEntry,
    partitions: Sequence[TopicPartition],
    on_read: Callable[[], None] = lambda: None,
) -> Task:
    """Return a task as a snapshot has it.

    Parameters
    ----------
    settings:
        The settings of this run; the journalled ones come from the snapshot.
    store, entry:
        The snapshot.
    partitions:
        The partitions that the task reads.
    on_read:
        Called after each block of the snapshot.

    Raises
    ------
    SnapshotError
        When the snapshot cannot be read, or does not fit this release.
    """
    progress = _ReadProgress(entry, on_read)
    with store.open(entry, progress.add) as (manifest, arrays):
        try:
            journalled, migrated = migrate(model_version_of(manifest), manifest["settings"], arrays)
        except SnapshotError as error:
            raise SnapshotError(f"{entry.path}: {error}") from error
        task = Task(with_journalled_settings(settings, journalled), entry.task, partitions, entry.lineage)
        task.load_arrays(migrated)
    task.positions = read_positions(manifest)
    task.topics = {topic: journal.TopicIdentity(*identity) for topic, identity in manifest["topics"].items()}
    task.mark = mark_of(entry)
    task.snapshot_seq = entry.seq
    task.journal_offset = manifest["journal_offset"]
    # Snapshots of older releases have none of these.
    task.now_ns = manifest.get("now", 0)
    rollback, upgrade = manifest.get("rollback"), manifest.get("upgrade")
    task.rollback = None if rollback is None else msgspec.convert(rollback, journal.RollbackRecord)
    task.upgrade = None if upgrade is None else msgspec.convert(upgrade, journal.UpgradeRecord)
    return task


def mark_of(entry: SnapshotEntry) -> journal.Mark:
    """Return the mark of a snapshot."""
    return journal.Mark(entry.seq, entry.chain)


def find_newest(store: SnapshotStore, group: str, task: Task) -> SnapshotEntry | None:
    """Return the newest snapshot of a task, up to its mark, that can be opened; None without one.

    Raises
    ------
    SnapshotError
        When the store cannot be listed.
    """
    # Highest sequence number first. After a rollback there may be two of one number.
    entries = sorted(
        store.list(group, task.lineage, task.number),
        key=lambda entry: (-entry.seq, mark_of(entry) != task.mark),
    )
    return next((entry for entry in entries if entry.seq <= task.mark.seq and store.can_open(entry)), None)


def check_in_journal(entry: SnapshotEntry, found: JournalEntry | None) -> None:
    """Raise `SnapshotError` unless the journal has the mark of a snapshot.

    ``found`` is the journal's entry at the offset that the snapshot's manifest names.
    """
    record = None if found is None else found.record
    if not isinstance(record, journal.NumberedRecord):
        shown = "no such batch"
    elif record.mark == mark_of(entry):
        return
    else:
        shown = str(record.mark)
    raise SnapshotError(
        f"{entry.path} is at {mark_of(entry)}, the journal has {shown} there: it belongs to another model"
    )


class _ReadProgress:
    """Reports the progress of reading a snapshot to a callback, and to the log every few seconds."""

    def __init__(self, entry: SnapshotEntry, on_read: Callable[[], None]) -> None:
        self._entry = entry
        self._on_read = on_read
        self._read_bytes = 0
        self._logged_at = time.monotonic()

    def add(self, size_bytes: int) -> None:
        """Add a block that was read."""
        self._read_bytes += size_bytes
        self._on_read()
        if time.monotonic() > self._logged_at + PROGRESS_LOG_SECONDS:
            self._logged_at = time.monotonic()
            read_mb, whole_mb = self._read_bytes / 1e6, self._entry.size_bytes / 1e6
            _logger.info("snapshot %s: %.0f of %.0f MB read", self._entry.path, read_mb, whole_mb)
