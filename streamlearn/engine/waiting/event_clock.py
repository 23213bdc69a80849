"""Event time: how far the stream has come, by the timestamps of its records.

Ages are differences to event time, so a wrong event time drops or closes every instance that waits. Kafka lets a
producer stamp a record as it likes (`message.timestamp.type=CreateTime`), up to an hour ahead of the broker by default.
So one record does not move event time by more than a tolerance, except as far as the journalled clock itself has gone
on since event time last moved. A larger step needs `CONFIRMATIONS` records in a row that agree: after a pause of the
stream in a backlog they come at once, and a few wrong stamps among others are never in a row.

Event time is at most the journalled clock, and goes back only among the first records of a stream, where the first one
may be the wrong one. Timestamps of the broker (`LogAppendTime`) need none of this and pass through.
"""

from __future__ import annotations

from collections.abc import Sequence

UNSET = -1
"""Event time before the first record; also the timestamp of a record that has none."""
CONFIRMATIONS = 8
"""Records in a row that move event time by more than the tolerance."""
FRESH_BATCHES = 3
"""Batches in a row, each with a record stamped about now, that do so too: a stream that has caught up may be slow."""


class EventClock:
    """Event time in milliseconds since the epoch, a function of the records and the journalled clock alone.

    Attributes
    ----------
    time_ms:
        Event time; `UNSET` before the first record.
    ahead, missing:
        Records of this process that were stamped further ahead than the tolerance, and that had no timestamp.
    """

    def __init__(self) -> None:
        self.ahead = 0
        self.missing = 0
        self._tolerance_ms = 0
        self.load((UNSET, 0, 0, 0, 0, 0))

    def load(self, state: Sequence[int]) -> None:
        """Continue from what `state` returned; raises `ValueError` for too few numbers."""
        time_ms, moved_at, stamped, unstamped, fresh, fresh_at, *ahead = state
        self.time_ms = time_ms
        self._moved_at_ms = moved_at  # the journalled clock when event time last moved
        self._stamped = stamped  # records with a timestamp, counted up to CONFIRMATIONS
        self._unstamped = unstamped  # records without one since the last record that has one, counted likewise
        self._fresh = fresh  # batches in a row with a record far ahead that is stamped about now
        self._fresh_at_ms = fresh_at  # the journalled clock of the last of them
        self._ahead = list(ahead)  # stamps of the last records in a row that are far ahead

    def state(self) -> list[int]:
        """Return the state as numbers."""
        return [
            self.time_ms,
            self._moved_at_ms,
            self._stamped,
            self._unstamped,
            self._fresh,
            self._fresh_at_ms,
            *self._ahead,
        ]

    def set_tolerance(self, tolerance_ms: int) -> None:
        """Set by how much one record may move event time."""
        self._tolerance_ms = tolerance_ms

    def observe(self, timestamp_ms: int, now_ms: int) -> int:
        """Take a record into account.

        Parameters
        ----------
        timestamp_ms:
            The record's timestamp; negative without one.
        now_ms:
            The journalled clock.

        Returns
        -------
        int
            The time to take for that of the record: its timestamp, but at most the clock; event time without one.
        """
        time_ms = self.time_ms
        if self._stamped < CONFIRMATIONS or not 0 <= timestamp_ms <= time_ms + self._tolerance_ms:
            return self._observe_unusual(timestamp_ms, now_ms)
        stamp = timestamp_ms if timestamp_ms < now_ms else now_ms
        if stamp > time_ms:
            self.time_ms = stamp
            self._moved_at_ms = now_ms
        if self._ahead:
            self._ahead.clear()
            self._fresh = 0
        self._unstamped = 0
        return stamp

    def _observe_unusual(self, timestamp_ms: int, now_ms: int) -> int:
        """Take one of the first records into account, one far ahead, or one without a timestamp."""
        if timestamp_ms < 0:
            return self._observe_unstamped(now_ms)
        self._unstamped = 0
        tolerance_ms, stamped = self._tolerance_ms, self._stamped
        self._stamped = min(CONFIRMATIONS, stamped + 1)
        stamp = min(timestamp_ms, now_ms)
        if self.time_ms == UNSET or (stamped < CONFIRMATIONS and stamp < self.time_ms - tolerance_ms):
            # Of the first records, the earliest is right: it is more harmful to be ahead.
            self.ahead += timestamp_ms > now_ms + tolerance_ms
            self._move(stamp, now_ms)
        elif timestamp_ms <= self.time_ms + tolerance_ms:
            self._move(max(stamp, self.time_ms), now_ms)
        elif self._is_explained_by_the_clock(timestamp_ms, now_ms):
            self._move(stamp, now_ms)
        else:
            self._observe_ahead(timestamp_ms, now_ms)
        return stamp

    def _observe_unstamped(self, now_ms: int) -> int:
        """Where no record has a timestamp, event time goes on with the clock."""
        self.missing += 1
        self._unstamped = min(CONFIRMATIONS, self._unstamped + 1)
        if self.time_ms == UNSET:
            self._move(now_ms, now_ms)
        elif self._unstamped == CONFIRMATIONS or not self._stamped:
            passed = max(0, now_ms - self._moved_at_ms)
            self._move(max(self.time_ms, min(self.time_ms + passed, now_ms)), now_ms)
        return self.time_ms

    def _is_explained_by_the_clock(self, timestamp_ms: int, now_ms: int) -> bool:
        """Return whether a record is stamped about now, and the clock has gone as far as event time would go."""
        passed = max(0, now_ms - self._moved_at_ms)
        return (
            abs(timestamp_ms - now_ms) <= self._tolerance_ms
            and timestamp_ms - self.time_ms <= self._tolerance_ms + passed
        )

    def _observe_ahead(self, timestamp_ms: int, now_ms: int) -> None:
        """Move event time when enough records in a row agree that it is behind."""
        self.ahead += 1
        self._ahead = [*self._ahead[1 - CONFIRMATIONS :], min(timestamp_ms, now_ms)]
        if abs(timestamp_ms - now_ms) > self._tolerance_ms:
            self._fresh = 0
        elif now_ms > self._fresh_at_ms or not self._fresh:
            self._fresh, self._fresh_at_ms = self._fresh + 1, now_ms
        if self._fresh == FRESH_BATCHES:
            self._move(self._ahead[-1], now_ms)
        elif len(self._ahead) == CONFIRMATIONS and min(self._ahead) > self.time_ms:
            self.time_ms, self._moved_at_ms = min(self._ahead), now_ms

    def _move(self, time_ms: int, now_ms: int) -> None:
        """Set event time; what was far ahead is forgotten."""
        if time_ms != self.time_ms:
            self.time_ms, self._moved_at_ms = time_ms, now_ms
        self._ahead.clear()
        self._fresh = 0
