"""Checks that this release continues the models of the group, before a worker joins it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import groupby

from streamlearn._version import MODEL_VERSION, __version__
from streamlearn.engine.recovery.version_road import Road, VersionRoad, find_road
from streamlearn.engine.tasks.task_scope import all_tasks
from streamlearn.errors import OtherVersionError, StreamlearnError
from streamlearn.kafka.admin.group_checks import find_living_members
from streamlearn.settings.settings import Settings
from streamlearn.snapshot.store import SnapshotStore
from streamlearn.source.base import Source

_logger = logging.getLogger(__name__)


def find_roads(settings: Settings, source: Source, store: SnapshotStore) -> list[VersionRoad]:
    """Return how this release continues the model of each task; raises as `find_road`."""
    return [
        find_road(settings, source, store, number, partitions)
        for number, partitions in all_tasks(settings, source).items()
    ]


def check_model_versions(settings: Settings, source: Source, store: SnapshotStore) -> None:
    """Refuse models that this release does not continue, and those that need an upgrade while nobody else runs.

    Beside other workers it may stand by, and upgrades a model when it takes the model over.

    Raises
    ------
    OtherVersionError
        With the way out.
    """
    try:
        roads = find_roads(settings, source, store)
    except StreamlearnError as error:
        # What keeps a model from being restored is an error when the worker has to restore it.
        _logger.debug("model versions are not known yet: %s", error)
        return
    if faults := find_version_faults(settings, roads):
        raise OtherVersionError("; ".join(faults))


def find_version_faults(settings: Settings, roads: Sequence[VersionRoad]) -> list[str]:
    """Return what a worker of this release would be refused with, a sentence each.

    Where a model needs an upgrade, this waits until it is known which members of the group live.
    """
    refused = [road.text for road in roads if road.road is Road.REFUSE]
    upgrades = [road for road in roads if road.road is Road.UPGRADE]
    if not upgrades:
        return refused
    living = find_living_members(settings)
    if any(member.instance != settings.worker.name for member in living):
        return refused
    if living:
        return [
            *refused,
            f"{', '.join(map(str, living))} still runs, under this worker's name (worker.name): stop it with SIGTERM, "
            "which drains its model",
        ]
    return [*refused, *(road.text for road in upgrades)]


def describe_roads(roads: Sequence[VersionRoad]) -> list[str]:
    """Return which release and model version this is, and how it continues the models, a sentence each."""
    lines = [f"this is release {__version__} of model version {MODEL_VERSION}"]
    for road, group in groupby(sorted(roads, key=lambda each: each.road), key=lambda each: each.road):
        same = list(group)
        if road is Road.BEGIN:
            lines.append(f"models that begin: {len(same)}")
        elif road is Road.CONTINUE:
            lines.append(f"models of model version {MODEL_VERSION}, which are continued: {len(same)}")
        else:
            lines.extend(each.text for each in same)
    return lines
