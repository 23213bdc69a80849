"""Rolling a model back to an earlier snapshot, while no worker runs.

The rollback is an input of the model like any other: a record of the journal that takes the next sequence number, in
one transaction with the group's offsets, which stay where they are. Whoever restores the model, from whatever point
before or behind it, comes to the same state.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from streamlearn.codec.encode import encode_event
from streamlearn.engine import commit
from streamlearn.engine.journal import records as journal
from streamlearn.engine.journal.lineage import goes_back_to, path_to
from streamlearn.engine.journal.reader import Entry, JournalReader
from streamlearn.engine.recovery.restore import check_point, loaded
from streamlearn.engine.tasks.event_records import event_record
from streamlearn.engine.tasks.task_scope import tasks_of
from streamlearn.errors import OffsetLostError, OvertakenError, RetryableError, SnapshotError, StopError, UsageError
from streamlearn.model.model_event import ModelEvent
from streamlearn.settings.settings import Settings
from streamlearn.sink.base import OutputRecord, Sink
from streamlearn.snapshot.store import SnapshotEntry, SnapshotStore
from streamlearn.source.base import CorruptInputError, Source, TopicPartition

_logger = logging.getLogger(__name__)

JOIN_SECONDS = 60.0
JOIN_POLL_SECONDS = 0.1
LEAVE_LOOK_SECONDS = 0.2


class Choice(NamedTuple):
    """Which snapshot: its ``name``, as a sequence number, a file name or a path; or the newest that was taken at
    ``until_ns`` or before, in nanoseconds of the journal's clock."""

    name: str = ""
    until_ns: int | None = None


class RollbackPlan(NamedTuple):
    """A rollback that can be done.

    ``before`` is the committed point, ``entry`` the snapshot, ``taken_ns`` the journal's clock when it was taken, 0
    when it does not say, ``last_ns`` that of the last record; ``learned`` are the rows that the model had learnt;
    ``forgotten`` the records that it has applied since, None when an earlier rollback lies between.
    """

    task: int
    partitions: tuple[TopicPartition, ...]
    before: journal.Mark
    entry: SnapshotEntry
    taken_ns: int
    last_ns: int
    learned: int
    forgotten: int | None


def plan_rollback(
    settings: Settings, source: Source, store: SnapshotStore, number: int, choice: Choice
) -> RollbackPlan:
    """Find the snapshot, prove that it is of the model's past and can be loaded, and change nothing.

    Parameters
    ----------
    settings:
        The settings of the workers.
    source:
        Asked for what is committed and for the journal; it need not be a member of the group.
    store:
        Where the snapshots lie.
    number:
        The task.
    choice:
        Which snapshot.

    Raises
    ------
    SnapshotError
        When the snapshot is broken, of another model, or cannot be proven.
    UsageError
        When there is no such task or snapshot, or the model is at that point already.
    """
    partitions = _partitions(settings, source, number)
    mark, positions = commit.read_mark(source, partitions)
    if mark is None:
        raise UsageError(f"group {settings.kafka.group_id} has committed nothing: there is no model to roll back")
    entry, manifest, entries = _find(settings, source, store, number, choice, mark)
    point = journal.Mark(entry.seq, entry.chain)
    if point == mark:
        raise UsageError(f"{entry.path}: the model is at that point already")
    task = loaded(settings, store, entry, partitions)
    if set(task.positions) != set(positions):
        raise SnapshotError(
            f"{entry.path} is of the partitions {sorted(task.positions)}, the model now reads {sorted(positions)}"
        )
    last = next((e.record for e in reversed(entries) if isinstance(e.record, journal.NumberedRecord)), None)
    try:
        past = path_to(entries, point, entry.path)
        records = [each.record for each in past if isinstance(each.record, journal.BatchRecord)]
        forgotten = sum(count for record in records for count in record.n)
    except SnapshotError:
        forgotten = None
    return RollbackPlan(
        number,
        partitions,
        mark,
        entry,
        manifest.get("now", 0),
        0 if last is None else last.now,
        task.model.learned,
        forgotten,
    )


