"""The watchdog: a thread that ends the process when a call of the client never returns.

The client's transaction calls wait without a limit, and joining the group can stall. Only a restart helps then; it
fences the transaction that was left open.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator

_logger = logging.getLogger(__name__)


class Watchdog:
    """Watches how long transactions and rebalances take, and whether the loop still runs.

    Parameters
    ----------
    transaction_seconds:
        Longest time of the calls of one transaction.
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
        transaction_seconds: float = 25.0,
        unassigned_seconds: float = 20.0,
        healthy_seconds: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
        give_up: Callable[[str], None] | None = None,
    ) -> None:
        self._limits = {"transaction": transaction_seconds, "unassigned": unassigned_seconds}
        self._healthy_seconds = healthy_seconds
        self._clock = clock
        self._give_up = give_up or _exit
        self._since: dict[str, float] = {}
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

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Limit the time of the calls inside."""
        self._since["transaction"] = self._clock()
        try:
            yield
        finally:
            self._since.pop("transaction", None)

    def set_unassigned(self, is_unassigned: bool) -> None:
        """Note whether partitions were revoked and none are assigned yet."""
        if is_unassigned:
            self._since.setdefault("unassigned", self._clock())
        else:
            self._since.pop("unassigned", None)

    def overdue(self) -> str | None:
        """Return what takes too long, or None."""
        now = self._clock()
        for what, since in list(self._since.items()):
            if now - since > self._limits[what]:
                return f"{what} for {now - since:.0f} s, longer than {self._limits[what]:.0f} s"
        return None

    def problem(self) -> str | None:
        """Return what is wrong: the loop does not run, or something takes too long; None for a healthy worker.

        Until the first `beat` the worker starts, and is healthy.
        """
        silent = 0.0 if self._last_beat is None else self._clock() - self._last_beat
        if silent > self._healthy_seconds and "transaction" not in self._since:
            return f"the loop has not run for {silent:.0f} s"
        return self.overdue()

    def _watch(self) -> None:
        while not self._stopped.wait(1.0):
            problem = self.overdue()
            if problem is not None:
                self._give_up(problem)


def _exit(problem: str) -> None:
    _logger.critical("giving up: %s; a restart settles the open transaction", problem)
    os._exit(1)
