"""The options of ``streamlearn run``, and what a signal means before the worker runs."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from streamlearn.cli.run import run
from streamlearn.cli.statuses import NOT_DRAINED_STATUS
from streamlearn.errors import UsageError

PROGRAM = """
import ctypes
from streamlearn.cli import app, worker

native_sleep = ctypes.CDLL(None).usleep  # Python runs no handler before it returns

def serve(settings, **options):
    print(sorted(name for name, value in options.items() if value is True), flush=True)
    for _ in range(60):
        native_sleep(int(1e6) - 1)

worker.serve = serve
app.main()
"""


def test_a_drain_applies_no_records_so_there_is_no_end_to_stop_at() -> None:
    with pytest.raises(UsageError, match="--drain and --stop-at-end exclude each other"):
        run(drain=True, stop_at_end=True)


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (["--leave"], 0, "stopped; there was nothing to save"),
        (["--drain", "--leave"], NOT_DRAINED_STATUS, "stopped: not drained, as the models were not restored yet"),
    ],
)
def test_a_stop_before_the_worker_runs_is_a_success_unless_it_is_to_drain(
    arguments: list[str], status: int, text: str
) -> None:
    command = [sys.executable, "-c", PROGRAM, "run", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == f"{sorted(name[2:] for name in arguments)}\n"
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == status
    assert text in errors.splitlines()[-1]
