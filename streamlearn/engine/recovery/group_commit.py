"""Commits a change of a model while no worker runs: a rollback or an upgrade.

The change joins the group as a worker does, so that the group's coordinator refuses its commit if a worker has joined,
and takes the workers' transactional id, which fences a worker that has it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from streamlearn.cleanup import Cleanup
from streamlearn.engine.commit import read_mark
from streamlearn.engine.journal import records as journal
from streamlearn.errors import OffsetLostError, OvertakenError, RetryableError, StopError
from streamlearn.settings.settings import Settings
from streamlearn.sink.base import OutputRecord, Sink
from streamlearn.source.base import CorruptInputError, Source, TopicPartition

_logger = logging.getLogger(__name__)

JOIN_SECONDS = 30.0
"""Longest wait for the group to assign the partitions."""
JOIN_POLL_SECONDS = 0.1
MEMBERS_POLL_SECONDS = 0.2
"""How often the group is asked whether it has members."""

ChangeRecord = journal.RollbackRecord | journal.UpgradeRecord


class Change(NamedTuple):
    """A change of one task.

    ``build`` returns the journal record of the change and the outputs that go with it, the journal record last, for
    the committed positions.
    """

    name: str  # of the change, for messages
    task: int
    partitions: Sequence[TopicPartition]
    before: journal.Mark  # the committed mark on which the change was planned
    build: Callable[[dict[TopicPartition, int]], tuple[ChangeRecord, list[OutputRecord]]]


def commit_change(
    settings: Settings, source: Source, sink: Sink, change: Change, wait_seconds: float = 0.0
) -> journal.Mark:
    """Commit a change in one transaction, and return the mark at which the model then is.

    Parameters
    ----------
    settings:
        The settings of the workers.
    source:
        Not open yet; it leaves the group at the end.
    sink:
        Not open yet; closed at the end.
    change:
        The change.
    wait_seconds:
        Longest wait for members of the group to leave it.

    Raises
    ------
    OvertakenError
        When a worker has committed since the change was planned; nothing was changed.
    RetryableError
        When nothing was committed because brokers failed.
    StopError
        When workers run; nothing was changed.
    """
    _wait_for_empty_group(source, settings, wait_seconds)
    with Cleanup(sink.close, lambda: source.close(leave=True)):
        source.open()
        token = _join_group(source, change.partitions)
        sink.open()
        mark, positions = read_mark(source, change.partitions)
        if mark is None or mark != change.before:
            raise OvertakenError(
                f"task {change.task} was at {change.before} and is at {mark} now: a worker has run; nothing was changed"
            )
        record, outputs = change.build(positions)
        committed = {
            partition: entry._replace(metadata=str(record.mark))
            for partition, entry in source.committed(change.partitions).items()
            if entry is not None
        }
        try:
            sink.commit(outputs, committed, token)
        except Exception as error:
            _settle(source, sink, change, record.mark, error)
        return record.mark


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


def _settle(source: Source, sink: Sink, change: Change, after: journal.Mark, error: Exception) -> None:
    """Find out the outcome of the failed transaction; raise unless it was committed."""
    sink.close()
    sink.open()
    mark, _ = read_mark(source, change.partitions)
    if mark == change.before:
        raise RetryableError(
            f"the {change.name} was not committed ({type(error).__name__}: {error}); nothing was changed: try again"
        ) from error
    if mark != after:
        raise OvertakenError(f"task {change.task} is at {mark} now: a worker has run; nothing was changed") from error
