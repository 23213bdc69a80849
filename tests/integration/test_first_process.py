"""A worker that is the first process of a container: signals, health and readiness before it is active."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.environment import BESIDE_LOAD_SECONDS
from tests.integration.reference import assert_equals_an_uninterrupted_run, settings_of
from tests.integration.service import Service
from tests.integration.test_faults import assert_each_handled_once, instance

UNSHARE = ["unshare", "--fork", "--pid", "--mount-proc"]
"""Runs a command as the first process of a process-id namespace."""
BATCHES = ["engine.batch_instances=10"]

SLOW_RESTORE = """
import ctypes
from streamlearn.cli.app import main
from streamlearn.engine.recovery.replay import Replay

apply = Replay.apply
native_sleep = ctypes.CDLL(None).usleep  # Python runs no handler before it returns
applied = 0

def apply_slowly(self, entry):
    global applied
    rows = apply(self, entry)
    applied += rows
    while applied > 20:
        native_sleep(900_000)
    return rows

Replay.apply = apply_slowly
main()
"""
"""The command line, in which the third batch of a restore never ends."""


class FirstProcess:
    """A worker with process id 1, which logs JSON and serves HTTP."""

    def __init__(self, service: Service, folder: Path, program: Sequence[str], more: Sequence[str]) -> None:
        self._log = folder / "first-process.log"
        settings = service.settings(more=["http.enabled=true", "log.json=true", *more])
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [*UNSHARE, sys.executable, *program, "run", *settings],
                stderr=log,
            )
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        service.wait("the child of unshare", lambda: bool(children.read_text().split()))
        self._child = int(children.read_text().split()[0])
        service.wait("the address", lambda: self.process.poll() is not None or bool(self._urls()))
        self.url = self._urls()[0]

    def _urls(self) -> list[str]:
        return [text.rpartition(" ")[2] for text in self.messages() if text.startswith("metrics and health at ")]

    def messages(self) -> list[str]:
        """Return the messages of the log, each line of which is JSON."""
        *lines, _ = self._log.read_text().split("\n")
        return [json.loads(line)["message"] for line in lines]

    def get(self, path: str) -> tuple[int, str]:
        """Return status and text of an HTTP request."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=10) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def stop(self) -> float:
        """Send SIGTERM to the worker, and return how many seconds it took to end, with status 0."""
        begun = time.monotonic()
        subprocess.run(["kill", "-TERM", str(self._child)], check=True)
        assert self.process.wait(timeout=60) == 0, self._log.read_text()
        assert self._log.read_text().endswith("\n"), "the last line is cut off"
        return time.monotonic() - begun

    def close(self) -> None:
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                subprocess.run(["kill", "-KILL", str(self._child)], check=False)
        self.process.wait(timeout=60)


@pytest.fixture
def closing() -> Iterator[contextlib.ExitStack]:
    allowed = shutil.which("unshare") and subprocess.run([*UNSHARE, "true"], capture_output=True, check=False)
    if not allowed or allowed.returncode:
        pytest.skip("a process-id namespace needs unshare, and root")
    with contextlib.ExitStack() as stack:
        yield stack


def test_a_stop_during_compilation_ends_the_worker_which_was_healthy_and_not_ready(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, closing: contextlib.ExitStack
) -> None:
    monkeypatch.setenv("STREAMLEARN_CACHE_DIR", str(tmp_path / "empty"))
    service.make_topics()
    worker = FirstProcess(service, tmp_path, ["-m", "streamlearn"], [])
    closing.callback(worker.close)
    readiness: list[tuple[int, str]] = []

    def compiles() -> bool:
        assert worker.process.poll() is None, worker.messages()
        readiness.append(worker.get("/readyz"))
        return "kernels" in readiness[-1][1]

    service.wait("compilation", compiles)
    assert worker.get("/healthz") == (200, "ok")
    assert readiness[-1][0] == 503
    assert readiness[-1][1].startswith("starting: compiling")
    assert worker.stop() < 2 + BESIDE_LOAD_SECONDS
    assert worker.messages()[-1] == "stopped; there was nothing to save"


def test_a_stop_in_the_midst_of_a_batch_of_a_restore_ends_the_worker_and_keeps_what_is_committed(
    service: Service, tmp_path: Path, closing: contextlib.ExitStack
) -> None:
    service.make_topics()
    service.produce_raw("instances", [instance(row) for row in range(60)])
    first = service.start("--stop-at-end", more=BATCHES)
    assert first.wait(timeout=120) == 0, service.logs()
    no_snapshots = [*BATCHES, f"snapshot.location={tmp_path / 'none'}", "snapshot.interval_seconds=1000"]
    worker = FirstProcess(service, tmp_path, ["-c", SLOW_RESTORE], no_snapshots)
    closing.callback(worker.close)

    def restores() -> bool:
        assert worker.process.poll() is None, worker.messages()
        return worker.get("/readyz") == (503, "restoring: 33% of the batches, 20 rows")

    service.wait("the third batch of the restore", restores)
    assert worker.get("/healthz") == (200, "ok")
    assert worker.stop() < 2 + BESIDE_LOAD_SECONDS
    first, left_undone, last_line = worker.messages()[-3:]
    assert (first, last_line) == ("SIGTERM: stopping after the current batch", "stopped; there was nothing to save")
    assert left_undone.startswith(f"the worker did not leave group {service.name}: its name w0 stays reserved")
    service.produce_raw("instances", [instance(row) for row in range(60, 80)])
    last = service.start("--stop-at-end", more=no_snapshots)
    assert last.wait(timeout=120) == 0, service.logs()
    assert_each_handled_once(service, 80)
    assert_equals_an_uninterrupted_run(service, settings_of(service, labels=False, more=BATCHES))
