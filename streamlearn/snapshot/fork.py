"""Work on the state as it is at one moment, without a copy: a child process does it while the owner goes on.

The operating system copies a page when one of the two writes to it, so that what nobody changes exists once, and the
child's share goes when it ends. It runs beside the owner, not within its interpreter.

Only the thread that forks lives on in the child. So the work must not wait for a lock that another
thread may have held: it computes, and writes to files that it opens itself.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import sys
from collections.abc import Callable

from streamlearn.errors import SnapshotError

LOOK_SECONDS = 60.0
TEXT_BYTES = 4_096
NICE = 5
"""How far the child stands behind its owner where both want the same processor."""


def can_fork() -> bool:
    """Return whether a process with threads may fork here; on other systems than Linux it may not."""
    return sys.platform == "linux"


class ForkedProcess:
    """A child process that does some work on memory as it is now, behind its owner in the queue for processors.

    Parameters
    ----------
    work:
        What it does.

    Raises
    ------
    OSError
        The system refuses another process, for instance because memory is short.
    """

    def __init__(self, work: Callable[[], None]) -> None:
        self._pipe, write = os.pipe()
        try:
            self.process = os.fork()
        except OSError:
            os.close(self._pipe)
            os.close(write)
            raise
        if self.process == 0:
            _work_and_exit(work, write)
        os.close(write)

    def wait(self, progress: Callable[[], int]) -> None:
        """Wait until the work is done.

        Parameters
        ----------
        progress:
            Returns a number that grows while the work goes on.

        Raises
        ------
        SnapshotError
            The work failed, or it made no progress for a minute; the process is ended.
        """
        said = b""
        reached = -1
        try:
            while True:
                if not select.select([self._pipe], [], [], LOOK_SECONDS)[0]:
                    now = progress()
                    if now <= reached:
                        raise SnapshotError(f"the process that writes it did nothing for {LOOK_SECONDS:.0f} s")
                    reached = now
                    continue
                data = os.read(self._pipe, TEXT_BYTES)
                if not data:
                    break
                said += data
        except BaseException:
            os.kill(self.process, signal.SIGKILL)
            raise
        finally:
            os.close(self._pipe)
            _, status = os.waitpid(self.process, 0)
        code = os.waitstatus_to_exitcode(status)
        if code:
            text = said.decode(errors="replace")
            raise SnapshotError(text or f"the process that writes it ended with status {code}")


def _work_and_exit(work: Callable[[], None], pipe: int) -> None:
    """Do the work and end the process, whatever happens: nothing of the parent may run here."""
    code = 1
    try:
        gc.disable()
        for number in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(ValueError):
                signal.signal(number, signal.SIG_IGN)
        os.nice(NICE)
        work()
        code = 0
    except BaseException as error:
        with contextlib.suppress(BaseException):
            os.write(pipe, str(error).encode()[:TEXT_BYTES])
    finally:
        os._exit(code)
