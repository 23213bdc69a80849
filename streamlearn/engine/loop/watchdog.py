"""The watchdog: a thread that ends the process when a call never returns.

The client's transaction calls wait without a limit, and a join can stall for ever; only a restart helps then, and it
fences what was left open.
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
    """Knows what the loop is doing, and since when.

    Parameters
    ----------
    transaction_seconds:
        Longest time for a transaction's calls.
    unassigned_seconds:
        Longest time between partitions being revoked and assigned again.
    healthy_seconds:
        The loop counts as turning while its last turn is no longer ago.
    clock:
        Seconds, monotonic.
    give_up:
        Called with a message when a limit is passed; ends the process by default.
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
        self._turned = clock()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """DriftDetectors from a thread of its own."""
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def turned(self) -> None:
        """Note that the loop has turned."""
        self._turned = self._clock()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """DriftDetectors the calls inside."""
        self._since["transaction"] = self._clock()
        try:
            yield
        finally:
            self._since.pop("transaction", None)

    def unassigned(self, missing: bool) -> None:
        """Note whether partitions were revoked and none assigned yet."""
        if missing:
            self._since.setdefault("unassigned", self._clock())
        else:
            self._since.pop("unassigned", None)

    def overdue(self) -> str | None:
        """Return what has lasted too long, or None."""
        now = self._clock()
        for what, since in list(self._since.items()):
            if now - since > self._limits[what]:
                return f"{what} for {now - since:.0f} s, longer than {self._limits[what]:.0f} s"
        return None

    def healthy(self) -> str | None:
        """Return None while the loop turns and nothing is overdue, else what is wrong."""
        silent = self._clock() - self._turned
        if silent > self._healthy_seconds and "transaction" not in self._since:
            return f"the loop has not turned for {silent:.0f} s"
        return self.overdue()

    def _watch(self) -> None:
        while not self._stopped.wait(1.0):
            problem = self.overdue()
            if problem is not None:
                self._give_up(problem)


def _exit(problem: str) -> None:
    _logger.critical("giving up: %s; a restart settles what is open", problem)
    os._exit(1)
