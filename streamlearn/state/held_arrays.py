"""Arrays as they are at one moment, without a copy: a child process holds them while the owner changes its own.

The operating system copies a page when one of the two writes to it, so that what nobody changes exists once. The child
does one thing, which needs no lock that another thread may have held when it began: it writes the arrays' bytes to a
pipe, in order of their names, and ends. Its memory goes with it.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import math
import os
import select
import signal
import sys
from collections.abc import Iterator, Mapping

import numpy as np

from streamlearn.errors import SnapshotError
from streamlearn.state.arrays import StreamedArray, array_chunks, check_kind

READ_BYTES = 1 << 20
SILENCE_SECONDS = 60.0


def can_hold() -> bool:
    """Return whether this system can hold arrays: others than Linux may not fork a process that has threads."""
    return sys.platform == "linux"


class HeldArrays:
    """Holds arrays as they are now.

    Parameters
    ----------
    arrays:
        Booleans, integers and floats by name.

    Raises
    ------
    OSError
        The system refuses another process, for instance because memory is short.
    TypeError
        An array holds anything else.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        for name, array in arrays.items():
            check_kind(name, array.dtype)
        self._shapes = {name: (arrays[name].dtype, arrays[name].shape) for name in sorted(arrays)}
        self._pipe, write = os.pipe()
        with contextlib.suppress(OSError):
            # Fewer turns between the two; a pipe of another size works as well.
            fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, READ_BYTES)
        try:
            self._child = os.fork()
        except OSError:
            os.close(self._pipe)
            os.close(write)
            raise
        if self._child == 0:
            _write_and_exit(arrays, write, self._pipe)
        os.close(write)

    def arrays(self) -> dict[str, StreamedArray]:
        """Return the arrays, to be read one after the other in order of their names.

        Reading raises `SnapshotError` when the child ends too early or falls silent.
        """
        return {
            name: StreamedArray(dtype.newbyteorder("<"), shape, self._read(name, math.prod(shape) * dtype.itemsize))
            for name, (dtype, shape) in self._shapes.items()
        }

    def release(self) -> None:
        """Let the child go, whether or not everything was read."""
        os.close(self._pipe)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._child, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._child, 0)

    def _read(self, name: str, size: int) -> Iterator[bytes]:
        remaining = size
        while remaining:
            if not select.select([self._pipe], [], [], SILENCE_SECONDS)[0]:
                raise SnapshotError(f"the process that holds the state gave nothing for {SILENCE_SECONDS:.0f} s")
            data = os.read(self._pipe, min(READ_BYTES, remaining))
            if not data:
                raise SnapshotError(f"the process that holds the state ended within array {name!r}")
            remaining -= len(data)
            yield data


def _write_and_exit(arrays: Mapping[str, np.ndarray], pipe: int, other_end: int) -> None:
    """Write the arrays and end the process, whatever happens: nothing of the parent may run here."""
    try:
        gc.disable()
        os.close(other_end)
        for number in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(ValueError):
                signal.signal(number, signal.SIG_IGN)
        for name in sorted(arrays):
            for chunk in array_chunks(arrays[name]):
                written = 0
                while written < len(chunk):
                    written += os.write(pipe, chunk[written:])
        os._exit(0)
    except BaseException:
        # A reader that is gone is the common case; the parent sees the pipe end too early.
        os._exit(1)