def roll_back(
    settings: Settings,
    source: Source,
    sink: Sink,
    plan: RollbackPlan,
    clock: Callable[[], int] = time.time_ns,
    wait_seconds: float = 0.0,
) -> journal.Mark:
    """Do what was planned, and return the point at which the model then is.

    Parameters
    ----------
    settings:
        The settings of the workers.
    source:
        Not open yet: it joins the group, so that the group's coordinator refuses this commit should a worker have come;
        it leaves the group at the end.
    sink:
        Not open yet: it takes the workers' transactional id over, which fences whoever holds it.
    plan:
        The plan.
    clock:
        Nanoseconds since the epoch.
    wait_seconds:
        How long members of the group may take to leave it.

    Raises
    ------
    OvertakenError
        When a worker has gone on since the plan was made; nothing was changed.
    RetryableError
        When nothing was committed, because brokers failed.
    StopError
        When workers live; nothing was changed.
    """
    _await_none(source, settings, wait_seconds)
    try:
        source.open()
        token = _joined(source, plan.partitions)
        sink.open()
        mark, positions = commit.read_mark(source, plan.partitions)
        if mark is None or mark != plan.before:
            raise OvertakenError(
                f"task {plan.task} was at {plan.before} and is at {mark} now: a worker has run; nothing was changed"
            )
        to = journal.Point(plan.entry.seq, plan.entry.chain)
        reached = [journal.Position(*partition, offset) for partition, offset in sorted(positions.items())]
        now = max(clock(), plan.last_ns)
        record = journal.RollbackRecord(journal.VERSION, plan.task, mark.seq + 1, mark.chain, to, reached, now).sealed()
        after = journal.Mark(record.seq, record.chain)
        committed = {
            partition: entry._replace(metadata=str(after))
            for partition, entry in source.committed(plan.partitions).items()
            if entry is not None
        }
        outputs = [
            OutputRecord(settings.topics.events, 0, None, encode_event(event_record(_event(plan), record.now))),
            OutputRecord(settings.journal_topic, plan.task, None, journal.encode(record)),
        ]
        try:
            sink.commit(outputs, committed, token)
        except Exception as error:
            _settle(source, sink, plan, after, error)
        _logger.info("task %d was rolled back from %s to %s:%s: %s", plan.task, mark, to.seq, to.chain, after)
        return after
    finally:
        sink.close()
        source.close(leave=True)


def _partitions(settings: Settings, source: Source, number: int) -> tuple[TopicPartition, ...]:
    topics = settings.topics
    inputs = [
        TopicPartition(topic, partition)
        for topic in (topics.instances, topics.labels)
        if topic
        for partition in range(source.partitions(topic))
    ]
    tasks = tasks_of(settings, inputs)
    if number not in tasks:
        raise UsageError(
            f"there is no task {number}: with engine.scope = {settings.engine.scope} there are {len(tasks)}"
        )
    return tuple(sorted(tasks[number]))


def _find(
    settings: Settings, source: Source, store: SnapshotStore, number: int, choice: Choice, mark: journal.Mark
) -> tuple[SnapshotEntry, dict[str, Any], list[Entry]]:
    """Return the snapshot that is meant, its manifest, and the journal behind it."""
    every = [entry for entry in store.list(settings.kafka.group_id, None, number) if entry.seq <= mark.seq]
    if choice.until_ns is None:
        wanted = [
            entry for entry in every if choice.name in (str(entry.seq), entry.path, entry.path.rsplit("/", 1)[-1])
        ]
        what = choice.name
    else:
        wanted = [entry for entry in every if 0 < _taken(store, entry) <= choice.until_ns]
        wanted.sort(key=lambda entry: -entry.seq)
        what = "taken by then"
    found: list[tuple[SnapshotEntry, dict[str, Any], list[Entry]]] = []
    refused: list[str] = []
    for entry in wanted:
        try:
            manifest = store.read_manifest(entry)
            found.append((entry, manifest, _proven(settings, source, every, store, entry, manifest)))
        except SnapshotError as error:
            refused.append(str(error))
        if found and choice.until_ns is not None:
            break
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"{what} names {', '.join(entry.path for entry, _, _ in found)}: give the path of one")
    if refused:
        raise SnapshotError("; ".join(refused))
    raise UsageError(
        f"there is no snapshot {what} of task {number} of group {settings.kafka.group_id} under {store.location}: "
        "`streamlearn snapshot list` shows which there are"
    )


