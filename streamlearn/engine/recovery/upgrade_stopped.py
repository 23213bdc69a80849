"""Upgrades a model while no worker runs, for ``streamlearn upgrade``."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from streamlearn.engine.commit import read_mark
from streamlearn.engine.journal import records as journal
from streamlearn.engine.journal.reader import find_offset
from streamlearn.engine.recovery.group_commit import Change, ChangeRecord, commit_change
from streamlearn.engine.recovery.restore import OnProgress, Restore
from streamlearn.engine.recovery.snapshot_manifest import build_manifest
from streamlearn.engine.recovery.upgrade import apply_upgrade
from streamlearn.errors import OvertakenError, SnapshotError, UsageError
from streamlearn.settings.settings import Settings
from streamlearn.sink.base import OutputRecord, Sink
from streamlearn.snapshot.store import SnapshotEntry, SnapshotStore
from streamlearn.source.base import Source, TopicPartition

_logger = logging.getLogger(__name__)


class UpgradeResult(NamedTuple):
    """An upgrade that was committed."""

    mark: journal.Mark
    rows: int  # that were applied once more
    snapshot: SnapshotEntry  # of the mark


def upgrade_stopped(
    settings: Settings,
    observer: Source,
    source: Source,
    sink: Sink,
    store: SnapshotStore,
    number: int,
    partitions: Sequence[TopicPartition],
    *,
    clock: Callable[[], int] = time.time_ns,
    on_progress: OnProgress | None = None,
    wait_seconds: float = 0.0,
) -> UpgradeResult:
    """Apply the rows since the newest snapshot once more, commit the upgrade, and write a snapshot of it.

    Parameters
    ----------
    settings:
        The settings of the workers.
    observer:
        Where journal and input are read; not a member of the group.
    source, sink:
        Not open yet; closed at the end.
    store:
        Snapshots.
    number, partitions:
        The task.
    clock:
        Nanoseconds since the epoch.
    on_progress:
        Called after every batch.
    wait_seconds:
        Longest wait for members of the group to leave it.

    Raises
    ------
    OvertakenError
        When a worker has committed in the meantime; nothing was changed.
    RetryableError
        When nothing was committed because brokers failed.
    SnapshotError
        When the rows cannot be applied; nothing was changed. When the snapshot cannot be written, the upgrade is
        committed, and the next start applies the rows again.
    StopError
        When workers run; nothing was changed.
    UsageError
        When the model needs no upgrade.
    """
    before, positions = read_mark(observer, partitions)
    if before is None:
        raise UsageError(f"group {settings.kafka.group_id} has committed nothing: there is no model to upgrade")
    restore = Restore(settings, observer, store, on_progress, may_upgrade=True)
    task = restore.run(number, partitions, before, positions)
    path = restore.upgraded_from
    if path is None:
        raise UsageError(f"task {number} needs no upgrade: start the workers")
    rows = 0

    def build(reached: dict[TopicPartition, int]) -> tuple[ChangeRecord, list[OutputRecord]]:
        nonlocal rows
        if reached != positions:
            raise OvertakenError(f"task {number}: a worker has run; nothing was changed")
        part, record = apply_upgrade(task, path, before, clock(), source)
        rows = record.rows
        return record, part.outputs

    mark = commit_change(settings, source, sink, Change("upgrade", number, partitions, before, build), wait_seconds)
    task.journal_offset = find_offset(observer, settings.journal_topic, number, task.journal_offset, mark)
    group = settings.kafka.group_id
    try:
        entry = store.save(group, task.lineage, number, mark.seq, mark.chain, task.arrays(), build_manifest(task))
    except SnapshotError as error:
        raise SnapshotError(
            f"task {number} is upgraded at {mark}, but its snapshot was not written ({error}); start the workers: they "
            "apply the rows again and write one"
        ) from error
    _logger.info("task %d was upgraded at %s; snapshot %s", number, mark, entry.path)
    return UpgradeResult(mark, rows, entry)
