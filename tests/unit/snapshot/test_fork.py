"""A forked process sees memory as it was at the fork; its errors are raised, and it leaves nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
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

    child = ForkedProcess(work, keep=[gate])
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


def test_the_child_holds_none_of_the_descriptors_of_its_parent() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    here, there = socket.socketpair()
    gate, opened = os.pipe()
    started, start = os.pipe()

    def work() -> None:
        os.write(start, b"x")
        os.read(gate, 1)

    child = ForkedProcess(work, keep=[gate, start])
    assert os.read(started, 1) == b"x"
    files = {os.readlink(link) for link in Path(f"/proc/{child.process}/fd").iterdir()}
    for own in (listener, here, there):
        assert f"socket:[{os.fstat(own.fileno()).st_ino}]" not in files
    port = listener.getsockname()[1]
    listener.close()
    socket.create_server(("127.0.0.1", port)).close()
    os.write(opened, b"x")
    child.wait(lambda: 0)
    # The connection is as it was.
    there.setblocking(False)
    with pytest.raises(BlockingIOError):
        there.recv(1)
    here.send(b"x")
    assert there.recv(1) == b"x"
    for descriptor in (gate, opened, started, start):
        os.close(descriptor)
    here.close()
    there.close()


PARENT = """
import os, signal, socket, sys, threading
from streamlearn.snapshot.fork import ForkedProcess

listener = socket.create_server(("127.0.0.1", 0))
port = listener.getsockname()[1]

def write():
    signal.alarm(60)  # which ends it if nothing else does
    print(port, flush=True)
    signal.pause()

child = ForkedProcess(write)
if sys.argv[1] == "exits":
    sys.stdin.read(1)
    threading.Thread(target=os._exit, args=(7,)).start()
child.wait(lambda: 0)
"""


@pytest.mark.parametrize(("how", "status"), [("exits", 7), ("killed", -signal.SIGKILL)])
def test_a_child_that_writes_dies_with_its_parent_and_leaves_the_port_free(how: str, status: int) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, how], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    port = int(parent.stdout.readline())
    if how == "killed":
        parent.kill()
    # Standard output ends when both processes have.
    rest, _ = parent.communicate("x" if how == "exits" else "", timeout=20)
    assert (parent.returncode, rest) == (status, "")
    with socket.create_server(("127.0.0.1", port)):
        pass
