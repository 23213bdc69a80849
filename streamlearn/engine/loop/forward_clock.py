"""A clock that never goes back, whatever is done to the machine's."""

from __future__ import annotations

import logging
from collections.abc import Callable

_logger = logging.getLogger(__name__)

SLACK_NS = 1_000_000_000
"""A setback that is said; smaller ones are what synchronising clocks does."""


class ForwardClock:
    """Nanoseconds since the epoch; stands still while the clock underneath is behind what it has said before.

    Parameters
    ----------
    clock:
        Nanoseconds since the epoch.
    """

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._latest = 0
        self._is_behind = False

    def __call__(self) -> int:
        """Return the time."""
        now = self._clock()
        behind = self._latest - now
        if behind > SLACK_NS and not self._is_behind:
            _logger.warning(
                "the clock went back by %.0f s: times in journal, events and dead letters stand still until it catches "
                "up, and so do the ages of what waits for labels; synchronise this machine's clock",
                behind / 1e9,
            )
        self._is_behind = behind > SLACK_NS
        self._latest = max(self._latest, now)
        return self._latest

    def at_least(self, moment_ns: int) -> None:
        """Do not go behind a time that was applied before."""
        self._latest = max(self._latest, moment_ns)
