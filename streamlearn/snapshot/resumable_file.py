"""A file of an object store that is read on where the reading broke off."""

from __future__ import annotations

import contextlib
import io
import os
import threading
from collections.abc import Callable
from typing import BinaryIO, TypeVar

from streamlearn.errors import SnapshotError

T = TypeVar("T")
ATTEMPTS = 5
"""How often one piece is asked for, at most."""
FIRST_PAUSE_SECONDS = 0.2
_FINAL = (FileNotFoundError, PermissionError)


class ResumableFile(io.RawIOBase):
    """Opens a file again, at the same place, when reading it fails.

    A restore of gigabytes from far away must not begin again, or go back to an older snapshot, for one connection that
    was reset. Between two attempts there is a pause, each twice as long as the one before.

    Parameters
    ----------
    opened:
        Opens the file for reading; what is opened must be seekable.
    pause:
        Waits for so many seconds.

    Raises
    ------
    FileNotFoundError, PermissionError
        At once.
    SnapshotError
        Once a piece has failed `ATTEMPTS` times. An `OSError` would be taken for the end of the file by some readers.
    """

    def __init__(self, opened: Callable[[], BinaryIO], pause: Callable[[float], object] | None = None) -> None:
        self._opened = opened
        self._pause = pause or threading.Event().wait
        self._file: BinaryIO | None = None
        self._position = 0
        self._size = self._persistently(lambda file: file.seek(0, os.SEEK_END))

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        position = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence] + offset
        if position < 0:
            raise ValueError(f"the place {position} lies before the file")
        self._position = position
        return position

    def read(self, size: int | None = -1) -> bytes:
        """Return so many bytes; fewer only at the end of the file."""
        left = max(0, self._size - self._position)
        wanted = left if size is None or size < 0 else min(size, left)
        return self._persistently(lambda file: self._piece(file, wanted)) if wanted else b""

    def _piece(self, file: BinaryIO, wanted: int) -> bytes:
        file.seek(self._position)
        piece = file.read(wanted)
        if len(piece) != wanted:
            raise OSError(f"{len(piece)} of {wanted} bytes came from place {self._position} of {self._size}")
        self._position += wanted
        return piece

    def _persistently(self, do: Callable[[BinaryIO], T]) -> T:
        pause = FIRST_PAUSE_SECONDS
        attempts = 0
        while True:
            try:
                if self._file is None:
                    self._file = self._opened()
                return do(self._file)
            except _FINAL:
                raise
            except Exception as error:
                self._let_go()
                attempts += 1
                if attempts == ATTEMPTS:
                    raise SnapshotError(
                        f"reading broke off {ATTEMPTS} times at byte {self._position}: {error or type(error).__name__}"
                    ) from error
                self._pause(pause)
                pause *= 2

    def _let_go(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(Exception):
                file.close()

    def close(self) -> None:
        self._let_go()
        super().close()
