"""Workers that start quickly: a process that has loaded everything forks one for each request.

Starting an interpreter and loading the kernels takes most of a worker's start; a test that starts twenty of them
would spend its time there. Each worker runs the command line as users do, in its own process.

Run as a program, this module is that process. It reads one request per line: ``{"arguments": [...], "armed": "...",
"log": "..."}`` is answered with the worker's process id, and ``{"wait": id}`` with its return code, negative for a
signal.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parents[2]


class Workers:
    """Starts workers.

    Parameters
    ----------
    settings:
        Arguments of the command line that select what is loaded before the first fork.
    log:
        Where the workers' output goes.
    """

    def __init__(self, settings: Sequence[str], log: Path) -> None:
        self._log = log
        self._running: set[int] = set()
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

    def start(self, *arguments: str, armed: str = "", command: Sequence[str] = ("run",)) -> int:
        """Start a worker, or another command, and return its process id."""
        process = self._ask({"arguments": [*command, *arguments], "armed": armed, "log": str(self._log)})
        self._running.add(process)
        return process

    def wait(self, process: int, seconds: float = 60) -> int:
        """Wait for a worker to end, and return its return code, negative for a signal."""
        code = self._ask({"wait": process}, seconds)
        self._running.discard(process)
        return code

    def _ask(self, request: dict[str, Any], seconds: float = 120) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        ready, _, _ = select.select([self._process.stdout], [], [], seconds)
        assert ready, f"no answer to {request} within {seconds} s\n{self.log()}"
        line = self._process.stdout.readline()
        assert line, f"the workers' process has ended\n{self.log()}"
        return int(line)

    def log(self) -> str:
        """Return the workers' log."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def close(self) -> None:
        """End the process and the running workers."""
        for process in self._running:
            os.kill(process, signal.SIGKILL)
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=10)


def _serve(settings: list[str], requests: IO[str]) -> None:
    import kafka  # noqa: F401  (loaded before the first fork)

    import streamlearn.cli.worker  # noqa: F401
    from streamlearn.model.warm_up import warm_up
    from streamlearn.settings.loading import load_settings

    warm_up(load_settings(None, settings[1::2], {}).settings)
    for line in requests:
        request = json.loads(line)
        if "wait" in request:
            number = os.waitstatus_to_exitcode(os.waitpid(request["wait"], 0)[1])
        else:
            number = os.fork()
            if number == 0:
                _run(request)
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
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    _serve(json.loads(sys.argv[1]), sys.stdin)
