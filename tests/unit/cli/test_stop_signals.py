"""Signals end a process in time, also while native code holds its main thread."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from streamlearn.cli.stop_signals import DISCONNECT_SECONDS, GRACE_SECONDS
from tests.environment import BESIDE_LOAD_SECONDS

PROGRAM = """
import ctypes, logging, os, signal, sys, threading
from streamlearn.cli import stop_signals

logging.basicConfig(level="INFO", format="%(message)s")
stopped = threading.Event()
saving = threading.Event()
native_sleep = ctypes.CDLL(None).usleep  # Python runs no handler before it returns

rest = {"does not leave": "the worker did not leave"}

def stop():
    stopped.set()

def can_end():
    return not saving.is_set()

with stop_signals.StopSignals() as signals:
    mode = sys.argv[1]
    if mode != "starting":
        signals.hand_over(
            stop, can_end, is_disconnecting=lambda: mode == "disconnects", describe_rest=lambda: rest.get(mode, "")
        )
    if mode == "saves":
        saving.set()
    print("ready", flush=True)
    if mode == "several":
        # As the interpreter writes them: the others are not for us.
        socket = signal.set_wakeup_fd(-1)
        signal.set_wakeup_fd(socket)
        os.write(socket, bytes([signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGCHLD]))
        stopped.wait()
        os.write(socket, bytes([signal.SIGTERM]))
    elif mode == "ends itself":
        stopped.wait()
    elif mode == "disconnects":
        stopped.wait()
        native_sleep(int((stop_signals.GRACE_SECONDS + stop_signals.DISCONNECT_SECONDS / 2) * 1e6))
    elif mode == "saves":
        stopped.wait()
        native_sleep(int(2.5e6))
        print("saved", flush=True)
    else:
        for _ in range(60):
            native_sleep(int(1e6) - 1)
print("left", flush=True)
"""


def _signalled(mode: str, number: signal.Signals) -> tuple[int, str, str, float]:
    """Send a signal to the program; return its status, what it wrote, and how long it took to end."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, mode], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    begun = time.monotonic()
    process.send_signal(number)
    output, errors = process.communicate(timeout=60)
    return process.returncode, output, errors, time.monotonic() - begun


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_process_in_native_code_that_has_nothing_to_save_ends_within_two_seconds(number: signal.Signals) -> None:
    status, output, errors, seconds = _signalled("native code", number)
    assert (status, output) == (0, "")
    assert seconds < 2 + BESIDE_LOAD_SECONDS
    assert errors.splitlines() == [
        f"{number.name}: stopping after the current batch",
        "stopped; there was nothing to save",
    ]


def test_a_process_that_starts_ends_at_once() -> None:
    status, output, errors, seconds = _signalled("starting", signal.SIGTERM)
    assert (status, output, errors) == (0, "", "stopped; there was nothing to save\n")
    assert seconds < 1 + BESIDE_LOAD_SECONDS


def test_a_process_that_saves_something_ends_after_that() -> None:
    status, output, errors, _ = _signalled("saves", signal.SIGTERM)
    assert (status, output) == (0, "saved\nleft\n")
    assert errors == "SIGTERM: stopping after the current batch\n"


def test_a_main_thread_that_ends_in_time_ends_by_itself() -> None:
    status, output, errors, _ = _signalled("ends itself", signal.SIGTERM)
    assert (status, output) == (0, "left\n")
    assert errors == "SIGTERM: stopping after the current batch\n"


def test_the_first_of_several_signals_is_named_once() -> None:
    program = subprocess.run([sys.executable, "-c", PROGRAM, "several"], capture_output=True, text=True, timeout=60)
    assert (program.returncode, program.stdout) == (0, "ready\nleft\n")
    assert program.stderr == "SIGINT: stopping after the current batch\n"


def test_a_process_that_disconnects_has_more_time() -> None:
    status, output, errors, seconds = _signalled("disconnects", signal.SIGTERM)
    assert (status, output, errors) == (0, "left\n", "SIGTERM: stopping after the current batch\n")
    assert seconds < GRACE_SECONDS + DISCONNECT_SECONDS < 2


def test_what_is_left_undone_is_logged() -> None:
    status, output, errors, _ = _signalled("does not leave", signal.SIGTERM)
    assert (status, output) == (0, "")
    assert errors.splitlines()[1:] == ["the worker did not leave", "stopped; there was nothing to save"]
