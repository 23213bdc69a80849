"""Proving a snapshot against the journal: the batches since the one before it, applied again, give the same bits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from streamlearn.engine.journal import records as journal
from streamlearn.engine.journal.reader import JournalReader
from streamlearn.engine.recovery.restore import Restore, check_point, manifest_of
from streamlearn.errors import OffsetLostError, OutOfReachError, SnapshotError
from streamlearn.settings.settings import Settings
from streamlearn.snapshot.store import SnapshotEntry, SnapshotStore
from streamlearn.source.base import Source, TopicPartition


class Proof(NamedTuple):
    """What could be proven of a snapshot.

    ``replayed``: the journal, applied again, gives its state; ``recorded``: the journal has its chain, and applying it
    again is not possible; ``not proven``: the journal no longer has its point. ``text`` says it for people.
    """

    how: Literal["replayed", "recorded", "not proven"]
    text: str


def prove(settings: Settings, source: Source, store: SnapshotStore, entry: SnapshotEntry) -> Proof:
    """Prove a snapshot against the journal, from the snapshot before it or from the model's beginning.

    Parameters
    ----------
    settings:
        The settings of the workers that wrote it.
    source:
        Where the journal and the input are read again.
    store:
        Where it lies, with those before it.
    entry:
        The snapshot.

    Raises
    ------
    JournalError
        When the journal and the input do not belong together.
    SnapshotError
        When it cannot be read, the journal has another chain at its point, or the replay gives another state.
    """
    manifest, arrays = store.read(entry)
    reader = JournalReader(source, settings.journal_topic, entry.task, manifest["journal_offset"])
    at = manifest["journal_offset"]
    if at < reader.log_start:
        return Proof(
            "not proven", f"the journal begins at offset {reader.log_start}, its record of this point was at {at}"
        )
    check_point(entry, reader.entries[0] if reader.entries and reader.entries[0].offset == at else None)
    if any(isinstance(later.record, journal.LineageRecord) for later in reader.entries):
        return Proof("recorded", "it is of a model that another one has followed")
    positions = {TopicPartition(topic, partition): offset for topic, partition, offset in manifest["positions"]}
    restore = Restore(settings, source, _Before(store, entry), following=True)
    try:
        task = restore.run(entry.task, sorted(positions), journal.Mark(entry.seq, entry.chain), positions)
    except (OffsetLostError, OutOfReachError) as error:
        return Proof("recorded", str(error))
    origin = f"sequence {task.snapshot_seq}" if task.snapshot_seq else "the model's beginning"
    _compare(entry, manifest, manifest_of(task), origin)
    replayed = task.arrays()
    if set(replayed) != set(arrays):
        raise SnapshotError(f"{entry.path}: it has other arrays than the replay from {origin} gives")
    for name, array in arrays.items():
        if not _same(array, replayed[name]):
            raise SnapshotError(
                f"{entry.path}: {name} is not what the replay from {origin} gives: the snapshot was altered"
            )
    return Proof("replayed", f"the journal applied again from {origin} gives the same state")


class _Before(SnapshotStore):
    """The snapshots of a model before one of them."""

    def __init__(self, store: SnapshotStore, entry: SnapshotEntry) -> None:
        super().__init__(store.location)
        self._before = entry

    def list(
        self, group: str | None = None, lineage: str | None = None, task: int | None = None
    ) -> Sequence[SnapshotEntry]:
        return [each for each in super().list(group, lineage, task) if each.seq < self._before.seq]


def _compare(entry: SnapshotEntry, said: dict[str, Any], replayed: dict[str, Any], origin: str) -> None:
    for name, value in replayed.items():
        if name in said and said[name] != value:
            raise SnapshotError(
                f"{entry.path}: its manifest says {name} {said[name]}, the replay from {origin} gives {value}"
            )


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
