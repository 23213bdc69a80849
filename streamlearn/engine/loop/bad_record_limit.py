"""A circuit breaker on bad records: stops the worker when too large a share of the records cannot be used."""

from __future__ import annotations

from collections import deque

from streamlearn.engine.tasks.batch import AppliedBatch
from streamlearn.errors import TooManyBadRecordsError
from streamlearn.settings.settings import LimitSettings


class BadRecordLimit:
    """Counts bad records over a sliding window, so that a broken producer's whole topic does not become dead letters.

    Parameters
    ----------
    limits:
        ``bad_window`` and ``bad_share`` are read.
    """

    def __init__(self, limits: LimitSettings) -> None:
        self._limits = limits
        self._recent: deque[bool] = deque(maxlen=limits.bad_window)

    def count(self, applied: AppliedBatch) -> None:
        """Count the records of a batch.

        Raises
        ------
        TooManyBadRecordsError
            More than ``limits.bad_share`` of the last ``limits.bad_window`` records could not be used.
        """
        if not applied.dead and True not in self._recent:
            return
        limits = self._limits
        bad = sum(self._recent)
        for is_bad in applied.bad:
            if len(self._recent) == limits.bad_window:
                bad -= self._recent[0]
            self._recent.append(is_bad)
            bad += is_bad
            if is_bad and len(self._recent) == limits.bad_window and bad > limits.bad_share * limits.bad_window:
                raise TooManyBadRecordsError(
                    f"{bad} of the last {limits.bad_window} records could not be used (the last: {applied.dead[-1]}), "
                    f"more than limits.bad_share = {limits.bad_share:g}: fix the producer, or raise limits.bad_share "
                    "to let them become dead letters"
                )
