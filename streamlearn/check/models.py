"""Checks that a worker could continue the models of the group."""

from __future__ import annotations

from streamlearn.engine.loop.start_check import find_start_faults
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
    source = KafkaSource(settings).observer()
    try:
        return find_start_faults(settings, source, SnapshotStore(settings.snapshot.location, settings.snapshot.keep))
    finally:
        source.close(leave=False)
