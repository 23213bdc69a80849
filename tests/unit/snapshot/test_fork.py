"""Work in a process of its own sees memory as it was; how it ends is told, and nothing is left behind."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from streamlearn.errors import SnapshotError
from streamlearn.snapshot import fork as forked
from streamlearn.snapshot.fork import ForkedProcess, can_fork

pytestmark = pytest.mark.skipif(not can_fork(), reason="only Linux may fork a process that has threads")


def _stand_still() -> None:
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


def test_work_stands_behind_its_owner_in_the_queue_for_processors(tmp_path: Path) -> None:
    niceness = os.getpriority(os.PRIO_PROCESS, 0)
    told = tmp_path / "niceness"
    ForkedProcess(lambda: np.save(told.open("wb"), os.getpriority(os.PRIO_PROCESS, 0))).wait(lambda: 0)
    assert np.load(told) == min(19, niceness + forked.NICE)
    assert os.getpriority(os.PRIO_PROCESS, 0) == niceness


def test_error_of_the_work_is_told() -> None:
    def work() -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(SnapshotError, match="No space left on device"):
        ForkedProcess(work).wait(lambda: 0)


def test_process_that_is_killed_is_told() -> None:
    child = ForkedProcess(_stand_still)
    os.kill(child.process, signal.SIGKILL)
    with pytest.raises(SnapshotError, match="ended with status -9"):
        child.wait(lambda: 0)


def test_process_without_progress_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forked, "LOOK_SECONDS", 0.01)
    child = ForkedProcess(_stand_still)
    sizes = iter([1, 2, 3, 3, 4])
    with pytest.raises(SnapshotError, match="did nothing for"):
        child.wait(lambda: next(sizes))
    assert next(sizes) == 4
    with pytest.raises(ProcessLookupError):
        os.kill(child.process, 0)
