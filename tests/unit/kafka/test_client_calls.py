"""Calls of the client are limited: one that does not return is found from another thread, by its name."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from streamlearn.kafka.client_calls import LIMIT_SECONDS, ClientCalls


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Connection:
    """Stands for a connection of the client; a call may take as long as a test wants."""

    config = {"api_version": (4, 0)}  # noqa: RUF012

    def __init__(self) -> None:
        self.running = threading.Event()
        self.may_end = threading.Event()

    def wait(self, value: int) -> int:
        self.running.set()
        assert self.may_end.wait(30)
        return value

    def fail(self) -> None:
        raise ValueError("as the client raises it")


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_call_that_does_not_return_is_overdue_until_it_does(clock: Clock) -> None:
    calls, connection = ClientCalls(clock), Connection()
    limited = calls.limit(connection)
    results: list[int] = []
    thread = threading.Thread(target=lambda: results.append(limited.wait(7)))
    thread.start()
    assert connection.running.wait(10)
    clock.now += LIMIT_SECONDS
    assert calls.overdue() is None
    clock.now += 1
    assert calls.overdue() == "Connection.wait for 26 s, longer than 25 s"
    calls.restart()
    assert calls.overdue() is None, "as after the process was paused"
    clock.now += 26
    assert calls.overdue() is not None
    connection.may_end.set()
    thread.join(10)
    assert (results, calls.overdue(), calls.last_ended) == ([7], None, clock.now)


def test_a_call_inside_another_is_limited_by_itself(clock: Clock) -> None:
    calls = ClientCalls(clock)
    with calls.call("outer"):
        clock.now += 20
        with calls.call("inner"):
            clock.now += 20
            assert calls.overdue() is None
        clock.now += 1
        assert calls.overdue() == "outer for 41 s, longer than 25 s"
    assert calls.overdue() is None


def test_errors_and_attributes_pass_through(clock: Clock) -> None:
    calls = ClientCalls(clock)
    limited: Any = calls.limit(Connection())
    assert limited.config == {"api_version": (4, 0)}
    with pytest.raises(ValueError, match="as the client raises it"):
        limited.fail()
    clock.now += 60
    assert calls.overdue() is None
    with pytest.raises(AttributeError):
        _ = limited.nothing
