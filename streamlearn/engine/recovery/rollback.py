"""Rolls a model back to an earlier snapshot, while no worker runs.

The rollback is an input of the model like any other: a journal record with the next sequence number, committed in one
transaction with the group's offsets, which stay where they are. Restoring the model gives the same state from any
snapshot, before or after the rollback.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from streamlearn.codec.encode import encode_event
from streamlearn.engine.commit import read_mark
from streamlearn.engine.journal import records as journal
from streamlearn.engine.recovery.rollback_plan import RollbackPlan
from streamlearn.engine.recovery.snapshot_manifest import mark_of
from streamlearn.engine.tasks.event_records import event_record
from streamlearn.errors import OffsetLostError, OvertakenError, RetryableError, StopError
from streamlearn.model.model_event import ModelEvent
from streamlearn.settings.settings import Settings
from streamlearn.sink.base import OutputRecord, Sink
from streamlearn.source.base import CorruptInputError, Source, TopicPartition

_logger = logging.getLogger(__name__)

JOIN_SECONDS = 30.0
"""Longest wait for the group to assign the partitions."""
JOIN_POLL_SECONDS = 0.1
MEMBERS_POLL_SECONDS = 0.2
"""How often the group is asked whether it has members."""


def roll_back(
    settings: Settings,
    source: Source,
    sink: Sink,
    plan: RollbackPlan,
    clock: Callable[[], int] = time.time_ns,
    wait_seconds: float = 0.0,
) -> journal.Mark:
    """Carry out a plan, and return the mark at which the model then is.

    Parameters
    ----------
    settings:
        The settings of the workers.
    source:
        Not open yet: it joins the group, so that the group's coordinator refuses this commit if a worker has joined;
        it leaves the group at the end.
    sink:
        Not open yet: it takes the workers' transactional id, which fences a worker that has it.
    plan:
        The plan.
    clock:
        Nanoseconds since the epoch.
    wait_seconds:
        Longest wait for members of the group to leave it.

    Raises
    ------
    OvertakenError
        When a worker has committed since the plan was made; nothing was changed.
    RetryableError
        When nothing was committed because brokers failed.
    StopError
        When workers run; nothing was changed.
    """
    _wait_for_empty_group(source, settings, wait_seconds)
    try:
        source.open()
        token = _join_group(source, plan.partitions)
        sink.open()
        mark, positions = read_mark(source, plan.partitions)
        if mark is None or mark != plan.before:
            raise OvertakenError(
                f"task {plan.task} was at {plan.before} and is at {mark} now: a worker has run; nothing was changed"
            )
        to = mark_of(plan.entry)
        reached = [journal.Position(*partition, offset) for partition, offset in sorted(positions.items())]
        now = max(clock(), plan.last_ns)
        record = journal.RollbackRecord(journal.VERSION, plan.task, mark.seq + 1, mark.chain, to, reached, now)
        record = record.with_chain()
        committed = {
            partition: entry._replace(metadata=str(record.mark))
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
            _settle(source, sink, plan, record.mark, error)
        _logger.info("task %d was rolled back from %s to %s: %s", plan.task, mark, to, record.mark)
        return record.mark
    finally:
        sink.close()
        source.close(leave=True)


def _wait_for_empty_group(source: Source, settings: Settings, seconds: float) -> None:
    """Wait until the group has no members; a worker that was killed stays one for the session timeout."""
    deadline = time.monotonic() + seconds
    while members := source.members():
        if time.monotonic() >= deadline:
            raise StopError(
                f"workers of group {settings.kafka.group_id} live: {', '.join(sorted(members))}. Stop all of them, "
                "stand-bys too; one that was killed stays a member for "
                f"{settings.kafka.session_timeout_ms / 1000:g} s. Nothing was changed"
            )
        time.sleep(MEMBERS_POLL_SECONDS)


def _join_group(source: Source, partitions: Sequence[TopicPartition]) -> Any:
    """Return the token of an assignment that has all the partitions."""
    deadline = time.monotonic() + JOIN_SECONDS
    failure = ""
    while time.monotonic() < deadline:
        try:
            source.poll(JOIN_POLL_SECONDS, 1)
        except (CorruptInputError, OffsetLostError) as error:
            # Unreadable input does not matter here; the workers report it.
            _logger.debug("not read: %s", error)
        except RetryableError as error:
            failure = f" (last failure: {error})"
            _logger.warning("the group cannot be joined yet: %s", error)
        for change in source.changes():
            if change.kind == "assigned" and set(partitions) <= set(change.partitions):
                return change.token
    raise StopError(
        f"the group did not assign its partitions within {JOIN_SECONDS:g} s: another member has joined, or the brokers "
        f"are slow{failure}; members now: {', '.join(source.members()) or 'none'}. Nothing was changed"
    )


def _settle(source: Source, sink: Sink, plan: RollbackPlan, after: journal.Mark, error: Exception) -> None:
    """Find out the outcome of the failed transaction; raise unless it was committed."""
    sink.close()
    sink.open()
    mark, _ = read_mark(source, plan.partitions)
    if mark == plan.before:
        raise RetryableError(
            f"the rollback was not committed ({type(error).__name__}: {error}); nothing was changed: try again"
        ) from error
    if mark != after:
        raise OvertakenError(f"task {plan.task} is at {mark} now: a worker has run; nothing was changed") from error


def _event(plan: RollbackPlan) -> ModelEvent:
    return ModelEvent(
        op=0,
        row=plan.learned,
        kind="rollback",
        scope="model",
        name="",
        signal="sequence",
        direction="none",
        before=float(plan.before.seq),
        after=float(plan.entry.seq),
        n=0,
        since_row=plan.learned,
        action="rollback",
    )
