"""The watchdog ends the process when a call of the client never returns; a restart settles the open transaction."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from streamlearn.engine.loop import watchdog as watchdog_module
from streamlearn.engine.loop.engine import Engine
from streamlearn.engine.loop.watchdog import Watchdog
from streamlearn.kafka.client_calls import ClientCalls
from streamlearn.source.base import AssignmentChange, RawRecord, TopicPartition
from streamlearn.source.memory import MemorySource
from tests.engine.world import GROUP, Faults, FaultySink, World, rows


@pytest.mark.parametrize("what", ["KafkaProducer.flush", "unassigned"])
def test_what_lasts_too_long_ends_the_worker(what: str) -> None:
    problems: list[str] = []
    ended = threading.Event()

    def give_up(problem: str) -> None:
        problems.append(problem)
        ended.set()

    now = [0.0]
    calls = ClientCalls(lambda: now[0])
    watchdog = Watchdog(calls=calls, clock=lambda: now[0], give_up=give_up)
    watchdog.start()
    try:
        if what != "unassigned":
            with calls.call(what):
                now[0] = 26.0
                assert ended.wait(10), "the watchdog did not give up within 10 s"
        else:
            watchdog.set_unassigned(True)
            now[0] = 21.0
            assert ended.wait(10), "the watchdog did not give up within 10 s"
    finally:
        watchdog.stop()
    assert problems[0].startswith(f"{what} for 2")


def test_giving_up_ends_the_process_with_a_failure() -> None:
    program = """
import threading
from streamlearn.engine.loop.watchdog import Watchdog
from streamlearn.kafka import client_calls
client_calls.LIMIT_SECONDS = 0.01
calls = client_calls.ClientCalls()
watchdog = Watchdog(calls=calls)
watchdog.start()
with calls.call("KafkaProducer.flush"):
    threading.Event().wait(30)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert "a restart settles the open transaction" in ended.stderr


def test_without_brokers_nobody_can_be_assigned() -> None:
    now = [0.0]
    watchdog = Watchdog(clock=lambda: now[0])
    watchdog.set_unassigned(True)
    for _ in range(10):
        now[0] += 15.0
        watchdog.note_outage()
        assert watchdog.overdue() is None
    now[0] += 21.0
    assert watchdog.overdue() == "unassigned for 21 s, longer than 20 s"
    watchdog.set_unassigned(False)
    watchdog.note_outage()
    now[0] += 21.0
    assert watchdog.overdue() is None


def test_a_process_that_was_paused_gets_its_time_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGSTOP stops the loop, the client's calls and the watchdog alike; the clock goes on."""
    monkeypatch.setattr(watchdog_module, "PAUSED_SECONDS", -1.0)
    now, problems = [0.0], list[str]()
    calls = ClientCalls(lambda: now[0])
    watchdog = Watchdog(calls=calls, clock=lambda: now[0], give_up=problems.append)
    with calls.call("KafkaConsumer.poll"):
        watchdog.set_unassigned(True)
        now[0] = 60.0
        assert watchdog.overdue() is not None
        watchdog.start()
        deadline = time.monotonic() + 60
        while watchdog.overdue() is not None and time.monotonic() < deadline:
            pass
        watchdog.stop()
        assert (watchdog.overdue(), problems) == (None, [])


class _Recording(Watchdog):
    """Keeps what it is called with."""

    def __init__(self) -> None:
        super().__init__()
        self.unassigned: list[bool] = []

    def set_unassigned(self, is_unassigned: bool) -> None:
        self.unassigned.append(is_unassigned)


class _Rebalancing(MemorySource):
    """Revokes the partitions at the second poll, assigns them again at the third one."""

    polls = 0

    def poll(self, timeout_seconds: float, limit: int) -> Mapping[TopicPartition, list[RawRecord]]:
        self.polls += 1
        if self.polls == 2:
            self._changes.append(AssignmentChange("revoked", tuple(self._positions), None))
        if self.polls == 3:
            self._changes.append(AssignmentChange("assigned", tuple(self._positions), GROUP))
        return super().poll(timeout_seconds, limit) if self.polls > 3 else {}


def test_the_watchdog_is_told_from_when_to_when_partitions_are_missing(tmp_path: Path) -> None:
    """A join that stalls gives no error: only the time without partitions shows it."""
    world = World(tmp_path)
    world.add(rows(1)[0])
    watchdog = _Recording()
    source = _Rebalancing(world.log, ["instances"], GROUP)
    Engine(world.settings, source, FaultySink(world.log, Faults()), watchdog=watchdog).run(stop_at_end=True)
    start, first, revoked, again, end = watchdog.unassigned
    assert (start, first) == (True, False), "missing from the start until the first assignment"
    assert (revoked, again) == (True, False), "and from the revocation until the next assignment"
    assert not end
