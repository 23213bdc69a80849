"""Checks that a worker could continue the models of the group."""

from __future__ import annotations

from streamlearn.check.model_versions import describe_roads, find_roads, find_version_faults
from streamlearn.cleanup import Cleanup
from streamlearn.engine.loop.start_check import find_start_faults
from streamlearn.errors import StreamlearnError
from streamlearn.kafka.admin.topics import TopicDescription
from streamlearn.kafka.source import KafkaSource
from streamlearn.settings.settings import Settings
from streamlearn.snapshot.store import SnapshotStore


def find_model_faults(settings: Settings, topics: dict[str, TopicDescription]) -> list[str]:
    """Return what would keep a worker from continuing at the committed offsets, a sentence each.

    Nothing is found while an input topic or the journal is missing: there is no model then.

    Raises
    ------
    StreamlearnError
        When offsets, journal or snapshots cannot be read.
    """
    needed = {settings.topics.instances, settings.topics.labels, settings.journal_topic} - {""}
    if not needed <= topics.keys():
        return []
    source = KafkaSource(settings).observer(settled=False)
    store = SnapshotStore(settings.snapshot.location, settings.snapshot.keep)
    with Cleanup(lambda: source.close(leave=False)):
        faults = find_start_faults(settings, source, store)
        # Without these, the journal and the snapshots lead to what is committed.
        return faults or find_version_faults(settings, find_roads(settings, source, store))


def describe_models(settings: Settings) -> list[str]:
    """Return which release this is and how it continues each model, a sentence each; only the release while no model
    can be read."""
    store = SnapshotStore(settings.snapshot.location, settings.snapshot.keep)
    try:
        source = KafkaSource(settings).observer(settled=False)
    except StreamlearnError:
        return describe_roads([])
    with Cleanup(lambda: source.close(leave=False)):
        try:
            return describe_roads(find_roads(settings, source, store))
        except StreamlearnError:
            return describe_roads([])
