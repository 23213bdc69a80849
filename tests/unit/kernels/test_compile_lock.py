"""How long a worker waits for the one that compiles, measured by a clock that advances only while it waits."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from streamlearn.kernels import compiler

MINUTES = 60.0


class Clock:
    """A clock that each sleep advances by a minute; each of the first ``kernels`` sleeps adds a file to the folder."""

    def __init__(self, folder: Path, kernels: int) -> None:
        self.now = 0.0
        self._folder = folder
        self._kernels = kernels

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += MINUTES
        if self._kernels:
            self._kernels -= 1
            temporary = self._folder / "kernel.tmp"
            temporary.touch()
            temporary.replace(self._folder / f"kernel{self._kernels}.nbc")


@pytest.mark.parametrize(("kernels", "minutes"), [(0, 5), (3, 8), (60, 65)])
def test_a_worker_waits_for_five_minutes_after_the_last_new_kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kernels: int, minutes: int
) -> None:
    clock = Clock(tmp_path, kernels)
    monkeypatch.setattr(compiler, "time", clock)
    messages: list[str] = []
    with (tmp_path / "lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with compiler._file_lock(tmp_path / "lock", tmp_path / "complete", messages.append):
            assert clock.now == pytest.approx(minutes * MINUTES, abs=MINUTES)
    assert messages == ["waiting for another process, which compiles kernels"]
