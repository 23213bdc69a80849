"""A clock that never goes back, even when the machine's clock is set back."""

from __future__ import annotations

import logging
from collections.abc import Callable

_logger = logging.getLogger(__name__)

SLACK_NS = 1_000_000_000
"""Setbacks from this size on are logged; smaller ones come from clock synchronisation."""


class ForwardClock:
    """Nanoseconds since the epoch; stays at its last value while the clock that it reads is behind that.

    Parameters
    ----------
    clock:
        The clock to read, in nanoseconds since the epoch.
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
                "the clock went back by %.0f s: until it catches up, times in the journal, events and dead letters do "
                "not advance, and neither do the ages of pending instances; synchronise this machine's clock",
                behind / 1e9,
            )
        self._is_behind = behind > SLACK_NS
        self._latest = max(self._latest, now)
        return self._latest

    def advance_to(self, moment_ns: int) -> None:
        """Return no time before this one from now on."""
        self._latest = max(self._latest, moment_ns)
