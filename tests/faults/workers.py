"""Workers that start at once: a process that has loaded everything forks one for each request.

Starting an interpreter and loading the kernels takes most of a worker's start; a test that starts twenty of them
would spend its time there. The workers run the command line as users do, in a process of their own.

As a program this is that process: it reads a request a line, ``{"arguments": [...], "armed": "...", "log": "..."}``,
answers with the worker's process id, and, when that has ended, with its return code, negative for a signal.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parents[2]


class Workers:
    """Starts workers, one after the other.

    Parameters
    ----------
    settings:
        Arguments of the command line that say what is to be loaded before the first fork.
    log:
        Where the workers' output goes.
    """

    def __init__(self, settings: Sequence[str], log: Path) -> None:
        self._log = log
        self._running = 0
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, json.dumps(list(settings))],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                bufsize=1,
            )

    def start(self, *arguments: str, armed: str = "") -> int:
        """Start a worker and return its process id."""
        request = {"arguments": ["run", *arguments], "armed": armed, "log": str(self._log)}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._running = int(self._answer())
        return self._running

    def wait(self) -> int:
        """Return the code with which the worker ended, negative for a signal."""
        code = int(self._answer())
        self._running = 0
        return code

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the workers' process has ended\n{self.log()}"
        return line

    def log(self) -> str:
        """Return what the workers have logged."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def close(self) -> None:
        """End the process, and the worker that runs, if any."""
        if self._running:
            os.kill(self._running, signal.SIGKILL)
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=10)


def _serve(settings: list[str], requests: IO[str]) -> None:
    import kafka  # noqa: F401  (loaded before the first fork)

    import streamlearn.cli.worker  # noqa: F401
    from streamlearn.settings.sources import load_settings
    from streamlearn.warm_up import warm_up

    warm_up(load_settings(None, settings[1::2], {}).settings)
    for line in requests:
        request = json.loads(line)
        process = os.fork()
        if process == 0:
            _run(request)
        _answer(process)
        _answer(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))


def _answer(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def _run(request: dict[str, Any]) -> None:
    from streamlearn.cli import app
    from tests.faults.points import arm

    status = 70
    try:
        log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for descriptor in (1, 2):
            os.dup2(log, descriptor)
        if request["armed"]:
            arm(request["armed"])
        sys.argv = ["streamlearn", *request["arguments"]]
        try:
            app.main()
            status = 0
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    _serve(json.loads(sys.argv[1]), sys.stdin)
