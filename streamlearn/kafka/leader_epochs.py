"""Under which leader the records of a partition were written.

A leader that was not in sync takes the log over with less than the one before had given away. The broker can tell
whether a position lies on its log only when the position comes with the epoch of the leader that wrote up to there
(KIP-320); so positions are committed and sought with it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from streamlearn.source.base import TopicPartition

UNKNOWN = -1
_KEPT = 64


class LeaderEpochs:
    """The epochs of what was read, by partition; the last 64 changes of leader are kept."""

    def __init__(self) -> None:
        self._begins: dict[TopicPartition, list[int]] = {}
        self._epochs: dict[TopicPartition, list[int]] = {}
        self._ends: dict[TopicPartition, int] = {}

    def read(self, partition: TopicPartition, records: Sequence[Any]) -> None:
        """Note records of the client, at least one, in order."""
        end = records[-1].offset + 1
        if self._ends.get(partition, UNKNOWN) < end:
            self._ends[partition] = end
        if self.at(partition, end) == records[-1].leader_epoch and self.at(partition, records[0].offset) != UNKNOWN:
            return
        for record in records:
            if self.at(partition, record.offset) != record.leader_epoch:
                self._note(partition, record.offset, record.leader_epoch)

    def committed(self, partition: TopicPartition, offset: int, epoch: int) -> None:
        """Note the epoch that a committed position came with, unless the log was read up to there."""
        if epoch >= 0 and self._ends.get(partition, UNKNOWN) < offset:
            self._ends[partition] = offset
            self._note(partition, offset, epoch)

    def at(self, partition: TopicPartition, offset: int) -> int:
        """Return the epoch to show with a position; -1 where it is not known.

        It is never older than that of the record before, so that a log that still has that record is never refused.
        """
        begins = self._begins.get(partition)
        if begins is None or offset > self._ends[partition]:
            return UNKNOWN
        place = bisect_right(begins, offset)
        return self._epochs[partition][place - 1] if place else UNKNOWN

    def _note(self, partition: TopicPartition, offset: int, epoch: int) -> None:
        begins, epochs = self._begins.setdefault(partition, []), self._epochs.setdefault(partition, [])
        place = bisect_right(begins, offset)
        if place and begins[place - 1] == offset:
            epochs[place - 1] = epoch
        else:
            begins.insert(place, offset)
            epochs.insert(place, epoch)
        del begins[:-_KEPT], epochs[:-_KEPT]
