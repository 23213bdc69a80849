"""Workers that start quickly: a process that has loaded everything forks one for each request.

Starting an interpreter and loading the kernels takes most of a worker's start; a test that starts twenty of them
would spend its time there. Each worker runs the command line as users do, in its own process.

Run as a program, this module is that process. It reads one request per line: ``{"arguments": [...], "armed": "...",
"log": "...", "environment": {...}}`` is answered with the worker's process id, and ``{"ended": id}`` with the return
code of a worker that has ended, negative for a signal.
"""

from __future__ import annotations

import importlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parents[2]
_ANSWER_SECONDS = 240.0


class Starter:
    """A process that has loaded everything, and forks workers.

    Parameters
    ----------
    settings:
        Arguments of the command line that select what is loaded before the first fork.
    log:
        Where the output of the process itself goes.
    folder:
        Folder that has the package and these tests.
    environment:
        Environment variables of the process itself, beside those of this one.
    """

    def __init__(
        self, settings: Sequence[str], log: Path, *, folder: Path = ROOT, environment: Mapping[str, str] | None = None
    ) -> None:
        self._log = log
        self._asking = threading.Lock()
        self._environment = dict(environment or {})
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, json.dumps(list(settings))],
                cwd=folder,
                env={**os.environ, **self._environment},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                bufsize=1,
            )

    def fork(self, arguments: Sequence[str], log: Path, armed: str = "", module: str = "") -> int:
        """Run a command line in a process with this log and today's environment variables; return its process id.

        With ``module``, its function ``main`` runs with the arguments, in place of the command line.
        """
        request = {
            "arguments": list(arguments),
            "armed": armed,
            "log": str(log),
            "environment": {**os.environ, **self._environment},
            "module": module,
        }
        return self._ask(request)

    def collect(self, process: int) -> int:
        """Return the return code of a worker that has ended, negative for a signal."""
        return self._ask({"ended": process})

    def _ask(self, request: dict[str, Any]) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._asking:
            self._process.stdin.write(json.dumps(request) + "\n")
            ready, _, _ = select.select([self._process.stdout], [], [], _ANSWER_SECONDS)
            assert ready, f"no answer within {_ANSWER_SECONDS} s to {request}"
            line = self._process.stdout.readline()
        assert line, f"the process that forks workers has ended\n{self._log.read_text(errors='replace')}"
        return int(line)

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)


class Worker:
    """A worker that was forked, with the methods of `subprocess.Popen` that tests use.

    Parameters
    ----------
    starter:
        The process that forks it.
    arguments:
        Its command line after ``streamlearn``.
    log:
        Where its output goes.
    armed:
        The point at which it kills itself, if any.
    """

    def __init__(self, starter: Starter, arguments: Sequence[str], log: Path, armed: str = "") -> None:
        self._starter = starter
        self.pid = starter.fork(arguments, log, armed)
        self.returncode: int | None = None
        self._end = os.pidfd_open(self.pid)

    def poll(self) -> int | None:
        """Return the return code, None while the worker runs."""
        if self.returncode is None and select.select([self._end], [], [], 0)[0]:
            self._collect()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the worker to end, and return its return code.

        Raises
        ------
        subprocess.TimeoutExpired
            When it runs longer than ``timeout`` seconds.
        """
        if self.returncode is None:
            if not select.select([self._end], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(f"worker {self.pid}", timeout or 0.0)
            self._collect()
        assert self.returncode is not None
        return self.returncode

    def _collect(self) -> None:
        self.returncode = self._starter.collect(self.pid)
        os.close(self._end)

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the worker has ended."""
        if self.poll() is None:
            signal.pidfd_send_signal(self._end, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Workers:
    """Starts the workers of a test, which write to one log.

    Parameters
    ----------
    starter:
        The process that forks them.
    log:
        Where the workers' output goes.
    """

    def __init__(self, starter: Starter, log: Path) -> None:
        self._starter = starter
        self._log = log
        self._running: dict[int, Worker] = {}

    def start(self, *arguments: str, armed: str = "", command: Sequence[str] = ("run",)) -> int:
        """Start a worker, or another command, and return its process id."""
        worker = Worker(self._starter, [*command, *arguments], self._log, armed)
        self._running[worker.pid] = worker
        return worker.pid

    def wait(self, process: int, seconds: float = 120) -> int:
        """Wait for a worker to end, and return its return code, negative for a signal."""
        try:
            code = self._running[process].wait(seconds)
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"{error}\n{self.log()[-3000:]}") from None
        del self._running[process]
        return code

    def log(self) -> str:
        """Return the workers' log."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def close(self) -> None:
        """End the running workers."""
        for worker in self._running.values():
            worker.kill()
            worker.wait()
        self._running.clear()


def _serve(settings: list[str], requests: IO[str]) -> None:
    import kafka  # noqa: F401  (loaded before the first fork)

    import streamlearn.cli.worker  # noqa: F401
    from streamlearn.model.warm_up import warm_up
    from streamlearn.settings.loading import load_settings

    warm_up(load_settings(None, settings[1::2], {}).settings)
    for line in requests:
        request = json.loads(line)
        if "ended" in request:
            number = os.waitstatus_to_exitcode(os.waitpid(request["ended"], 0)[1])
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
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.environ.clear()
        os.environ.update(request["environment"])
        if request["armed"]:
            arm(request["armed"])
        sys.argv = ["streamlearn", *request["arguments"]]
        try:
            if request["module"]:
                importlib.import_module(request["module"]).main(request["arguments"])
            else:
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
