"""Commits the batches of all tasks in one transaction, and finds out the outcome of a transaction that failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple

from streamlearn.engine.journal import records as journal
from streamlearn.engine.tasks.batch import AppliedBatch, Batch
from streamlearn.engine.tasks.task import Task
from streamlearn.errors import RetryableError, TopicError, UsageError
from streamlearn.sink.base import OutputRecord, Sink
from streamlearn.source.base import Committed, Source, TopicPartition

AGREE_READS = 200
"""How often committed offsets are read until their marks agree."""
NEVER_COMMITTED_READS = 20
"""How often they are read before it is an error that some partitions have a committed offset and others have none."""


class CommitPart(NamedTuple):
    """Everything that a transaction holds of one task; sent again byte for byte when the first attempt was not
    committed."""

    task: int
    outputs: list[OutputRecord]  # the last one is the journal record of the batch
    positions: dict[TopicPartition, Committed]
    before: journal.Mark  # the task's mark before the batch
    after: journal.Mark  # and after it
    was_sent: bool = True  # whether a transaction with it was begun


class Outcome(Enum):
    """The outcome of a transaction for one of its parts."""

    COMMITTED = "committed"
    NOT_COMMITTED = "not committed"
    OVERTAKEN = "overtaken"  # another worker has committed something else


def apply_batch(task: Task, batch: Batch, source: Source) -> tuple[CommitPart, AppliedBatch]:
    """Apply a batch to its task; return the task's part of the next transaction, and what happened to the records.

    The task's state is then ahead of what is committed, and never goes back: the part is kept until it is known to be
    committed.
    """
    before = task.mark
    applied, journalled = batch.run(outputs=True)
    journal_topic = task.settings.journal_topic
    outputs = [*applied.outputs, *(OutputRecord(journal_topic, task.number, None, data) for data in journalled)]
    positions = {
        partition: Committed(offset, str(task.mark), source.leader_epoch(partition, offset))
        for partition, offset in task.positions.items()
    }
    return CommitPart(task.number, outputs, positions, before, task.mark), applied


def commit_batches(sink: Sink, parts: Sequence[CommitPart], tasks: Mapping[int, Task], token: Any) -> None:
    """Commit the applied batches of all tasks: either everything in the parts becomes visible, or nothing.

    `apply_batch` has made the parts. The steps of the transaction:

    1. Collect the outputs of the parts: predictions, events and dead letters, then the journal records of the task.
    2. Collect the positions of the parts: the next offset of each input partition, with the task's mark as metadata.
    3. Write both in one transaction. On Kafka (`streamlearn.kafka.sink.KafkaSink.commit`) this begins a transaction,
       sends the records, flushes them within a deadline, checks that each was acknowledged, adds the positions under
       the group membership ``token``, commits, and checks again.
    4. Remember where the journal record of each batch was written: snapshots refer to it.

    Any exception leaves the outcome unknown. The sink must then be closed, which discards its producer, and opened,
    which ends the transaction; `find_outcome` then says of each part whether it was committed.
    """
    # Step 1.
    outputs: list[OutputRecord] = []
    ends = []
    for part in parts:
        outputs.extend(part.outputs)
        ends.append(len(outputs))
    # Step 2.
    positions: dict[TopicPartition, Committed] = {}
    for part in parts:
        positions.update(part.positions)
    # Step 3.
    offsets = sink.commit(outputs, positions, token)
    # Step 4.
    for part, end in zip(parts, ends, strict=True):
        tasks[part.task].journal_offset = offsets[end - 1]


def find_outcome(source: Source, part: CommitPart) -> Outcome:
    """Return whether a part was committed; call it only when its transaction is no longer open."""
    mark, _ = read_mark(source, list(part.positions))
    if mark == part.after:
        return Outcome.COMMITTED
    if mark == part.before or (mark is None and part.before.seq == 0):
        return Outcome.NOT_COMMITTED
    return Outcome.OVERTAKEN


def read_mark(
    source: Source, partitions: Sequence[TopicPartition]
) -> tuple[journal.Mark | None, dict[TopicPartition, int]]:
    """Return the committed mark of a task and its positions; None when nothing was committed.

    The client reads the offsets of one partition per request, so another worker's commit may fall between two requests.
    They are read until their marks agree.

    Raises
    ------
    JournalError
        When the offsets carry another program's metadata.
    RetryableError
        When the marks do not come to agree.
    TopicError
        When some partitions of a topic have a committed offset and others never get one.
    UsageError
        When a topic never gets one, and another has.
    """
    committed: dict[TopicPartition, Committed | None] = {}
    for read in range(AGREE_READS):
        committed = source.committed(partitions)
        marks = {None if entry is None else entry.metadata for entry in committed.values()}
        if len(marks) == 1:
            break
        if None in marks and read >= NEVER_COMMITTED_READS:
            _check_topics_are_those_of_the_model(committed)
            missing = ", ".join(f"{p.topic}[{p.partition}]" for p in sorted(committed) if committed[p] is None)
            raise TopicError(
                f"{missing} has no committed offset, but the other partitions of the model have one: partitions were "
                "added, a topic was recreated or offsets were deleted. Keys hash to other partitions then: begin a new "
                "model with another kafka.group_id"
            )
    else:
        raise RetryableError(f"the committed offsets of {sorted(partitions)} carry different marks: {committed}")
    (mark,) = marks
    if mark is None:
        return None, {}
    first = min(partitions)
    positions = {partition: entry.offset for partition, entry in committed.items() if entry is not None}
    return journal.parse_mark(mark, f"{first.topic}[{first.partition}]"), positions


def _check_topics_are_those_of_the_model(committed: Mapping[TopicPartition, Committed | None]) -> None:
    """Raise `UsageError` when no partition of a topic has a committed offset."""
    begun = {partition.topic for partition, entry in committed.items() if entry is not None}
    for topic in sorted({partition.topic for partition in committed} - begun):
        raise UsageError(
            f"topic {topic!r} has no committed offset in any partition, but {', '.join(sorted(begun))} has: the model "
            "began without it, as topics.labels is fixed for a model, or it was recreated. Set topics.labels back to "
            "what it was, or begin a new model with another kafka.group_id"
        )
