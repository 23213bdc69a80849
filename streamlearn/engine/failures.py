"""Failures of brokers and network: what may pass is tried again, a bounded number of times in a row."""

from __future__ import annotations

import logging
import time

from streamlearn.errors import OvertakenError, RetryableError, StopError

_logger = logging.getLogger(__name__)

FAILURES_IN_A_ROW = 20
LONGEST_BACKOFF_SECONDS = 5.0
FENCED_SECONDS = 2.0
"""After another producer took the transactional id over, the group has this long to say that the partitions went with
it; settling at once would fence the rightful owner."""


class Failures:
    """Counts failures in a row; ``retry_at`` is the monotonic time in seconds before which nothing is tried again."""

    def __init__(self) -> None:
        self._in_a_row = 0
        self.retry_at = 0.0

    def note(self, error: Exception) -> None:
        """Let an error that may pass be tried again later; raise any other.

        Raises
        ------
        StopError
            When it cannot pass, or too many came in a row.
        """
        if type(error).__module__.startswith("kafka.") and not may_pass(error):
            raise StopError(f"{type(error).__name__}: {error}") from error
        if not isinstance(error, RetryableError | OvertakenError | OSError) and not may_pass(error):
            raise error
        self._in_a_row += 1
        pause = min(LONGEST_BACKOFF_SECONDS, 0.05 * 2**self._in_a_row)
        self.retry_at = time.monotonic() + (max(pause, FENCED_SECONDS) if _is_fenced(error) else pause)
        _logger.warning("%s: %s; trying again (failure %d in a row)", type(error).__name__, error, self._in_a_row)
        if self._in_a_row >= FAILURES_IN_A_ROW:
            raise StopError(
                f"{self._in_a_row} failures in a row, the last: {type(error).__name__}: {error}; "
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
