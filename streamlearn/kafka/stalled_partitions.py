"""Detects stalled partitions: the broker has records for them but returns none, and no error.

Where a broker's log is damaged so that it cannot tell where a batch ends, a fetch returns nothing, for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple

from streamlearn.source.base import TopicPartition

STALLED_SECONDS = 10.0
"""Time without a record after which a partition's position is compared with its end."""


class StalledPartition(NamedTuple):
    """A partition that returns nothing from ``offset`` on although it has records up to ``end``."""

    partition: TopicPartition
    offset: int
    end: int


class StalledPartitionDetector:
    """Tracks since when each partition has returned nothing, and checks whether there is anything to return.

    Parameters
    ----------
    find_position_and_end:
        Returns a partition's position and the end of its committed records; None when one of them is unknown.
    """

    def __init__(self, find_position_and_end: Callable[[TopicPartition], tuple[int, int] | None]) -> None:
        self._find_position_and_end = find_position_and_end
        self._silent_since: dict[TopicPartition, float] = {}
        self._stalled_at: dict[TopicPartition, int] = {}

    def reset(self, partition: TopicPartition) -> None:
        """Start over with a partition, as when its position was set."""
        self._silent_since.pop(partition, None)
        self._stalled_at.pop(partition, None)

    def check(
        self, assigned: Collection[TopicPartition], active: Collection[TopicPartition], now: float
    ) -> StalledPartition | None:
        """Take note of a poll, and return a stalled partition if there is one.

        Parameters
        ----------
        assigned:
            The partitions that were polled.
        active:
            Those that returned records, or may have buffered some that exceeded the limit of the poll.
        now:
            Seconds of the monotonic clock.
        """
        for partition in [*self._silent_since.keys() - set(assigned), *active]:
            self.reset(partition)
        for partition in assigned:
            if partition in active or now < self._silent_since.setdefault(partition, now) + STALLED_SECONDS:
                continue
            self._silent_since[partition] = now
            found = self._find_position_and_end(partition)
            if found is None or found[0] >= found[1]:
                self._stalled_at.pop(partition, None)
            elif self._stalled_at.get(partition) == found[0]:
                return StalledPartition(partition, *found)
            else:
                # A transaction may have ended just now: only what is still not returned at the next check is stalled.
                self._stalled_at[partition] = found[0]
        return None
