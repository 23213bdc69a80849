"""The arrays of an open snapshot: each is read when it is asked for, so that a state is not in memory twice.

A large array is read block by block into its target. Its checksum is verified when all of it has been read; when that
fails, the caller discards the whole state.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from streamlearn.errors import SnapshotError
from streamlearn.state.arrays import check_kind, iter_chunks
from streamlearn.state.lazy_arrays import LazyArrays

_BLOCK_BYTES = 4 << 20

OnRead = Callable[[int], None]
"""Called with the number of bytes of each block that was read."""


@contextlib.contextmanager
def snapshot_errors(name: str) -> Iterator[None]:
    """Turn any error inside the block into a `SnapshotError` that names the file."""
    try:
        yield
    except SnapshotError as error:
        raise SnapshotError(f"snapshot {name}: {error}") from error
    except FileNotFoundError as error:
        raise SnapshotError(f"snapshot {name} does not exist") from error
    except zipfile.BadZipFile as error:
        raise SnapshotError(f"snapshot {name} is damaged or truncated, or no snapshot: {error}") from error
    except Exception as error:
        # A flipped bit in a zip's directory can surface as almost any exception of the zip module.
        raise SnapshotError(f"snapshot {name} cannot be read: {error or type(error).__name__}") from error


class StoredArray:
    """An array in an open snapshot, as described by the manifest's ``entry``; each call reads it from its start."""

    def __init__(self, archive: zipfile.ZipFile, entry: Mapping[str, Any], file: str, on_read: OnRead) -> None:
        self._archive = archive
        self._name: str = entry["name"]
        self._sha256: str = entry["sha256"]
        self._file = file
        self._on_read = on_read
        with snapshot_errors(file):
            self.shape = tuple(entry["shape"])
            self.dtype = np.dtype(entry["dtype"])
            try:
                check_kind(self._name, self.dtype)
            except TypeError as error:
                raise SnapshotError(str(error)) from error

    def read(self) -> np.ndarray:
        """Return the array; raises `SnapshotError` when it is not as the manifest says."""
        with self.open_values() as read:
            with snapshot_errors(self._file):
                array = np.empty(self.shape, self.dtype)
            self._fill(array, read)
        return array

    def read_into(self, target: np.ndarray) -> None:
        """Write the array over another one of its shape; raises `SnapshotError` when it is not as the manifest says.

        Blocks of a few megabytes are copied one by one, so that little more memory is needed. After an error the target
        is partly written, and must be discarded.
        """
        with self.open_values() as read:
            self._fill(target, read)

    def check(self) -> None:
        """Read the array without keeping it; errors as `read`."""
        with self.open_values() as read:
            left = math.prod(self.shape)
            while left:
                left -= len(read(min(left, _BLOCK_BYTES // self.dtype.itemsize)))

    def _fill(self, target: np.ndarray, read: Callable[[int], np.ndarray]) -> None:
        for piece in iter_chunks(target):
            piece[...] = read(piece.size).reshape(piece.shape)

    @property
    def _size(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    @contextlib.contextmanager
    def open_values(self) -> Iterator[Callable[[int], np.ndarray]]:
        """Yield a function that returns the next so many values of the array, read-only.

        All must be read: at the end, the checksum is verified, and `SnapshotError` raised when it does not match.
        """
        digest = hashlib.sha256()
        with contextlib.ExitStack() as stack:
            with snapshot_errors(self._file):
                member = stack.enter_context(self._open_member())

            def read(count: int) -> np.ndarray:
                # `on_read` is called outside the block: its errors are not errors of the file.
                size = count * self.dtype.itemsize
                with snapshot_errors(self._file):
                    chunk = member.read(size)
                    if len(chunk) != size:
                        raise SnapshotError(f"array {self._name!r} is truncated")
                    digest.update(chunk)
                self._on_read(size)
                return np.frombuffer(chunk, self.dtype)

            yield read
            with snapshot_errors(self._file):
                if member.read(1) or digest.hexdigest() != self._sha256:
                    raise SnapshotError(
                        f"array {self._name!r} does not have the SHA-256 that its manifest says: the file is damaged"
                    )

    def _open_member(self) -> IO[bytes]:
        """Open the array's member of the zip and read its header."""
        name, shape, dtype = self._name, self.shape, self.dtype
        info = self._archive.getinfo(name + ".npy")
        member = open_member(self._archive, info.filename)
        magic = npy.read_magic(member)
        if magic != (1, 0):
            raise SnapshotError(f"array {name!r} is not in npy version 1.0")
        found_shape, fortran, found_dtype = npy.read_array_header_1_0(member)
        if (found_shape, found_dtype, fortran and len(shape) > 1) != (shape, dtype, False):
            raise SnapshotError(f"array {name!r} is {found_dtype}{found_shape}, its manifest says {dtype}{shape}")
        if info.file_size != member.tell() + self._size:
            raise SnapshotError(f"array {name!r} has {info.file_size - member.tell()} bytes instead of {self._size}")
        return member


class StoredArrays(LazyArrays):
    """The arrays of an open snapshot by name, each read when it is asked for.

    Parameters
    ----------
    archive:
        The zip file.
    entries:
        The manifest's entry of each array.
    file:
        The file's name in error messages.
    on_read:
        Called with the size of each block that was read.
    """

    def __init__(
        self, archive: zipfile.ZipFile, entries: Sequence[Mapping[str, Any]], file: str, on_read: OnRead
    ) -> None:
        self._archive = archive
        self._entries = {entry["name"]: entry for entry in entries}
        self._file = file
        self._on_read = on_read

    def get_lazy(self, name: str) -> StoredArray:
        """Return an array that has not been read."""
        return StoredArray(self._archive, self._entries[name], self._file, self._on_read)

    def __getitem__(self, name: str) -> np.ndarray:
        return self.get_lazy(name).read()

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def open_member(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    """Open a member of the zip, which must not be compressed."""
    if archive.getinfo(name).compress_type != zipfile.ZIP_STORED:
        raise SnapshotError(f"member {name} is compressed, which a snapshot never is")
    return archive.open(name)
