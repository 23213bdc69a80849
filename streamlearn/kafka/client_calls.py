"""Limits the time of every call of the Kafka client.

The client takes timeouts, but a call may still never return: some of its waits have no limit, and it repeats retriable
errors for ever. Connections are therefore wrapped (`ClientCalls.limit`), and a watchdog asks `ClientCalls.overdue`
which call takes too long. A process whose call does not return can only be ended; a restart settles what it left open.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, cast

LIMIT_SECONDS = 25.0
"""Longest time of one call: more than any timeout that a call is given."""

Client = TypeVar("Client")


class ClientCalls:
    """The calls of the client that run now, in any thread of a worker.

    Parameters
    ----------
    clock:
        Seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._running: dict[int, tuple[str, float]] = {}
        self._last_ended = clock()

    @property
    def last_ended(self) -> float:
        """When a call last ended, by the clock."""
        return self._last_ended

    @contextlib.contextmanager
    def call(self, name: str) -> Iterator[None]:
        """Limit the time of the calls inside."""
        thread = threading.get_ident()
        with self._lock:
            outer = self._running.get(thread)
            self._running[thread] = (name, self._clock())
        try:
            yield
        finally:
            with self._lock:
                self._last_ended = self._clock()
                if outer is None:
                    del self._running[thread]
                else:
                    self._running[thread] = outer

    def overdue(self) -> str | None:
        """Return which call takes too long, and how long; None when none does."""
        now = self._clock()
        with self._lock:
            running = list(self._running.values())
        for name, since in running:
            if now - since > LIMIT_SECONDS:
                return f"{name} for {now - since:.0f} s, longer than {LIMIT_SECONDS:.0f} s"
        return None

    def restart(self) -> None:
        """Measure the running calls from now on, as after the process was paused."""
        with self._lock:
            now = self._last_ended = self._clock()
            self._running = {thread: (name, now) for thread, (name, _) in self._running.items()}

    def limit(self, client: Client) -> Client:
        """Return a connection of the client whose public calls are limited."""
        return cast(Client, _Limited(client, self))


class _Limited:
    """Passes everything on to a connection of the client, and limits its public calls."""

    def __init__(self, client: Any, calls: ClientCalls) -> None:
        self.__target = client
        self.__calls = calls

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self.__target, name)
        if name.startswith("_") or not callable(attribute):
            return attribute

        def limited(*arguments: Any, **named: Any) -> Any:
            with self.__calls.call(f"{type(self.__target).__name__}.{name}"):
                return attribute(*arguments, **named)

        # Found there from now on, without a search.
        self.__dict__[name] = limited
        return limited
