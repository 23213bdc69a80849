"""A call of the client that never returns: the process ends, and its restart settles what is open."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from streamlearn.engine.watchdog import Watchdog


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
from streamlearn.engine.watchdog import Watchdog
watchdog = Watchdog(transaction_seconds=0.01)
watchdog.start()
with watchdog.transaction():
    threading.Event().wait(30)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert "a restart settles what is open" in ended.stderr
