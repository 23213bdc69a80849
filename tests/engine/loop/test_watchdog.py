"""A call of the client that never returns: the process ends, and its restart settles what is open."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from streamlearn.engine.loop.watchdog import Watchdog
from streamlearn.source.base import AssignmentChange, TopicPartition
from tests.engine.world import GROUP, World, rows


@pytest.mark.parametrize("what", ["transaction", "unassigned"])
def test_what_lasts_too_long_ends_the_worker(what: str) -> None:
    told: list[str] = []
    ended = threading.Event()

    def give_up(problem: str) -> None:
        told.append(problem)
        ended.set()

    now = [0.0]
    watchdog = Watchdog(clock=lambda: now[0], give_up=give_up)
    watchdog.start()
    try:
        if what == "transaction":
            with watchdog.transaction():
                now[0] = 26.0
                assert ended.wait(10), "the watchdog did not give up within 10 s"
        else:
            watchdog.unassigned(True)
            now[0] = 21.0
            assert ended.wait(10), "the watchdog did not give up within 10 s"
    finally:
        watchdog.stop()
    assert told[0].startswith(f"{what} for 2")


def test_giving_up_ends_the_process_with_a_failure() -> None:
    program = """
import threading
from streamlearn.engine.loop.watchdog import Watchdog
watchdog = Watchdog(transaction_seconds=0.01)
watchdog.start()
with watchdog.transaction():
    threading.Event().wait(30)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert "a restart settles what is open" in ended.stderr


class _Told(Watchdog):
    """Keeps what it is told of the assignment."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[bool] = []

    def unassigned(self, missing: bool) -> None:
        self.told.append(missing)


def test_the_watchdog_is_told_from_when_to_when_partitions_are_missing(tmp_path: Path) -> None:
    """A join that stalls gives no error: only the time without partitions shows it."""
    world = World(tmp_path)
    world.add(rows(1)[0])
    engine = world.engine()
    watchdog = engine._watchdog = _Told()
    engine.run(stop_at_end=True)
    assert watchdog.told == [True, False, False], "missing from the start, there with the assignment, not at the end"
    place = TopicPartition("instances", 0)
    engine._note([AssignmentChange("revoked", (place,), None)])
    engine._note([AssignmentChange("assigned", (place,), GROUP)])
    assert watchdog.told[3:] == [True, False]
