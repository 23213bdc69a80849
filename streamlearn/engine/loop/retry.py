"""Retries with backoff and a deadline, for failures of brokers and network that may pass."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from streamlearn.errors import OvertakenError, RetryableError, StopError

_logger = logging.getLogger(__name__)

FAILURES_IN_A_ROW = 200
"""Closed producers may leak their threads, so the number of failures is limited as well as their time."""

ASK_SECONDS = 5.0
"""How often a broker is asked for an answer while no record comes: the client does not report unreachable brokers."""

LONGEST_BACKOFF_SECONDS = 5.0
FENCED_SECONDS = 2.0
"""Pause after another producer has taken the transactional id: the group may be about to revoke the partitions, and
settling at once would fence their new owner."""


class RetryPolicy:
    """Counts failures in a row, and says when to try again and when to stop.

    ``retry_at`` is the monotonic time, in seconds, before which nothing is tried again.

    Parameters
    ----------
    timeout_seconds:
        How long the brokers may be unreachable, or attempts may fail in a row.
    """

    def __init__(self, timeout_seconds: float) -> None:
        self._timeout = timeout_seconds
        self._in_a_row = 0
        self._since = 0.0
        self._last_answer = time.monotonic()
        self._last_asked = 0.0
        self._is_unreachable = False
        self.retry_at = 0.0

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
            try:
                ask()
            except RetryableError as error:
                self._is_unreachable = True
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
        self._last_answer = time.monotonic()

    def note_failure(self, error: Exception) -> None:
        """Schedule another attempt after an error that may pass; raise any other.

        Raises
        ------
        StopError
            When the Kafka client's error cannot pass, or attempts have failed for too long.
        """
        if type(error).__module__.startswith("kafka.") and not may_pass(error):
            raise StopError(f"{type(error).__name__}: {error}") from error
        if not isinstance(error, RetryableError | OvertakenError | OSError) and not may_pass(error):
            raise error
        moment = time.monotonic()
        self._since = moment if self._in_a_row == 0 else self._since
        self._in_a_row += 1
        pause = min(LONGEST_BACKOFF_SECONDS, 0.05 * 2**self._in_a_row)
        self.retry_at = moment + (max(pause, FENCED_SECONDS) if _is_fenced(error) else pause)
        _logger.warning("%s: %s; trying again (failure %d in a row)", type(error).__name__, error, self._in_a_row)
        lasted = moment - self._since
        if self._in_a_row >= FAILURES_IN_A_ROW or lasted >= self._timeout:
            raise StopError(
                f"{self._in_a_row} failures in a row within {lasted:.0f} s (kafka.unavailable_timeout_seconds = "
                f"{self._timeout:g}), the last: {type(error).__name__}: {error}; "
                "check the brokers, then start again: nothing that was committed is lost"
            ) from error

    def note_success(self) -> None:
        """Note that an attempt has succeeded."""
        self._in_a_row = 0

    def retry_now(self) -> None:
        """Do not wait for `retry_at`: what is to be done has changed."""
        self.retry_at = 0.0


def _is_fenced(error: Exception) -> bool:
    return type(error).__name__ == "ProducerFencedError"


_PERMANENT = ("Configuration", "Authorization", "Authentication", "Unsupported", "FencedInstance", "SizeTooLarge")


def may_pass(error: Exception) -> bool:
    """Return whether an error is one of the Kafka client's that may pass.

    It is recognised by its name, so that the engine does not import the client.
    """
    kind = type(error)
    return kind.__module__.startswith("kafka.") and not any(word in kind.__name__ for word in _PERMANENT)
