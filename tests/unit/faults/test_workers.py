"""Workers that are forked: their end, their log and their environment."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.workers import Starter, Worker, Workers

WAITS = ("topics", "check", "--set", "kafka.bootstrap_servers=127.0.0.1:1")
"""A command that waits for a broker for ten seconds."""


@pytest.fixture(scope="module")
def starter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Starter]:
    made = Starter([], tmp_path_factory.mktemp("starter") / "log")
    yield made
    made.close()


def test_a_worker_runs_a_command_line_with_its_own_log_and_the_variables_of_the_moment(
    starter: Starter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMLEARN_KAFKA__GROUP", "x")
    first = Worker(starter, ["topics", "check"], tmp_path / "first")
    assert first.wait(timeout=60) == first.poll() == 2
    assert "STREAMLEARN_KAFKA__GROUP" in (tmp_path / "first").read_text()
    second = Worker(starter, ["--version"], tmp_path / "second")
    assert second.wait(timeout=60) == 0
    assert (tmp_path / "second").read_text().startswith("streamlearn ")


def test_a_worker_that_is_killed_says_so(starter: Starter, tmp_path: Path) -> None:
    worker = Worker(starter, WAITS, tmp_path / "log")
    assert worker.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        worker.wait(timeout=0)
    worker.kill()
    assert worker.wait(timeout=60) == -signal.SIGKILL
    worker.kill()


def test_closing_ends_all_workers_of_a_test(starter: Starter, tmp_path: Path) -> None:
    workers = Workers(starter, tmp_path / "log")
    running = workers.start(command=WAITS)
    with pytest.raises(AssertionError, match="timed out"):
        workers.wait(running, 0)
    workers.close()
    assert not Path(f"/proc/{running}").exists()
    assert Worker(starter, ["--version"], tmp_path / "log").wait(timeout=60) == 0
