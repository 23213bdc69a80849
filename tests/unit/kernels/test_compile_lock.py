"""How long a worker waits for the one that compiles, by a clock that only waiting moves."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from streamlearn.kernels import compiler as module

MINUTES = 60.0


class Clock:
    """A clock that every wait moves by a minute; a kernel appears in the folder at each of the first ``kernels``."""

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
    monkeypatch.setattr(module, "time", clock)
    said: list[str] = []
    with (tmp_path / "lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with module._file_lock(tmp_path / "lock", tmp_path / "complete", said.append):
            assert clock.now == pytest.approx(minutes * MINUTES, abs=MINUTES)
    assert said == ["another process compiles the kernels: waiting for it"]
