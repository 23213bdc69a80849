"""Worker processes that import first, wait for a line on standard input, and print their result as JSON."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from typing import Any

_TIMEOUT_SECONDS = 1_500.0


def read_until(process: subprocess.Popen[str], text: str) -> None:
    """Read lines of standard output until one contains this text."""
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            return
    raise AssertionError(f"the worker ended without {text!r}: {process.communicate()[1]}")


def release(worker: subprocess.Popen[str]) -> None:
    """Send a worker the line that it waits for."""
    assert worker.stdin is not None
    worker.stdin.write("\n")
    worker.stdin.flush()


def finish(process: subprocess.Popen[str], line: str = "") -> tuple[dict[str, Any], str]:
    """Send a worker this line and wait for its end; return its result and its standard error."""
    output, errors = process.communicate(line, timeout=_TIMEOUT_SECONDS)
    assert process.returncode == 0, errors
    return json.loads(output.splitlines()[-1]), errors


def finish_together(workers: Sequence[subprocess.Popen[str]]) -> list[dict[str, Any]]:
    """Release the workers at the same moment, after all have imported, and return the result of each."""
    for worker in workers:
        read_until(worker, "imported")
    for worker in workers:
        release(worker)
    return [finish(worker)[0] for worker in workers]
