"""Plans a rollback: finds the snapshot to go back to, and checks that it is of the model's past."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from streamlearn.engine.commit import read_mark
from streamlearn.engine.journal import records as journal
from streamlearn.engine.journal.lineage import last_rollback_went_to, path_to
from streamlearn.engine.journal.reader import JournalEntry, JournalReader, last_numbered
from streamlearn.engine.recovery.snapshot_manifest import check_in_journal, load_task, mark_of
from streamlearn.engine.tasks.task_scope import all_tasks
from streamlearn.errors import SnapshotError, UsageError
from streamlearn.settings.settings import Settings
from streamlearn.snapshot.store import SnapshotEntry, SnapshotStore
from streamlearn.source.base import Source, TopicPartition


class SnapshotChoice(NamedTuple):
    """Which snapshot to go back to: the one of this name, or the newest one up to a time."""

    name: str = ""  # a sequence number, a file name or a path
    until_ns: int | None = None  # in nanoseconds of the journal's clock


class RollbackPlan(NamedTuple):
    """A rollback that is possible."""

    task: int
    partitions: tuple[TopicPartition, ...]
    before: journal.Mark  # the committed mark
    entry: SnapshotEntry  # the snapshot to go back to
    taken_ns: int  # the journal's clock when it was taken; 0 when it does not say
    last_ns: int  # the journal's clock at the last record
    learned: int  # rows that the model had learnt
    forgotten: int | None  # records applied since; None when an earlier rollback is in between


def plan_rollback(
    settings: Settings, source: Source, store: SnapshotStore, number: int, choice: SnapshotChoice
) -> RollbackPlan:
    """Find the snapshot, and check that it is of the model's past and can be loaded; nothing is changed.

    Parameters
    ----------
    settings:
        The settings of the workers.
    source:
        Where the committed offsets and the journal are read; it need not be a member of the group.
    store:
        Where the snapshots are.
    number:
        The task.
    choice:
        Which snapshot.

    Raises
    ------
    SnapshotError
        When the snapshot is broken, of another model, or nothing shows that it is of this one.
    UsageError
        When there is no such task or snapshot, or the model is at that mark already.
    """
    partitions = _partitions_of(settings, source, number)
    mark, positions = read_mark(source, partitions)
    if mark is None:
        raise UsageError(f"group {settings.kafka.group_id} has committed nothing: there is no model to roll back")
    entry, manifest, entries = _find(settings, source, store, number, choice, mark)
    if mark_of(entry) == mark:
        raise UsageError(f"{entry.path}: the model is at that point already")
    task = load_task(settings, store, entry, partitions)
    if set(task.positions) != set(positions):
        raise SnapshotError(
            f"{entry.path} is of the partitions {sorted(task.positions)}, the model now reads {sorted(positions)}"
        )
    last = last_numbered(entries)
    return RollbackPlan(
        task=number,
        partitions=partitions,
        before=mark,
        entry=entry,
        taken_ns=manifest.get("now", 0),
        last_ns=0 if last is None else last.now,
        learned=task.model.learned,
        forgotten=_count_records(entries, entry),
    )


def _partitions_of(settings: Settings, source: Source, number: int) -> tuple[TopicPartition, ...]:
    tasks = all_tasks(settings, source)
    if number not in tasks:
        raise UsageError(
            f"there is no task {number}: with engine.scope = {settings.engine.scope} there are {len(tasks)}"
        )
    return tuple(sorted(tasks[number]))


def _find(
    settings: Settings, source: Source, store: SnapshotStore, number: int, choice: SnapshotChoice, mark: journal.Mark
) -> tuple[SnapshotEntry, dict[str, Any], list[JournalEntry]]:
    """Return the chosen snapshot, its manifest, and the journal after it."""
    past = [entry for entry in store.list(settings.kafka.group_id, None, number) if entry.seq <= mark.seq]
    if choice.until_ns is None:
        matching = [
            entry for entry in past if choice.name in (str(entry.seq), entry.path, entry.path.rsplit("/", 1)[-1])
        ]
        description = choice.name
    else:
        matching = [entry for entry in past if 0 < _taken_ns(store, entry) <= choice.until_ns]
        matching.sort(key=lambda entry: -entry.seq)
        description = "taken by then"
    found: list[tuple[SnapshotEntry, dict[str, Any], list[JournalEntry]]] = []
    refused: list[str] = []
    for entry in matching:
        try:
            manifest = store.read_manifest(entry)
            found.append((entry, manifest, _journal_after(settings, source, past, store, entry, manifest)))
        except SnapshotError as error:
            refused.append(str(error))
        if found and choice.until_ns is not None:
            break
    if len(found) == 1:
        return found[0]
    if found:
        paths = ", ".join(entry.path for entry, _, _ in found)
        raise UsageError(f"{description} names {paths}: give the path of one")
    if refused:
        raise SnapshotError("; ".join(refused))
    raise UsageError(
        f"there is no snapshot {description} of task {number} of group {settings.kafka.group_id} under "
        f"{store.location}: `streamlearn snapshot list` shows which there are"
    )


def _taken_ns(store: SnapshotStore, entry: SnapshotEntry) -> int:
    try:
        return store.read_manifest(entry).get("now", 0)
    except SnapshotError:
        return 0


def _journal_after(
    settings: Settings,
    source: Source,
    past: Sequence[SnapshotEntry],
    store: SnapshotStore,
    entry: SnapshotEntry,
    manifest: dict[str, Any],
) -> list[JournalEntry]:
    """Return the journal after a snapshot.

    Raises
    ------
    SnapshotError
        When nothing shows that the snapshot is of the model in the journal.
    """
    offset = manifest["journal_offset"]
    reader = JournalReader(source, settings.journal_topic, entry.task, offset)
    entries = reader.entries
    if offset >= reader.log_start:
        check_in_journal(entry, entries[0] if entries and entries[0].offset == offset else None)
        entries = entries[1:]
    elif not last_rollback_went_to(entries, mark_of(entry)):
        # The journal no longer has the snapshot's record; it is enough that it has a later one of the same lineage.
        later = [each for each in past if each.lineage == entry.lineage and each.seq > entry.seq]
        if not any(_is_in_journal(reader, each, store) for each in later):
            raise SnapshotError(
                f"{entry.path} is older than the journal, which begins at offset {reader.log_start}, and no younger "
                "snapshot of its lineage is in the journal: nothing shows that it is of this model"
            )
    if any(isinstance(later.record, journal.LineageRecord) for later in entries):
        raise SnapshotError(f"{entry.path} is of lineage {entry.lineage}; a new model was started after it")
    return entries


def _is_in_journal(reader: JournalReader, entry: SnapshotEntry, store: SnapshotStore) -> bool:
    try:
        offset = store.read_manifest(entry)["journal_offset"]
        check_in_journal(entry, next((each for each in reader.entries if each.offset == offset), None))
    except SnapshotError:
        return False
    return True


def _count_records(entries: Sequence[JournalEntry], entry: SnapshotEntry) -> int | None:
    """Return the input records on the path from a snapshot; None when an earlier rollback abandoned the snapshot."""
    try:
        path = path_to(entries, mark_of(entry), entry.path)
    except SnapshotError:
        return None
    return sum(sum(each.record.n) for each in path if isinstance(each.record, journal.BatchRecord))
