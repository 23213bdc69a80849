"""Workers as processes that import first, wait for a line on standard input, and print what they found as JSON."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from typing import Any

_TIMEOUT_SECONDS = 600.0


def read_until(process: subprocess.Popen[str], text: str) -> None:
    """Read lines of standard output until one has this text."""
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            return
    raise AssertionError(f"the worker ended without {text!r}: {process.communicate()[1]}")


def release(worker: subprocess.Popen[str]) -> None:
    """Give a worker the line that it waits for."""
    assert worker.stdin is not None
    worker.stdin.write("\n")
    worker.stdin.flush()


def finished(process: subprocess.Popen[str], line: str = "") -> tuple[dict[str, Any], str]:
    """Give a worker this line and wait for its end; return what it found and its standard error."""
    output, errors = process.communicate(line, timeout=_TIMEOUT_SECONDS)
    assert process.returncode == 0, errors
    return json.loads(output.splitlines()[-1]), errors


def finished_together(workers: Sequence[subprocess.Popen[str]]) -> list[dict[str, Any]]:
    """Let workers loose at the same moment, when all have imported, and return what each found."""
    for worker in workers:
        read_until(worker, "imported")
    for worker in workers:
        release(worker)
    return [finished(worker)[0] for worker in workers]
