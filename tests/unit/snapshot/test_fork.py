"""A forked process sees memory as it was at the fork; its errors are raised, and it leaves nothing behind."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from streamlearn.errors import SnapshotError
from streamlearn.snapshot import fork
from streamlearn.snapshot.fork import ForkedProcess, can_fork

pytestmark = pytest.mark.skipif(not can_fork(), reason="only Linux may fork a process that has threads")


def _hang() -> None:
    signal.pause()


def test_work_sees_memory_as_it_was(tmp_path: Path) -> None:
    array = np.arange(100_000)
    gate, opened = os.pipe()

    def work() -> None:
        os.read(gate, 1)
        np.save(tmp_path / "seen.npy", array)

    child = ForkedProcess(work)
    array[:] = 7
    os.write(opened, b"x")
    child.wait(lambda: 0)
    assert np.load(tmp_path / "seen.npy").tolist() == list(range(100_000))
    with pytest.raises(ProcessLookupError):
        os.kill(child.process, 0)


def test_work_runs_at_a_lower_priority(tmp_path: Path) -> None:
    niceness = os.getpriority(os.PRIO_PROCESS, 0)
    file = tmp_path / "niceness.npy"
    ForkedProcess(lambda: np.save(file, os.getpriority(os.PRIO_PROCESS, 0))).wait(lambda: 0)
    assert np.load(file) == min(19, niceness + fork.NICE)
    assert os.getpriority(os.PRIO_PROCESS, 0) == niceness


def test_an_error_of_the_work_is_raised() -> None:
    def work() -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(SnapshotError, match="No space left on device"):
        ForkedProcess(work).wait(lambda: 0)


def test_a_killed_process_is_an_error() -> None:
    child = ForkedProcess(_hang)
    os.kill(child.process, signal.SIGKILL)
    with pytest.raises(SnapshotError, match="ended with status -9"):
        child.wait(lambda: 0)


def test_a_process_without_progress_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fork, "PROGRESS_SECONDS", 0.01)
    child = ForkedProcess(_hang)
    sizes = iter([1, 2, 3, 3, 4])
    with pytest.raises(SnapshotError, match="made no progress for"):
        child.wait(lambda: next(sizes))
    assert next(sizes) == 4
    with pytest.raises(ProcessLookupError):
        os.kill(child.process, 0)
