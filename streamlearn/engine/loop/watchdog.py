"""The watchdog: a thread that ends the process when a call of the client never returns.

The client's transaction calls wait without a limit, and joining the group can stall. Only a restart helps then; it
fences the transaction that was left open.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Protocol

_logger = logging.getLogger(__name__)


PAUSED_SECONDS = 5.0
"""When the thread wakes so much later than asked for, the whole process was paused."""


class CallMonitor(Protocol):
    """The calls to brokers that run now."""

    @property
    def last_ended(self) -> float:
        """When a call last ended, in seconds of the monotonic clock."""
        ...

    def overdue(self) -> str | None:
        """Return which call takes too long, and how long; None when none does."""
        ...

    def restart(self) -> None:
        """Measure the running calls from now on."""
        ...


class Watchdog:
    """Watches how long calls to brokers and rebalances take, and whether the loop still runs.

    Parameters
    ----------
    calls:
        The calls to brokers; None where there are none, as in memory.
    unassigned_seconds:
        Longest time between the revocation of partitions and the next assignment.
    healthy_seconds:
        Longest time between two iterations of a healthy loop.
    clock:
        Seconds, monotonic.
    give_up:
        Called with a message when a limit is exceeded; ends the process by default.
    """

    def __init__(
        self,
        *,
        calls: CallMonitor | None = None,
        unassigned_seconds: float = 20.0,
        healthy_seconds: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
        give_up: Callable[[str], None] | None = None,
    ) -> None:
        self._calls = calls
        self._unassigned_seconds = unassigned_seconds
        self._healthy_seconds = healthy_seconds
        self._clock = clock
        self._give_up = give_up or _exit
        self._unassigned_since: float | None = None
        self._last_beat: float | None = None
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def beat(self) -> None:
        """Note that the loop runs."""
        self._last_beat = self._clock()

    def set_unassigned(self, is_unassigned: bool) -> None:
        """Note whether partitions were revoked and none are assigned yet."""
        if not is_unassigned:
            self._unassigned_since = None
        elif self._unassigned_since is None:
            self._unassigned_since = self._clock()

    def note_outage(self) -> None:
        """Note that no broker answers: until one does, none can assign partitions."""
        if self._unassigned_since is not None:
            self._unassigned_since = self._clock()

    def overdue(self) -> str | None:
        """Return what takes too long, or None."""
        since = self._unassigned_since
        if since is not None and self._clock() - since > self._unassigned_seconds:
            return f"unassigned for {self._clock() - since:.0f} s, longer than {self._unassigned_seconds:.0f} s"
        return None if self._calls is None else self._calls.overdue()

    def problem(self) -> str | None:
        """Return what is wrong: the loop does not run, or something takes too long; None for a healthy worker.

        Until the first `beat` the worker starts, and is healthy. A loop that waits for brokers runs: each call is
        limited, and the loop stops when none answers for too long.
        """
        silent = 0.0
        if self._last_beat is not None:
            last_sign = self._last_beat if self._calls is None else max(self._last_beat, self._calls.last_ended)
            silent = self._clock() - last_sign
        if silent > self._healthy_seconds:
            return f"the loop has not run for {silent:.0f} s"
        return self.overdue()

    def _watch(self) -> None:
        last_look = time.monotonic()
        while not self._stopped.wait(1.0):
            moment = time.monotonic()
            if moment > last_look + PAUSED_SECONDS:
                self.note_outage()
                if self._calls is not None:
                    self._calls.restart()
            last_look = moment
            problem = self.overdue()
            if problem is not None:
                self._give_up(problem)


def _exit(problem: str) -> None:
    _logger.critical("giving up: %s; a restart settles the open transaction", problem)
    os._exit(1)
