"""The retry policy: what counts as failures in a row, and when they stop a worker."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from streamlearn.engine.loop import retry
from streamlearn.engine.loop.retry import FENCED_SECONDS, RetryPolicy
from streamlearn.engine.observer import NullObserver
from streamlearn.errors import FencedError, RetryableError, StopError
from tests.engine.world import Faults, FaultyObserver

TIMEOUT = 120.0


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Replace the clock by a list whose only item is the time."""
    clock = [1_000.0]
    monkeypatch.setattr(retry, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    return clock


def test_failures_that_a_success_has_ended_do_not_add_up(now: list[float]) -> None:
    """An idle worker commits nothing: a failure of its polls now and then must not stop it."""
    policy = RetryPolicy(TIMEOUT, NullObserver())
    for _ in range(retry.FAILURES_IN_A_ROW + 10):
        policy.note_failure("poll", RetryableError("the coordinator is loading"))
        policy.note_success("poll")
        now[0] += 3_600.0


def test_a_success_of_another_kind_ends_no_failures(now: list[float]) -> None:
    policy = RetryPolicy(TIMEOUT, NullObserver())
    for _ in range(4):
        policy.note_success("poll")
        policy.note_failure("commit", RetryableError("away"))
        now[0] += 30.0
    with pytest.raises(StopError, match=r"^commit: 5 failures in a row within 120 s .* the last: RetryableError: away"):
        policy.note_failure("commit", RetryableError("away"))


def test_a_fenced_producer_waits_for_the_group(now: list[float]) -> None:
    policy = RetryPolicy(TIMEOUT, NullObserver())
    policy.note_failure("commit", RetryableError("away"))
    assert policy.retry_at < now[0] + FENCED_SECONDS
    policy.note_failure("commit", FencedError("another producer"))
    assert policy.retry_at == now[0] + FENCED_SECONDS


def test_what_cannot_pass_is_raised_at_once() -> None:
    policy = RetryPolicy(TIMEOUT, NullObserver())
    for error in (StopError("larger than max.message.bytes"), KeyError("a fault of the engine")):
        with pytest.raises(type(error)):
            policy.note_failure("commit", error)


def test_a_broker_that_is_asked_again_is_counted(now: list[float]) -> None:
    observer = FaultyObserver(Faults())
    policy = RetryPolicy(TIMEOUT, observer)

    def fail() -> None:
        raise RetryableError("no broker answers")

    for ask in (fail, fail, lambda: None, lambda: None):
        now[0] += retry.ASK_SECONDS
        policy.note_poll(False, ask)
    assert observer.attempts == ["failed: ask", "again: ask"] * 2
