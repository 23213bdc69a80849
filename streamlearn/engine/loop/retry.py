"""RetryPolicy of brokers and network: what may pass is tried again for a bounded time."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from streamlearn.errors import OvertakenError, RetryableError, StopError

_logger = logging.getLogger(__name__)

FAILURES_IN_A_ROW = 200
"""Threads of closed producers may stay behind, so there is an end even where failing is quick."""

ASK_SECONDS = 5.0
"""The client says nothing of brokers that are away: while no record comes, one of them is asked as often as this."""

LONGEST_BACKOFF_SECONDS = 5.0
FENCED_SECONDS = 2.0
"""After another producer took the transactional id over, the group has this long to say that the partitions went with
it; settling at once would fence the rightful owner."""


class RetryPolicy:
    """Counts failures in a row; ``retry_at`` is the monotonic time in seconds before which nothing is tried again.

    Parameters
    ----------
    timeout_seconds:
        How long the brokers may be away, or what may pass may fail.
    """

    def __init__(self, timeout_seconds: float) -> None:
        self._timeout = timeout_seconds
        self._in_a_row = 0
        self._since = 0.0
        self._heard = time.monotonic()
        self._asked = 0.0
        self._is_away = False
        self.retry_at = 0.0

    def heard(self, records: bool, ask: Callable[[], None]) -> None:
        """Note whether a poll gave records; where none come, ``ask`` whether a broker answers.

        ``ask`` raises `RetryableError` when none does.

        Raises
        ------
        StopError
            When no broker has answered for too long.
        """
        moment = time.monotonic()
        if not records:
            if moment < max(self._heard, self._asked) + ASK_SECONDS:
                return
            self._asked = moment
            try:
                ask()
            except RetryableError as error:
                self._is_away = True
                silent = time.monotonic() - self._heard
                if silent < self._timeout:
                    _logger.warning("%s; waiting (silent for %.0f s)", error, silent)
                    return
                raise StopError(
                    f"{error}, and none has for {silent:.0f} s, longer than kafka.unavailable_timeout_seconds = "
                    f"{self._timeout:g}: check the brokers, then start again: nothing that was committed is lost"
                ) from error
        if self._is_away:
            _logger.info("a broker answers again")
        self._is_away = False
        self._heard = time.monotonic()

    def note(self, error: Exception) -> None:
        """Let an error that may pass be tried again later; raise any other.

        Raises
        ------
        StopError
            When it cannot pass, or has not passed for too long.
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

    def over(self) -> None:
        """Note that what failed has succeeded."""
        self._in_a_row = 0

    def retry_now(self) -> None:
        """Wait no longer: what is to be done has changed."""
        self.retry_at = 0.0


def _is_fenced(error: Exception) -> bool:
    return type(error).__name__ == "ProducerFencedError"


_HOPELESS = ("Configuration", "Authorization", "Authentication", "Unsupported", "FencedInstance", "SizeTooLarge")


def may_pass(error: Exception) -> bool:
    """Return whether the Kafka client raised an error that may pass; told by names, so that no client is imported."""
    kind = type(error)
    return kind.__module__.startswith("kafka.") and not any(word in kind.__name__ for word in _HOPELESS)
