"""The operator of a campaign: replaces the release of the workers step by step, while faults go on."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.campaign.world import World

STEP_SECONDS = 180.0
"""Longest time of a step, which is repeated when it fails: faults end long before."""


class Operator:
    """Replaces the release of the workers, in a thread of its own; one change after the other.

    Parameters
    ----------
    world:
        The workers.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None

    @property
    def is_busy(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def begin(self, change: Callable[[], None]) -> None:
        """Begin a change; none may be going on."""

        def run() -> None:
            try:
                change()
            except BaseException as error:  # reported by the thread that waits
                self._failure = self._failure or error
            finally:
                self._world.held.clear()

        self._thread = threading.Thread(target=run, name="operator")
        self._thread.start()

    def finish(self) -> None:
        """Wait until the last change is done; raises what has ended it."""
        if self._thread is not None:
            self._thread.join()
        if self._failure is not None:
            raise self._failure

    def stop_all(self, number: signal.Signals) -> list[int]:
        """End all workers with a signal, keep them from being started again, and return how they ended."""
        world = self._world
        world.held.update(worker.name for worker in world.workers)
        for worker in world.workers:
            world.signal(worker, signal.SIGCONT)
            world.signal(worker, number)
        before = {worker.name: len(worker.codes) for worker in world.workers}
        wait_until(lambda: all(worker.process is None for worker in world.workers), "the workers to end")
        return [code for worker in world.workers for code in worker.codes[before[worker.name] :]]

    def succeeds(self, release: str, *command: str) -> bool:
        """Run a command of a release once, and return whether it succeeds."""
        world = self._world
        code = world.run(release, world.workers[0], command)
        if code:
            world.say(f"`{' '.join(command)}` ended with {code}: {world.last_error()}")
        return code == 0

    def run(self, release: str, *command: str) -> None:
        """Run a command of a release until it succeeds."""
        wait_until(lambda: self.succeeds(release, *command), f"`{' '.join(command)}` to succeed")

    def replace(self, release: str) -> None:
        """Let all workers be of a release from their next start on."""
        for worker in self._world.workers:
            worker.release = release


def wait_until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + STEP_SECONDS
    while not condition():
        assert time.monotonic() < end, f"not within {STEP_SECONDS} s: {what}"
        time.sleep(0.05)
