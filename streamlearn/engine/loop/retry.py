"""Retries with backoff and a deadline, for failures of brokers and network that may pass."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from streamlearn.engine.observer import EngineObserver
from streamlearn.errors import FencedError, OvertakenError, RetryableError, StopError
from streamlearn.telemetry.attempts import Attempt

_logger = logging.getLogger(__name__)

FAILURES_IN_A_ROW = 200
"""Closed producers may leak their threads, so the number of failures is limited as well as their time."""

ASK_SECONDS = 5.0
"""How often a broker is asked for an answer while no record comes: the client does not report unreachable brokers."""

LONGEST_BACKOFF_SECONDS = 5.0
FENCED_SECONDS = 2.0
"""Pause after another producer has taken the transactional id: the group may be about to revoke the partitions, and
settling at once would fence their new owner."""


@dataclass
class _Failures:
    """Failures of one kind of attempt since its last success; ``since`` is the time of the first one."""

    since: float
    in_a_row: int = 0


class RetryPolicy:
    """Counts failures in a row, and says when to try again and when to stop.

    Each kind of attempt is counted by itself: a success of one says nothing about another, and a failure that is
    followed by a success of its own kind is over, however long ago that was.

    ``retry_at`` is the monotonic time, in seconds, before which nothing is tried again.

    Parameters
    ----------
    timeout_seconds:
        How long the brokers may be unreachable, or attempts may fail in a row.
    observer:
        Called with failures and retries.
    """

    def __init__(self, timeout_seconds: float, observer: EngineObserver) -> None:
        self._timeout = timeout_seconds
        self._observer = observer
        self._failures: dict[Attempt, _Failures] = {}
        self._last_answer = time.monotonic()
        self._last_asked = 0.0
        self._is_unreachable = False
        self.retry_at = 0.0

    @property
    def is_unreachable(self) -> bool:
        """Whether no broker gave an answer when one was last asked."""
        return self._is_unreachable

    def note_poll(self, has_records: bool, ask: Callable[[], None]) -> None:
        """Note whether a poll gave records; while none come, ``ask`` from time to time whether a broker answers.

        ``ask`` raises `RetryableError` when none does.

        Raises
        ------
        StopError
            When no broker has answered for too long.
        """
        moment = time.monotonic()
        if not has_records:
            if moment < max(self._last_answer, self._last_asked) + ASK_SECONDS:
                return
            self._last_asked = moment
            self.note_attempt("ask")
            try:
                ask()
            except RetryableError as error:
                self._is_unreachable = True
                self.note_unlimited_failure("ask", error)
                silent = time.monotonic() - self._last_answer
                if silent < self._timeout:
                    _logger.warning("%s; waiting (silent for %.0f s)", error, silent)
                    return
                raise StopError(
                    f"{error}, and none has for {silent:.0f} s, longer than kafka.unavailable_timeout_seconds = "
                    f"{self._timeout:g}: check the brokers, then start again: nothing that was committed is lost"
                ) from error
        if self._is_unreachable:
            _logger.info("a broker answers again")
        self._is_unreachable = False
        self.forget("ask")
        self._last_answer = time.monotonic()

    def note_attempt(self, what: Attempt) -> None:
        """Note that something is tried; it is a retry when the last attempt of its kind failed."""
        if what in self._failures:
            self._observer.on_retry(what)

    def note_failure(self, what: Attempt, error: Exception) -> None:
        """Schedule another attempt after an error that may pass; raise any other.

        Raises
        ------
        StopError
            When attempts have failed for too long.
        """
        self._observer.on_failure(what, error)
        if not isinstance(error, RetryableError | OvertakenError | OSError):
            raise error
        moment = time.monotonic()
        failures = self._failures.setdefault(what, _Failures(moment))
        failures.in_a_row += 1
        pause = min(LONGEST_BACKOFF_SECONDS, 0.05 * 2 ** min(failures.in_a_row, 10))
        self.retry_at = moment + (max(pause, FENCED_SECONDS) if isinstance(error, FencedError) else pause)
        _logger.warning(
            "%s: %s: %s; trying again (failure %d in a row)", what, type(error).__name__, error, failures.in_a_row
        )
        lasted = moment - failures.since
        if failures.in_a_row >= FAILURES_IN_A_ROW or lasted >= self._timeout:
            raise StopError(
                f"{what}: {failures.in_a_row} failures in a row within {lasted:.0f} s "
                f"(kafka.unavailable_timeout_seconds = {self._timeout:g}), the last: {type(error).__name__}: {error}; "
                "check the brokers, then start again: nothing that was committed is lost"
            ) from error

    def note_unlimited_failure(self, what: Attempt, error: Exception) -> None:
        """Note the failure of something whose attempts the caller limits, or without which the worker goes on."""
        self._observer.on_failure(what, error)
        self._failures.setdefault(what, _Failures(time.monotonic())).in_a_row += 1

    def note_success(self, *attempts: Attempt) -> None:
        """Note that attempts of these kinds have succeeded."""
        for what in attempts:
            self._failures.pop(what, None)

    def forget(self, *attempts: Attempt) -> None:
        """Note that what has failed is not needed any more: the next attempt of these kinds is the first of another."""
        self.note_success(*attempts)

    def retry_now(self) -> None:
        """Do not wait for `retry_at`: what is to be done has changed."""
        self.retry_at = 0.0
