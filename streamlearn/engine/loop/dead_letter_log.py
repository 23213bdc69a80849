"""Logs dead letters: the first of each reason at once, then at most one line per reason and interval."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from streamlearn.engine.tasks.batch import AppliedBatch

_logger = logging.getLogger(__name__)

INTERVAL_SECONDS = 60.0


class DeadLetterLog:
    """Writes lines with the reason, the latest record, and how many more there were.

    Parameters
    ----------
    monotonic:
        Monotonic clock in seconds.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._logged_at: dict[str, float] = {}
        self._unlogged: dict[str, int] = {}

    def add(self, applied: AppliedBatch) -> None:
        """Take the dead letters of a batch into account."""
        if not applied.letters:
            return
        moment = self._monotonic()
        latest = {}
        for record, error in applied.letters:
            self._unlogged[error.code] = self._unlogged.get(error.code, 0) + 1
            latest[error.code] = record, error
        for reason, (record, error) in latest.items():
            if moment < self._logged_at.get(reason, -INTERVAL_SECONDS) + INTERVAL_SECONDS:
                continue
            self._logged_at[reason] = moment
            count = self._unlogged.pop(reason)
            _logger.warning(
                "%d dead letters with the reason %s, the latest for %s[%d]@%d: %s",
                count,
                reason,
                record.topic,
                record.partition,
                record.offset,
                error.text,
            )
