"""Parallel compilation: a child process compiles kernels on a second core while the parent compiles others.

Both write to the same cache folder, and each loads what the other has compiled. The child is a new Python process, not
a fork, because the parent may have threads. The parent sends the child one part of the work at a time over a pipe: so
the child ends with the parent, and the parent compiles what a child that dies has not finished.
"""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from streamlearn.kernels import cache as kernel_cache

Parts = Mapping[str, Callable[[], None]]
"""Units of work by name: each compiles a kernel and its callees, and no part needs the kernel of another part."""


class SharedWork(NamedTuple):
    """Work for the parent and its child process.

    Attributes
    ----------
    module
        Module that the child runs as its main program; it calls `run_child`.
    parts
        Parts for both processes: the parent takes them from the first on, the child from the last on.
    child_parts
        Names of further parts that the child takes, from the last on, while the parent runs its warm-up.
    """

    module: str
    parts: Parts
    child_parts: Sequence[str] = ()


def core_count() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextlib.contextmanager
def share_work(folder: Path, work: SharedWork) -> Iterator[None]:
    """Compile all parts together with a child process, which runs until the context ends.

    If no child can be started this compiles nothing: the warm-up in the context does.
    """
    process = _start(folder, work.module) if core_count() > 1 and sys.executable else None
    if process is None:
        yield
        return
    names = deque(work.parts)
    thread = threading.Thread(target=_assign_parts, args=(process, names, deque(work.child_parts)), daemon=True)
    thread.start()
    try:
        with contextlib.suppress(IndexError):
            while True:
                work.parts[names.popleft()]()
        yield
    finally:
        # All parts that the parent needs are in the cache; nothing waits for the part in progress.
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


def _assign_parts(process: subprocess.Popen[str], shared: deque[str], child_only: deque[str]) -> None:
    """Answer each line of the child with the name of a part, or with an empty line when none is left."""
    with contextlib.suppress(OSError, ValueError):
        for _ in process.stdout or ():
            print(_pop(shared) or _pop(child_only), file=process.stdin, flush=True)


def _pop(names: deque[str]) -> str:
    """Remove and return the last name, or return an empty string."""
    try:
        return names.pop()
    except IndexError:
        return ""


def run_child(parts: Parts) -> None:
    """Run the child process: ask for parts on standard output, and compile those that standard input names.

    Returns when no part is left, or at once if the parent has other kernel sources. When the parent has ended the
    process ends, in the midst of a part too.
    """
    if sys.argv[1:] != [str(kernel_cache.kernel_folder())]:
        return
    names: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read_names, args=(names,), daemon=True).start()
    while True:
        sys.stdout.write("next\n")
        sys.stdout.flush()
        name = names.get()
        if not name:
            return
        parts[name]()


def _read_names(names: queue.SimpleQueue[str]) -> None:
    """Pass on the lines of standard input, and end the process after the last one."""
    for line in sys.stdin:
        names.put(line.strip())
    os._exit(0)
