"""A helper: a second process that compiles kernels on a second core while this one compiles others.

Both write to the same cache folder, and each loads what the other has compiled. The helper is a Python of its own, not
a fork, since a process that serves has threads. This process hands the work out over a pipe, a part at a time: so the
helper ends with this process, and what a helper that dies has left undone is compiled here.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from streamlearn.kernels import cache as kernel_cache

Parts = Mapping[str, Callable[[], None]]
"""Work by name: each compiles a kernel, with all that it calls, that needs no other part's."""


class SharedWork(NamedTuple):
    """What two processes compile.

    ``module`` is what the helper runs as a program; it calls `serve`. ``parts`` are for both: this process takes them
    from the first on, the helper from the last on. ``helper_parts`` are names of those that the helper goes on with
    while this process runs its warm-up, from the last on.
    """

    module: str
    parts: Parts
    helper_parts: Sequence[str] = ()


def cores() -> int:
    """Return how many cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextlib.contextmanager
def helped(folder: Path, work: SharedWork) -> Iterator[None]:
    """Compile all parts together with a helper, which works on until the context ends; alone, compile nothing yet."""
    process = _start(folder, work.module) if cores() > 1 and sys.executable else None
    if process is None:
        yield
        return
    names = deque(work.parts)
    thread = threading.Thread(target=_hand_out, args=(process, names, deque(work.helper_parts)), daemon=True)
    thread.start()
    try:
        with contextlib.suppress(IndexError):
            while True:
                work.parts[names.popleft()]()
        yield
    finally:
        # Everything that was asked of it is in the cache, or nobody waits for it any more.
        process.kill()
        process.wait()
        thread.join()
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                pipe.close()  # type: ignore[union-attr]


def _start(folder: Path, module: str) -> subprocess.Popen[str] | None:
    package = str(kernel_cache.PACKAGE.parent)
    path = os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])])
    try:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", module, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )
    except (OSError, ValueError):
        return None


def _hand_out(process: subprocess.Popen[str], shared: deque[str], others: deque[str]) -> None:
    """Answer each line of the helper with the name of a part, and with an empty line when there is none."""
    with contextlib.suppress(OSError, ValueError):
        for _ in process.stdout or ():
            print(_last(shared) or _last(others), file=process.stdin, flush=True)


def _last(names: deque[str]) -> str:
    try:
        return names.pop()
    except IndexError:
        return ""


def serve(parts: Parts) -> None:
    """Be the helper: compile the parts that standard input names, and ask for the next one on standard output.

    Returns when there is none, when the other process has ended, or when that one's kernels are not these.
    """
    if sys.argv[1:] != [str(kernel_cache.kernel_folder())]:
        return
    while True:
        sys.stdout.write("next\n")
        sys.stdout.flush()
        name = sys.stdin.readline().strip()
        if not name:
            return
        parts[name]()
