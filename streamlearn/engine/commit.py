"""Committing: one transaction for the parts of all tasks, and settling one whose outcome is unknown."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any

from streamlearn.engine.journal import records as journal
from streamlearn.engine.tasks.task import CommitPart, Task
from streamlearn.errors import RetryableError, TopicError
from streamlearn.sink.base import OutputRecord, Sink
from streamlearn.source.base import Committed, Source, TopicPartition

AGREE_READS = 200
NEVER_COMMITTED_READS = 20


class Outcome(Enum):
    """What became of a transaction."""

    COMMITTED = "committed"
    NOT_COMMITTED = "not committed"
    OVERTAKEN = "overtaken"


def send(sink: Sink, parts: Sequence[CommitPart], tasks: dict[int, Task], token: Any) -> None:
    """Write the parts in one transaction, and note where the journal's last records lie.

    Any exception leaves the outcome unknown.
    """
    outputs: list[OutputRecord] = []
    positions: dict[TopicPartition, Committed] = {}
    ends = []
    for part in parts:
        outputs.extend(part.outputs)
        ends.append(len(outputs))
        positions.update(part.positions)
    offsets = sink.commit(outputs, positions, token)
    for part, end in zip(parts, ends, strict=True):
        tasks[part.task].journal_offset = offsets[end - 1]


def read_mark(
    source: Source, partitions: Sequence[TopicPartition]
) -> tuple[journal.Mark | None, dict[TopicPartition, int]]:
    """Return the committed mark of a task and its positions; None when nothing was committed.

    The client asks one partition a call, so two of them may straddle another worker's commit: they are read until their
    marks agree.

    Raises
    ------
    JournalError
        When the offsets carry another program's metadata.
    RetryableError
        When the marks do not come to agree.
    """
    committed: dict[TopicPartition, Committed | None] = {}
    for read in range(AGREE_READS):
        committed = source.committed(partitions)
        marks = {None if entry is None else entry.metadata for entry in committed.values()}
        if len(marks) == 1:
            break
        if None in marks and read >= NEVER_COMMITTED_READS:
            missing = ", ".join(f"{p.topic}[{p.partition}]" for p in sorted(committed) if committed[p] is None)
            raise TopicError(
                f"{missing} has no committed offset, but the other partitions of the model have: partitions were "
                "added, "
                "a topic was recreated or offsets were deleted. Keys hash elsewhere then: begin a new model "
                "with another "
                "kafka.group_id"
            )
    else:
        raise RetryableError(f"the committed offsets of {sorted(partitions)} carry different marks: {committed}")
    (mark,) = marks
    if mark is None:
        return None, {}
    first = min(partitions)
    positions = {partition: entry.offset for partition, entry in committed.items() if entry is not None}
    return journal.parse_mark(mark, f"{first.topic}[{first.partition}]"), positions


def outcome_of(source: Source, part: CommitPart) -> Outcome:
    """Return what became of a part, once nothing of its transaction is open any more."""
    mark, _ = read_mark(source, list(part.positions))
    if mark == part.after:
        return Outcome.COMMITTED
    if mark == part.before or (mark is None and part.before.seq == 0):
        return Outcome.NOT_COMMITTED
    return Outcome.OVERTAKEN
