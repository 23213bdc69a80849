"""A circuit breaker on bad records: stops the worker when too large a share of the records cannot be used."""

from __future__ import annotations

from streamlearn.engine.tasks.batch import AppliedBatch
from streamlearn.errors import TooManyBadRecordsError
from streamlearn.settings.settings import LimitSettings


def check_bad_records(applied: AppliedBatch, limits: LimitSettings) -> None:
    """Check a batch before its dead letters are committed, so that a broken producer's whole topic does not become dead
    letters.

    Raises
    ------
    TooManyBadRecordsError
        More than ``limits.bad_share`` of ``limits.bad_window`` consecutive records could not be used.
    """
    if applied.most_bad > limits.bad_share * limits.bad_window:
        raise TooManyBadRecordsError(
            f"{applied.most_bad} of the last {limits.bad_window} records could not be used (the last: "
            f"{applied.letters[-1][1]}), more than limits.bad_share = {limits.bad_share:g}: fix the producer, or raise "
            "limits.bad_share to let them become dead letters"
        )
