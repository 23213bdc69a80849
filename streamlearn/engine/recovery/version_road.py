"""Says how this release continues a model that another release may have written: from what is committed, the journal
and the snapshots' manifests. Nothing is changed."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from streamlearn._version import MODEL_VERSION
from streamlearn.engine.commit import read_mark
from streamlearn.engine.journal import records as journal
from streamlearn.engine.journal.model_versions import count_rows
from streamlearn.engine.recovery.snapshot_manifest import model_version_of
from streamlearn.engine.recovery.snapshot_paths import SnapshotPath, SnapshotPaths, other_version
from streamlearn.errors import SnapshotError
from streamlearn.settings.settings import Settings
from streamlearn.snapshot.store import SnapshotStore
from streamlearn.source.base import Source, TopicPartition


class Road(StrEnum):
    """How this release continues a model."""

    BEGIN = "begin"  # there is no model yet
    CONTINUE = "continue"  # it is of this model version
    MIGRATE = "migrate"  # its newest snapshot is the committed point, of the version before
    UPGRADE = "upgrade"  # the version before computed batches after the newest snapshot: their rows are applied again
    REFUSE = "refuse"  # it is of a version that this release does not read, or of a newer one


class VersionRoad(NamedTuple):
    """How this release continues the model of a task."""

    task: int
    road: Road
    path: SnapshotPath | None  # None for a new model
    text: str

    @property
    def rows(self) -> int:
        """Rows since the start of the way, which a restore applies."""
        return 0 if self.path is None else count_rows(self.path.entries)


def find_road(
    settings: Settings,
    source: Source,
    store: SnapshotStore | None,
    number: int,
    partitions: Sequence[TopicPartition],
) -> VersionRoad:
    """Return how this release continues the model of a task.

    Parameters
    ----------
    settings:
        The settings of this run.
    source:
        Where offsets and the journal are read; it need not be a member of the group.
    store:
        Snapshots, of which manifests are read; None when there is no store.
    number, partitions:
        The task.

    Raises
    ------
    StreamlearnError
        When offsets, the journal or the snapshots cannot be read, or do not lead to what is committed.
    """
    committed, _ = read_mark(source, partitions)
    if committed is None:
        return VersionRoad(number, Road.BEGIN, None, f"task {number}: there is no model yet")
    paths = SnapshotPaths(settings, source, store, may_be_longer=True)
    for path in paths.from_snapshots(number, committed):
        if isinstance(path, SnapshotPath):
            return _road_of(number, committed, path, store, settings)
        paths.refused.append(str(path))
    return _road_of(number, committed, paths.from_beginning(number, committed), store, settings)


def _road_of(
    number: int, committed: journal.Mark, path: SnapshotPath, store: SnapshotStore | None, settings: Settings
) -> VersionRoad:
    found, rows = path.final_version, count_rows(path.entries)
    if path.can_replay and found == MODEL_VERSION:
        text = f"task {number} at {committed} is of model version {MODEL_VERSION}, which this release continues"
        return VersionRoad(number, Road.CONTINUE, path, text)
    if path.can_replay:
        text = (
            f"task {number} at {committed} is of model version {found} and drained: this release continues it from "
            f"{path.start_text}, migrated to model version {MODEL_VERSION}"
        )
        return VersionRoad(number, Road.MIGRATE, path, text)
    if path.can_upgrade:
        text = (
            f"task {number} at {committed} is of model version {found}, and {rows:,} rows were applied since "
            f"{path.start_text}: while its worker runs, stop that with SIGTERM; after a crash, `streamlearn run "
            "--drain` with the release of that version loses nothing; without it, `streamlearn upgrade` learns these "
            f"rows again with model version {MODEL_VERSION}, and their answers stay as they are"
        )
        return VersionRoad(number, Road.UPGRADE, path, text)
    text = f"task {number} at {committed}: {other_version(path)}"
    if found > MODEL_VERSION and (own := _newest_of_this_version(store, settings, number, path)):
        text += f"; the newest of these is {own}"
    return VersionRoad(number, Road.REFUSE, path, text)


def _newest_of_this_version(store: SnapshotStore | None, settings: Settings, number: int, path: SnapshotPath) -> str:
    """Return the path of the newest snapshot that this release wrote of the model; empty without one."""
    if store is None:
        return ""
    lineage = None if path.entry is None else path.entry.lineage
    for entry in sorted(store.list(settings.kafka.group_id, lineage, number), key=lambda entry: -entry.seq):
        try:
            if model_version_of(store.read_manifest(entry)) == MODEL_VERSION:
                return entry.path
        except SnapshotError:
            continue
    return ""
