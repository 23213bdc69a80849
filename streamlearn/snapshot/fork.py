"""Runs work in a forked child process, which has the memory as it was at the fork.

The operating system copies a page only when one of the two processes writes to it (copy-on-write), so unchanged memory
exists once. The child runs in parallel, not within the parent's interpreter.

Only the thread that forks exists in the child. The work must therefore not wait for a lock that another thread may have
held: it computes, and writes to files that it opens itself.

The child has copies of all descriptors. It closes them at once: a listening socket would keep its port taken after the
parent has died, and a connection open that the parent has closed. It closes nothing by the objects that own them, which
would say goodbye in the parent's name, as TLS does. And it dies with its parent, whatever ends that.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import select
import signal
import sys
from collections.abc import Callable, Collection

from streamlearn.errors import SnapshotError

PROGRESS_SECONDS = 60.0
"""A child without progress for so long is killed."""
ERROR_BYTES = 4_096
"""Longest error message of a child."""
_SET_DEATH_SIGNAL = 1
"""PR_SET_PDEATHSIG of Linux's ``prctl``."""
NICE = 5
"""Niceness that is added to the child's: it gets less processor time where both want the same processor."""


# Loaded at import: loading takes a lock, for which a forked process must not wait.
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def can_fork() -> bool:
    """Return whether a process with threads may fork here: on Linux only."""
    return sys.platform == "linux"


class ForkedProcess:
    """A child process that runs some work on the memory as it is now, at a lower priority.

    The child is killed when the thread that makes it ends.

    Parameters
    ----------
    work:
        Called in the child.
    keep:
        Descriptors that the work needs, beside the standard ones; all others are closed in the child.

    Raises
    ------
    OSError
        The system refuses another process, for instance because of lack of memory.
    """

    def __init__(self, work: Callable[[], None], keep: Collection[int] = ()) -> None:
        self._pipe, write = os.pipe()
        parent = os.getpid()
        try:
            self.process = os.fork()
        except OSError:
            os.close(self._pipe)
            os.close(write)
            raise
        if self.process == 0:
            _work_and_exit(work, write, parent, keep)
        os.close(write)

    def wait(self, progress: Callable[[], int]) -> None:
        """Wait for the end of the work.

        Parameters
        ----------
        progress:
            Returns a number that grows while the work proceeds.

        Raises
        ------
        SnapshotError
            The work failed, or made no progress for `PROGRESS_SECONDS`; the process is killed then.
        """
        message = b""
        reached = -1
        try:
            while True:
                if not select.select([self._pipe], [], [], PROGRESS_SECONDS)[0]:
                    now = progress()
                    if now <= reached:
                        raise SnapshotError(f"the process that writes it made no progress for {PROGRESS_SECONDS:.0f} s")
                    reached = now
                    continue
                data = os.read(self._pipe, ERROR_BYTES)
                if not data:
                    break
                message += data
        except BaseException:
            os.kill(self.process, signal.SIGKILL)
            raise
        finally:
            os.close(self._pipe)
            _, status = os.waitpid(self.process, 0)
        code = os.waitstatus_to_exitcode(status)
        if code:
            text = message.decode(errors="replace")
            raise SnapshotError(text or f"the process that writes it ended with status {code}")


def _work_and_exit(work: Callable[[], None], pipe: int, parent: int, keep: Collection[int]) -> None:
    """Do the work and exit in any case: no code of the parent may run here."""
    code = 1
    try:
        _die_with(parent)
        gc.disable()
        for number in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(ValueError):
                signal.signal(number, signal.SIG_IGN)
        with contextlib.suppress(ValueError):
            # Its descriptor may soon be that of another file.
            signal.set_wakeup_fd(-1)
        _close_descriptors({*range(3), pipe, *keep})
        os.nice(NICE)
        work()
        code = 0
    except BaseException as error:
        with contextlib.suppress(BaseException):
            os.write(pipe, str(error).encode()[:ERROR_BYTES])
    finally:
        os._exit(code)


def _die_with(parent: int) -> None:
    """Have the system kill this process when its parent ends, however it ends."""
    if _libc is not None:
        _libc.prctl(_SET_DEATH_SIGNAL, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        # It ended before.
        os._exit(1)


def _close_descriptors(kept: Collection[int]) -> None:
    """Close all descriptors but some.

    Their numbers stay taken: an object that closes its own later must not close a file that was opened since.
    """
    nothing = os.open(os.devnull, os.O_RDWR)
    # Without /proc they stay open until this process ends.
    with contextlib.suppress(OSError):
        for descriptor in map(int, os.listdir("/proc/self/fd")):
            if descriptor not in kept:
                os.dup2(nothing, descriptor)
