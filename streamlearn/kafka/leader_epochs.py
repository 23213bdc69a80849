"""Leader epochs of the records of a partition.

A replica that was not in sync and becomes leader may have a shorter log than consumers have read. The broker can tell
whether a position lies on its log only when the position comes with the leader epoch of the record before it (KIP-320);
so positions are committed and sought together with that epoch.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from streamlearn.source.base import TopicPartition

UNKNOWN = -1
_MAX_EPOCHS = 64


class LeaderEpochs:
    """Leader epochs of what was read, by partition; the last 64 changes of leader are kept."""

    def __init__(self) -> None:
        self._starts: dict[TopicPartition, list[int]] = {}
        self._epochs: dict[TopicPartition, list[int]] = {}
        self._ends: dict[TopicPartition, int] = {}

    def add_records(self, partition: TopicPartition, records: Sequence[Any]) -> None:
        """Add records of the client, at least one, in order."""
        end = records[-1].offset + 1
        if self._ends.get(partition, UNKNOWN) < end:
            self._ends[partition] = end
        if (
            self.epoch_at(partition, end) == records[-1].leader_epoch
            and self.epoch_at(partition, records[0].offset) != UNKNOWN
        ):
            return
        for record in records:
            if self.epoch_at(partition, record.offset) != record.leader_epoch:
                self._insert(partition, record.offset, record.leader_epoch)

    def add_committed(self, partition: TopicPartition, offset: int, epoch: int) -> None:
        """Add the epoch of a committed position, unless the log was read up to there."""
        if epoch >= 0 and self._ends.get(partition, UNKNOWN) < offset:
            self._ends[partition] = offset
            self._insert(partition, offset, epoch)

    def epoch_at(self, partition: TopicPartition, offset: int) -> int:
        """Return the epoch to send with a position; -1 where it is unknown.

        It is never older than the epoch of the record before the position, so that a log that still has that record is
        never refused.
        """
        starts = self._starts.get(partition)
        if starts is None or offset > self._ends[partition]:
            return UNKNOWN
        index = bisect_right(starts, offset)
        return self._epochs[partition][index - 1] if index else UNKNOWN

    def _insert(self, partition: TopicPartition, offset: int, epoch: int) -> None:
        starts, epochs = self._starts.setdefault(partition, []), self._epochs.setdefault(partition, [])
        index = bisect_right(starts, offset)
        if index and starts[index - 1] == offset:
            epochs[index - 1] = epoch
        else:
            starts.insert(index, offset)
            epochs.insert(index, epoch)
        del starts[:-_MAX_EPOCHS], epochs[:-_MAX_EPOCHS]
