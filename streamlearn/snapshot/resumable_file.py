"""A file in an object store that is opened again, at the same position, when reading it fails."""

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
"""How often one read is attempted."""
FIRST_PAUSE_SECONDS = 0.2
"""Pause after the first failure; each later one is twice as long."""
_NOT_RETRIED = (FileNotFoundError, PermissionError)


class ResumableFile(io.RawIOBase):
    """A read-only file that resumes after a failed read.

    A restore of gigabytes must not start again, or fall back to an older snapshot, because one connection was reset.

    Parameters
    ----------
    open_file:
        Opens the file for reading; it must be seekable.
    pause:
        Waits for a number of seconds.

    Raises
    ------
    FileNotFoundError, PermissionError
        At once.
    SnapshotError
        When a read has failed `ATTEMPTS` times. Some readers would take an `OSError` for the end of the file.
    """

    def __init__(self, open_file: Callable[[], BinaryIO], pause: Callable[[float], object] | None = None) -> None:
        self._open_file = open_file
        self._pause = pause or threading.Event().wait
        self._file: BinaryIO | None = None
        self._position = 0
        self._size = self._retry(lambda file: file.seek(0, os.SEEK_END))

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        position = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence] + offset
        if position < 0:
            raise ValueError(f"position {position} is before the start of the file")
        self._position = position
        return position

    def read(self, size: int | None = -1) -> bytes:
        """Return ``size`` bytes; fewer only at the end of the file."""
        left = max(0, self._size - self._position)
        wanted = left if size is None or size < 0 else min(size, left)
        return self._retry(lambda file: self._read_at_position(file, wanted)) if wanted else b""

    def _read_at_position(self, file: BinaryIO, wanted: int) -> bytes:
        file.seek(self._position)
        data = file.read(wanted)
        if len(data) != wanted:
            raise OSError(f"{len(data)} of {wanted} bytes were read at position {self._position} of {self._size}")
        self._position += wanted
        return data

    def _retry(self, do: Callable[[BinaryIO], T]) -> T:
        pause = FIRST_PAUSE_SECONDS
        attempts = 0
        while True:
            try:
                if self._file is None:
                    self._file = self._open_file()
                return do(self._file)
            except _NOT_RETRIED:
                raise
            except Exception as error:
                self._close_file()
                attempts += 1
                if attempts == ATTEMPTS:
                    raise SnapshotError(
                        f"reading failed {ATTEMPTS} times at byte {self._position}: {error or type(error).__name__}"
                    ) from error
                self._pause(pause)
                pause *= 2

    def _close_file(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(Exception):
                file.close()

    def close(self) -> None:
        self._close_file()
        super().close()
