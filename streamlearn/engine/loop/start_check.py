"""Finds what would keep a worker from continuing the group's models, from what is committed; starts nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from streamlearn.engine.commit import read_mark
from streamlearn.engine.journal import records as journal
from streamlearn.engine.journal.model_versions import version_from
from streamlearn.engine.journal.reader import JournalReader
from streamlearn.engine.loop.task_factory import check_topics
from streamlearn.engine.loop.unreadable_records import find_lost_offsets
from streamlearn.engine.recovery.snapshot_manifest import model_version_of
from streamlearn.engine.tasks.journalled_settings import check_change, journalled_settings_of
from streamlearn.engine.tasks.task_scope import all_tasks
from streamlearn.errors import SnapshotError, StreamlearnError
from streamlearn.migrations.registry import is_readable, migrate_settings
from streamlearn.settings.settings import Settings
from streamlearn.snapshot.store import SnapshotStore
from streamlearn.source.base import Source, TopicPartition


class _Model(NamedTuple):
    """The journalled settings of a model in force, and the topics with which it began."""

    settings: Mapping[str, Any]
    topics: Mapping[str, journal.TopicIdentity]
    model_version: int  # that wrote the settings


def find_start_faults(settings: Settings, source: Source, store: SnapshotStore) -> list[str]:
    """Return what is wrong, a sentence each: offsets that are no longer kept, settings that are fixed for the model,
    and topics that were recreated or got more partitions.

    Parameters
    ----------
    settings:
        The settings that the worker would have.
    source:
        Where offsets and the journal are read; its topics and the journal exist.
    store:
        Snapshots, of which manifests are read.
    """
    faults: dict[str, None] = {}
    for number, partitions in all_tasks(settings, source).items():
        for error in _find_errors(settings, source, store, number, partitions):
            faults[str(error)] = None
    return list(faults)


def _find_errors(
    settings: Settings, source: Source, store: SnapshotStore, number: int, partitions: Sequence[TopicPartition]
) -> Iterator[StreamlearnError]:
    """Yield what a worker would stop with when it takes a task over."""
    try:
        mark, positions = read_mark(source, partitions)
        model = None if mark is None else _find_model(settings, source, store, number, mark)
    except StreamlearnError as error:
        yield error
        return
    if mark is None:
        return
    if model is not None:
        try:
            check_topics(source, model.topics)
        except StreamlearnError as error:
            yield error
    # A version that is not read is a fault of its own (`engine.recovery.version_road`).
    if model is not None and is_readable(model.model_version):
        try:
            migrated = migrate_settings(model.model_version, model.settings)
            check_change(migrated, journalled_settings_of(settings))
        except StreamlearnError as error:
            yield error
    try:
        find_lost_offsets(positions, source.bounds(partitions), settings.engine.on_offset_lost)
    except StreamlearnError as error:
        yield error


def _find_model(
    settings: Settings, source: Source, store: SnapshotStore, number: int, committed: journal.Mark
) -> _Model | None:
    """Return what is known of a model from its newest readable snapshot and the journal after it, or from the journal
    alone."""
    known, start = None, 0
    snapshots = [each for each in store.list(settings.kafka.group_id, None, number) if each.seq <= committed.seq]
    for entry in sorted(snapshots, key=lambda each: -each.seq):
        try:
            manifest = store.read_manifest(entry)
        except SnapshotError:
            continue  # a worker uses the one before
        topics = {topic: journal.TopicIdentity(*identity) for topic, identity in manifest["topics"].items()}
        known, start = _Model(manifest["settings"], topics, model_version_of(manifest)), manifest["journal_offset"]
        break
    return _follow(
        known, [entry.record for entry in JournalReader(source, settings.journal_topic, number, start).entries]
    )


def _follow(known: _Model | None, records: Sequence[journal.JournalRecord]) -> _Model | None:
    version = 0 if known is None else known.model_version
    for record in records:
        if isinstance(record, journal.LineageRecord):
            known = _Model(record.settings, record.topics, record.model_version)
        elif isinstance(record, journal.SettingsRecord) and known is not None:
            known = known._replace(settings=record.settings, model_version=version)
        version = version_from(record, version)
    return known
