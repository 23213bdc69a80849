"""Verifies a snapshot by replay: the batches since the snapshot before it, applied again, must give the same bits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from streamlearn._version import MODEL_VERSION
from streamlearn.engine.journal import records as journal
from streamlearn.engine.journal.reader import JournalReader
from streamlearn.engine.recovery.restore import Restore
from streamlearn.engine.recovery.snapshot_manifest import (
    build_manifest,
    check_in_journal,
    mark_of,
    model_version_of,
    read_positions,
)
from streamlearn.errors import OffsetLostError, OtherVersionError, OutOfReachError, SnapshotError
from streamlearn.settings.settings import Settings
from streamlearn.snapshot.store import SnapshotEntry, SnapshotStore
from streamlearn.source.base import Source


class SnapshotVerification(NamedTuple):
    """What could be verified of a snapshot; ``text`` says it in words.

    ``replayed``: replaying the journal gives the snapshot's state. ``recorded``: the journal has the snapshot's chain,
    but it cannot be replayed. ``unverified``: the journal no longer has the snapshot's mark.
    """

    result: Literal["replayed", "recorded", "unverified"]
    text: str


def verify_against_journal(
    settings: Settings, source: Source, store: SnapshotStore, entry: SnapshotEntry
) -> SnapshotVerification:
    """Verify a snapshot by a replay from the snapshot before it, or from the model's beginning.

    Parameters
    ----------
    settings:
        The settings of the workers that wrote the snapshot.
    source:
        Where the journal and the input are read.
    store:
        Where the snapshot is, with those before it.
    entry:
        The snapshot.

    Raises
    ------
    JournalError
        When the journal and the input do not belong together.
    SnapshotError
        When the snapshot cannot be read, the journal has another chain at its mark, or the replay gives another state.
    """
    manifest, arrays = store.read(entry)
    offset = manifest["journal_offset"]
    reader = JournalReader(source, settings.journal_topic, entry.task, offset)
    if offset < reader.log_start:
        return SnapshotVerification(
            "unverified",
            f"the journal begins at offset {reader.log_start}, its record of this point was at {offset}",
        )
    check_in_journal(entry, reader.entries[0] if reader.entries and reader.entries[0].offset == offset else None)
    if any(isinstance(later.record, journal.LineageRecord) for later in reader.entries):
        return SnapshotVerification("recorded", "it is of a model that another one has followed")
    positions = read_positions(manifest)
    restore = Restore(settings, source, _EarlierSnapshots(store, entry), read_only=True)
    try:
        task = restore.run(entry.task, sorted(positions), mark_of(entry), positions)
    except OtherVersionError as error:
        version = model_version_of(manifest)
        other = f"model version {version} computed it, and a release of that version can apply the journal again"
        return SnapshotVerification("recorded", str(error) if version == MODEL_VERSION else other)
    except (OffsetLostError, OutOfReachError) as error:
        return SnapshotVerification("recorded", str(error))
    origin = f"sequence {task.snapshot_seq}" if task.snapshot_seq else "the model's beginning"
    _compare_manifests(entry, manifest, build_manifest(task), origin)
    _compare_arrays(entry, arrays, task.arrays(), origin)
    return SnapshotVerification("replayed", f"the journal applied again from {origin} gives the same state")


class _EarlierSnapshots(SnapshotStore):
    """The snapshots of a model before one of them."""

    def __init__(self, store: SnapshotStore, entry: SnapshotEntry) -> None:
        super().__init__(store.location)
        self._end_seq = entry.seq

    def list(
        self, group: str | None = None, lineage: str | None = None, task: int | None = None
    ) -> Sequence[SnapshotEntry]:
        return [each for each in super().list(group, lineage, task) if each.seq < self._end_seq]


def _compare_manifests(
    entry: SnapshotEntry, manifest: Mapping[str, Any], replayed: Mapping[str, Any], origin: str
) -> None:
    for name, value in replayed.items():
        # Releases of one model version write the same state.
        if name != "release" and name in manifest and manifest[name] != value:
            raise SnapshotError(
                f"{entry.path}: its manifest says {name} {manifest[name]}, the replay from {origin} gives {value}"
            )


def _compare_arrays(
    entry: SnapshotEntry, arrays: Mapping[str, np.ndarray], replayed: Mapping[str, np.ndarray], origin: str
) -> None:
    if set(replayed) != set(arrays):
        raise SnapshotError(f"{entry.path}: its arrays are not those that the replay from {origin} gives")
    for name, array in arrays.items():
        other = replayed[name]
        if array.dtype != other.dtype or array.shape != other.shape or array.tobytes() != other.tobytes():
            raise SnapshotError(
                f"{entry.path}: {name} is not what the replay from {origin} gives: the snapshot was altered"
            )
