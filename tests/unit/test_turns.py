"""A call in the middle of another one of its thread is refused; threads take turns."""

from __future__ import annotations

import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from streamlearn.errors import ReentryError
from streamlearn.turns import Turns


def test_a_call_inside_another_one_of_the_thread_is_refused_and_the_outer_one_goes_on() -> None:
    turns = Turns()
    with turns.threads, turns.call():
        for _ in range(2):
            with pytest.raises(ReentryError, match="middle of another call of this thread"):
                turns.call()
    with turns.threads, turns.call():
        pass


def test_another_thread_waits_for_its_turn() -> None:
    turns, begun = Turns(), threading.Event()

    def use() -> str:
        begun.set()
        with turns.threads, turns.call():
            return "after"

    with ThreadPoolExecutor(1) as pool:
        with turns.threads, turns.call():
            used = pool.submit(use)
            assert begun.wait(60)
            assert not used.done()
        assert used.result(60) == "after"


def test_an_error_of_a_signal_handler_at_any_point_leaves_no_lock_taken() -> None:
    turns, raised, armed = Turns(), 0, False

    def fail(*_: object) -> None:
        nonlocal armed
        if armed:
            armed = False
            raise OSError

    before = signal.signal(signal.SIGALRM, fail)
    signal.setitimer(signal.ITIMER_REAL, 1e-4, 1e-4)
    try:
        while raised < 1_000:
            try:
                armed = True
                while True:
                    with turns.threads, turns.call():
                        pass
            except OSError:
                raised += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(turns.threads.acquire, blocking=False).result(60)
    assert not turns.call().locked()
