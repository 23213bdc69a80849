"""The arrays of a snapshot that is open: each is read when it is asked for, so that a state is not held twice.

A big one goes block by block to where it belongs. Its checksum is known when all of it has been read: who
takes a state over throws the whole of it away when that fails.
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

Told = Callable[[int], None]
"""Told of so many bytes that were read."""


@contextlib.contextmanager
def naming(name: str) -> Iterator[None]:
    """Let whatever goes wrong in reading a snapshot be a `SnapshotError` that names the file."""
    try:
        yield
    except SnapshotError as error:
        raise SnapshotError(f"snapshot {name}: {error}") from error
    except FileNotFoundError as error:
        raise SnapshotError(f"snapshot {name} does not exist") from error
    except zipfile.BadZipFile as error:
        raise SnapshotError(f"snapshot {name} is damaged or cut short: {error}") from error
    except Exception as error:
        # A flipped bit in a zip's directory can surface as almost any exception of the zip module.
        raise SnapshotError(f"snapshot {name} cannot be read: {error or type(error).__name__}") from error


class StoredArray:
    """An array in an open snapshot, as the manifest's ``entry`` tells of it; it is read from the start each time."""

    def __init__(self, archive: zipfile.ZipFile, entry: Mapping[str, Any], file: str, told: Told) -> None:
        self._archive = archive
        self._name: str = entry["name"]
        self._sha256: str = entry["sha256"]
        self._file = file
        self._told = told
        with naming(file):
            self.shape = tuple(entry["shape"])
            self.dtype = np.dtype(entry["dtype"])
            try:
                check_kind(self._name, self.dtype)
            except TypeError as error:
                raise SnapshotError(str(error)) from error

    def read(self) -> np.ndarray:
        """Return the array; raises `SnapshotError` when it is not what the manifest says."""
        with self._reading() as read:
            with naming(self._file):
                array = np.empty(self.shape, self.dtype)
            self._fill(array, read)
        return array

    def read_into(self, target: np.ndarray) -> None:
        """Write the array over another one of its shape; raises `SnapshotError` when it is not what is said of it.

        Blocks of a few megabytes are copied in turn, so that nothing else is held; a target that an error leaves half
        written is to be thrown away.
        """
        with self._reading() as read:
            self._fill(target, read)

    def check(self) -> None:
        """Read the array and keep nothing; errors as `read`."""
        with self._reading() as read:
            left = self._size
            while left:
                left -= len(read(min(left, 4 << 20)))

    def _fill(self, target: np.ndarray, read: Callable[[int], bytes]) -> None:
        for piece in iter_chunks(target):
            piece[...] = np.frombuffer(read(piece.nbytes), self.dtype).reshape(piece.shape)

    @property
    def _size(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Callable[[int], bytes]]:
        """Give a function that returns the next bytes of the array; at the end all of them are checked."""
        digest = hashlib.sha256()
        with contextlib.ExitStack() as stack:
            with naming(self._file):
                member = stack.enter_context(self._opened())

            def read(size: int) -> bytes:
                # What is told may end the reading by an error of its own, which is none of the file's.
                with naming(self._file):
                    chunk = member.read(size)
                    if len(chunk) != size:
                        raise SnapshotError(f"array {self._name!r} is cut short")
                    digest.update(chunk)
                self._told(size)
                return chunk

            yield read
            with naming(self._file):
                if member.read(1) or digest.hexdigest() != self._sha256:
                    raise SnapshotError(
                        f"array {self._name!r} does not have the SHA-256 that its manifest says: the file is damaged"
                    )

    def _opened(self) -> IO[bytes]:
        """Open the member and read its header."""
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
        The file.
    entries:
        What its manifest says of each array.
    file:
        What the file is called in an error message.
    told:
        Told of what was read.
    """

    def __init__(self, archive: zipfile.ZipFile, entries: Sequence[Mapping[str, Any]], file: str, told: Told) -> None:
        self._archive = archive
        self._entries = {entry["name"]: entry for entry in entries}
        self._file = file
        self._told = told

    def get_lazy(self, name: str) -> StoredArray:
        """Return an array that has not been read."""
        return StoredArray(self._archive, self._entries[name], self._file, self._told)

    def __getitem__(self, name: str) -> np.ndarray:
        return self.get_lazy(name).read()

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def open_member(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    """Open a member, which a snapshot never compresses."""
    if archive.getinfo(name).compress_type != zipfile.ZIP_STORED:
        raise SnapshotError(f"member {name} is compressed, which a snapshot never is")
    return archive.open(name)
