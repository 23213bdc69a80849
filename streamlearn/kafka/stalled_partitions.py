"""Partitions of which a broker gives nothing though it has records, without an error: its log is damaged there."""

from __future__ import annotations

from collections.abc import Callable, Collection

from streamlearn.source.base import TopicPartition

WITHHELD_SECONDS = 10.0
"""So long may a broker give nothing of what it says it has. Where its log is damaged so that it cannot tell where a
batch ends, it gives nothing for ever, and no error."""


class StalledPartitions:
    """Notes since when each partition has given nothing, and whether that is as it should be.

    Parameters
    ----------
    places:
        Gives a partition's position, and the end of what is committed in it; None when nobody knows at the moment.
    """

    def __init__(self, places: Callable[[TopicPartition], tuple[int, int] | None]) -> None:
        self._places = places
        self._since: dict[TopicPartition, float] = {}
        self._stuck_at: dict[TopicPartition, int] = {}

    def forget(self, partition: TopicPartition) -> None:
        """Begin anew with a partition: its position was set."""
        self._since.pop(partition, None)
        self._stuck_at.pop(partition, None)

    def polled(
        self, assigned: Collection[TopicPartition], given: Collection[TopicPartition], moment: float
    ) -> tuple[TopicPartition, int, int] | None:
        """Note a poll, and return a partition that is withheld, the offset and the end; None when there is none.

        Parameters
        ----------
        assigned:
            The partitions that were asked for.
        given:
            Those that gave records, or may have some at hand that there was no room for.
        moment:
            Seconds of the monotonic clock.
        """
        for partition in [*self._since.keys() - set(assigned), *given]:
            self.forget(partition)
        for partition in assigned:
            if partition in given or moment < self._since.setdefault(partition, moment) + WITHHELD_SECONDS:
                continue
            self._since[partition] = moment
            places = self._places(partition)
            if places is None or places[0] >= places[1]:
                self._stuck_at.pop(partition, None)
            elif self._stuck_at.get(partition) == places[0]:
                return partition, *places
            else:
                # A transaction may have ended at this moment: only what is there at the next look too is withheld.
                self._stuck_at[partition] = places[0]
        return None
