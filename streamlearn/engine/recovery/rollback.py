"""Rolls a model back to an earlier snapshot, while no worker runs.

The rollback is an input of the model like any other: a journal record with the next sequence number, committed in one
transaction with the group's offsets, which stay where they are. Restoring the model gives the same state from any
snapshot, before or after the rollback.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from streamlearn.codec.encode import encode_event
from streamlearn.engine.journal import records as journal
from streamlearn.engine.recovery.group_commit import Change, ChangeRecord, commit_change
from streamlearn.engine.recovery.rollback_plan import RollbackPlan
from streamlearn.engine.recovery.snapshot_manifest import mark_of
from streamlearn.engine.tasks.event_records import event_record
from streamlearn.model.model_event import ModelEvent
from streamlearn.settings.settings import Settings
from streamlearn.sink.base import OutputRecord, Sink
from streamlearn.source.base import Source, TopicPartition

_logger = logging.getLogger(__name__)


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
    source, sink:
        Not open yet; closed at the end.
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
    to = mark_of(plan.entry)

    def build(positions: dict[TopicPartition, int]) -> tuple[ChangeRecord, list[OutputRecord]]:
        reached = [journal.Position(*partition, offset) for partition, offset in sorted(positions.items())]
        seq, now = plan.before.seq + 1, max(clock(), plan.last_ns)
        record = journal.RollbackRecord(journal.VERSION, plan.task, seq, plan.before.chain, to, reached, now)
        record = record.with_chain()
        return record, [
            OutputRecord(settings.topics.events, 0, None, encode_event(event_record(_event(plan), record.now))),
            OutputRecord(settings.journal_topic, plan.task, None, journal.encode(record)),
        ]

    change = Change("rollback", plan.task, plan.partitions, plan.before, build)
    mark = commit_change(settings, source, sink, change, wait_seconds)
    _logger.info("task %d was rolled back from %s to %s: %s", plan.task, plan.before, to, mark)
    return mark


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
