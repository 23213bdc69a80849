"""Records that cannot be read: offsets that the log no longer has, and records that fail their checksum.

The setting ``engine.on_offset_lost`` says whether the worker stops or skips them. Skipped ranges are journalled, so
that a replay skips them as well.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

from streamlearn.engine.journal import records as journal
from streamlearn.engine.tasks.task import Task
from streamlearn.errors import OffsetLostError, RecordError
from streamlearn.source.base import Bounds, CorruptInputError, RawRecord, Source, TopicPartition

_logger = logging.getLogger(__name__)

NO_TIMESTAMP = -1

BeforeChange = Callable[[Task], None]
"""Called with a task that is to change outside of a batch."""


def skip_lost_offsets(task: Task, source: Source, before_change: BeforeChange) -> None:
    """Check that the log has the records to apply next; where it has not, do what ``engine.on_offset_lost`` says.

    ``before_change`` is called before anything is skipped.

    Raises
    ------
    OffsetLostError
        As `find_lost_offsets`.
    """
    lost = find_lost_offsets(task.positions, source.bounds(task.partitions), task.settings.engine.on_offset_lost)
    if lost:
        before_change(task)
        _skip(task, lost)


def find_lost_offsets(
    positions: Mapping[TopicPartition, int], bounds: Mapping[TopicPartition, Bounds], choice: str
) -> list[journal.Range]:
    """Return the ranges that the log no longer has and that ``engine.on_offset_lost``, the ``choice``, skips.

    Raises
    ------
    OffsetLostError
        When the setting says stop, or the log ends before a position.
    """
    lost = []
    for partition, bound in sorted(bounds.items()):
        position = positions[partition]
        if bound.start <= position <= bound.end:
            continue
        if choice == "stop" or position > bound.end:
            raise OffsetLostError(
                f"{partition.topic}[{partition.partition}] has the offsets [{bound.start}, {bound.end}), but the next "
                f"one to read is {position}: set engine.on_offset_lost to earliest or latest to continue without the "
                "lost records, or begin a new model with another kafka.group_id"
            )
        target = bound.start if choice == "earliest" else bound.end
        lost.append(journal.Range(partition.topic, partition.partition, position, target))
    return lost


def skip_corrupt_record(task: Task, error: CorruptInputError, before_change: BeforeChange) -> None:
    """Skip everything up to a record that fails its checksum, and give the record a dead letter.

    The records before it must have been applied: other skipped offsets hold no records. ``before_change`` is called
    before anything is skipped.
    """
    before_change(task)
    start = task.positions[error.partition]
    offset = max(start, error.offset)
    _skip(task, [journal.Range(*error.partition, start, offset + 1)])
    record = RawRecord(*error.partition, offset, NO_TIMESTAMP, None, None)
    task.unreadable.append((record, RecordError("corrupt_record", error.reason)))


def _skip(task: Task, ranges: Sequence[journal.Range]) -> None:
    """Continue after ranges that cannot be read, and journal them before the next batch."""
    task.skip(ranges)
    task.preamble.append(journal.encode(journal.ControlRecord(journal.VERSION, task.number, list(ranges))))
    _logger.warning("task %d continues without lost records: %s", task.number, ranges)
