"""Ctrl-C while kernels compile: it ends the compiling, even when the compiler catches what the signal raises."""

from __future__ import annotations

import contextlib
import signal
from pathlib import Path

import pytest

from streamlearn.arithmetic import kernel_cache
from streamlearn.arithmetic.compile import compile_under_lock


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMLEARN_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(kernel_cache.numba_config, "DISABLE_JIT", 0)


def swallowed_interrupt() -> None:
    with contextlib.suppress(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_the_next_kernel_raises_what_the_compiler_swallowed() -> None:
    reached = []

    def warm() -> None:
        swallowed_interrupt()
        for observe in kernel_cache.observers:
            observe("compiled something")
        reached.append("the end")

    shown: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        compile_under_lock(warm, shown.append)
    assert reached == []
    assert not any("ready" in text or "something" in text for text in shown)


def test_so_does_the_end_when_no_kernel_follows() -> None:
    with pytest.raises(KeyboardInterrupt):
        compile_under_lock(swallowed_interrupt)


def test_the_handler_is_put_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    compile_under_lock(lambda: None)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_handler_of_the_callers_own_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    previous = signal.signal(signal.SIGINT, lambda number, frame: calls.append(number))
    try:
        compile_under_lock(lambda: signal.raise_signal(signal.SIGINT))
    finally:
        signal.signal(signal.SIGINT, previous)
    assert calls == [signal.SIGINT]