def _taken(store: SnapshotStore, entry: SnapshotEntry) -> int:
    try:
        return store.read_manifest(entry).get("now", 0)
    except SnapshotError:
        return 0


def _proven(
    settings: Settings,
    source: Source,
    every: Sequence[SnapshotEntry],
    store: SnapshotStore,
    entry: SnapshotEntry,
    manifest: dict[str, Any],
) -> list[Entry]:
    """Return the journal behind a snapshot; raise `SnapshotError` unless it is of the model in the journal."""
    at = manifest["journal_offset"]
    reader = JournalReader(source, settings.journal_topic, entry.task, at)
    entries = reader.entries
    if at >= reader.log_start:
        check_point(entry, entries[0] if entries and entries[0].offset == at else None)
        entries = entries[1:]
    elif not goes_back_to(entries, journal.Mark(entry.seq, entry.chain)):
        # The journal no longer has its record; a snapshot of the same lineage that it has vouches for it.
        younger = [each for each in every if each.lineage == entry.lineage and each.seq > entry.seq]
        if not any(_is_in(reader, each, store) for each in younger):
            raise SnapshotError(
                f"{entry.path} is older than the journal, which begins at offset {reader.log_start}, and no younger "
                "snapshot of its lineage is in the journal: nothing shows that it is of this model"
            )
    if any(isinstance(later.record, journal.LineageRecord) for later in entries):
        raise SnapshotError(f"{entry.path} is of lineage {entry.lineage}; a new model was begun after it")
    return entries


def _is_in(reader: JournalReader, entry: SnapshotEntry, store: SnapshotStore) -> bool:
    try:
        at = store.read_manifest(entry)["journal_offset"]
        check_point(entry, next((each for each in reader.entries if each.offset == at), None))
    except SnapshotError:
        return False
    return True


def _await_none(source: Source, settings: Settings, seconds: float) -> None:
    """Wait until the group has no members; a worker that has stopped keeps its place for a while."""
    deadline = time.monotonic() + seconds
    while members := source.members():
        if time.monotonic() >= deadline:
            raise StopError(
                f"workers of group {settings.kafka.group_id} live: {', '.join(sorted(members))}. Stop all of them, "
                f"stand-bys too; one that was killed keeps its place for "
                f"{settings.kafka.session_timeout_ms / 1000:g} s. Nothing was changed"
            )
        time.sleep(LEAVE_LOOK_SECONDS)


def _joined(source: Source, partitions: Sequence[TopicPartition]) -> Any:
    """Return the token of an assignment that has all the partitions."""
    deadline = time.monotonic() + JOIN_SECONDS
    while time.monotonic() < deadline:
        try:
            source.poll(JOIN_POLL_SECONDS, 1)
        except (CorruptInputError, OffsetLostError) as error:
            # What is wrong with the input is the workers' to tell.
            _logger.debug("not read: %s", error)
        for change in source.changes():
            if change.kind == "assigned" and set(partitions) <= set(change.partitions):
                return change.token
    raise StopError(
        f"the group did not give its partitions within {JOIN_SECONDS:.0f} s: a worker has come, or the brokers are "
        "slow. Nothing was changed"
    )


def _settle(source: Source, sink: Sink, plan: RollbackPlan, after: journal.Mark, error: Exception) -> None:
    """Find out what became of the transaction; raise unless it was committed."""
    sink.close()
    sink.open()
    mark, _ = commit.read_mark(source, plan.partitions)
    if mark == plan.before:
        raise RetryableError(
            f"the rollback was not committed ({type(error).__name__}: {error}); nothing was changed: try again"
        ) from error
    if mark != after:
        raise OvertakenError(f"task {plan.task} is at {mark} now: a worker has run; nothing was changed") from error


def _event(plan: RollbackPlan) -> ModelEvent:
    learned = plan.learned
    return ModelEvent(
        op=0,
        row=learned,
        kind="rollback",
        scope="model",
        name="",
        signal="sequence",
        direction="none",
        before=float(plan.before.seq),
        after=float(plan.entry.seq),
        n=0,
        since_row=learned,
        action="rollback",
    )
