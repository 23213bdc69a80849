"""Ctrl-C is held back until a change is whole."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest

from streamlearn.interrupts import HeldInterrupt


@pytest.fixture(autouse=True)
def _default_handler() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_is_raised_at_the_end() -> None:
    reached = False
    with pytest.raises(KeyboardInterrupt), HeldInterrupt() as interrupt:  # noqa: PT012
        assert not interrupt.pending
        signal.raise_signal(signal.SIGINT)
        assert interrupt.pending
        reached = True
    assert reached
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_without_an_interrupt_nothing_is_raised() -> None:
    with HeldInterrupt() as interrupt:
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    assert not interrupt.pending
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_error_is_not_hidden() -> None:
    with pytest.raises(ValueError, match="mine"), HeldInterrupt():  # noqa: PT012
        signal.raise_signal(signal.SIGINT)
        raise ValueError("mine")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_program_with_its_own_handler_keeps_it() -> None:
    caught: list[int] = []
    signal.signal(signal.SIGINT, lambda number, frame: caught.append(number))
    with HeldInterrupt() as interrupt:
        signal.raise_signal(signal.SIGINT)
    assert caught == [signal.SIGINT]
    assert not interrupt.pending


def test_another_thread_leaves_the_handler_alone() -> None:
    seen: list[object] = []

    def use() -> None:
        with HeldInterrupt():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]
