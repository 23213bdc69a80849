"""The snapshot file: named arrays and a manifest, in one uncompressed zip that ``numpy.load`` opens.

Layout, version 1:

- one member ``<name>.npy`` per array, sorted by name, C-contiguous, little-endian, booleans, integers and floats only
- the last member ``manifest.json``: ``format``, ``version``, the writer's keys (lineage, sequence, positions, ...), and
  ``arrays``: name, dtype, shape and SHA-256 of the values of each array
- the zip's comment: ``sha256 `` and the digest of every byte before the comment

The same arrays and manifest give the same bytes, on any medium. The file holds no code: it is never a pickle.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy

from streamlearn.errors import SnapshotError
from streamlearn.snapshot.atomic_file import write_atomically
from streamlearn.snapshot.stored_arrays import OnRead, StoredArrays, open_member, snapshot_errors
from streamlearn.state.arrays import array_bytes, check_kind, iter_chunks, plain_array

FORMAT = "streamlearn-snapshot"
FORMAT_VERSION = 1
MANIFEST = "manifest.json"

_RESERVED = ("format", "version", "arrays")
_NAME = re.compile(r"[A-Za-z0-9_\-][A-Za-z0-9_.\-]*(/[A-Za-z0-9_\-][A-Za-z0-9_.\-]*)*")
_DIGEST_PREFIX = b"sha256 "
_COMMENT_BYTES = len(_DIGEST_PREFIX) + 64
_CHUNK_BYTES = 4 << 20
# Copied rather than created: creation takes a lock of the library, for which a forked process must not wait.
_EMPTY_SHA256 = hashlib.sha256()
_OLDEST_DATE = (1980, 1, 1, 0, 0, 0)

SnapshotFile = str | os.PathLike[str] | BinaryIO
OnWritten = Callable[[str, np.ndarray], None]
"""Called with an array's name and each piece of it, in order, once the piece has been written."""


def write_snapshot(
    file: SnapshotFile,
    arrays: Mapping[str, np.ndarray],
    manifest: Mapping[str, Any],
    on_written: OnWritten = lambda name, piece: None,
) -> None:
    """Write a snapshot.

    Parameters
    ----------
    file
        A path, at which the file appears when all bytes are on the disk, or a binary file open for writing, which need
        not be seekable.
    arrays
        Booleans, integers and floats of any shape; names of letters, digits, ``_``, ``.``, ``-`` and ``/``.
    manifest
        JSON values, without the keys ``format``, ``version`` and ``arrays``.
    on_written
        Called with each piece of an array that was written and will not be read again.

    Raises
    ------
    SnapshotError
        The file cannot be written, for instance because the disk is full.
    TypeError, ValueError
        An array or the manifest is of another kind.
    """
    for key in _RESERVED:
        if key in manifest:
            raise ValueError(f"manifest key {key!r} is reserved for the format")
    plain = {name: arrays[name] for name in sorted(arrays)}
    for name, array in plain.items():
        check_kind(name, array.dtype)
        if not _NAME.fullmatch(name):
            raise ValueError(f"array name {name!r} cannot be a file name in a snapshot")
    try:
        if isinstance(file, str | os.PathLike):
            write_atomically(Path(file), lambda opened: _write(opened, plain, manifest, on_written))
        else:
            _write(file, plain, manifest, on_written)
    except OSError as error:
        raise SnapshotError(f"cannot write snapshot {_name_of(file)}: {error.strerror or error}") from error


def read_snapshot(file: SnapshotFile, name: str | None = None) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the manifest and the arrays; every returned value has been verified by its checksum.

    Parameters
    ----------
    file
        A path or a seekable binary file open for reading.
    name
        The file's name in error messages.

    Raises
    ------
    SnapshotError
        The file is absent, truncated, altered, of a newer format version, or not a snapshot.
    """
    with open_snapshot(file, name) as (manifest, arrays):
        return manifest, dict(arrays)


@contextlib.contextmanager
def open_snapshot(
    file: SnapshotFile, name: str | None = None, on_read: OnRead = lambda size: None
) -> Iterator[tuple[dict[str, Any], StoredArrays]]:
    """Yield the manifest, and the arrays to be read while the file is open; parameters and errors as `read_snapshot`.

    ``on_read`` is called with the size of each block of an array that was read.
    """
    name = name or _name_of(file)
    with _opened(file, name) as (archive, _, manifest):
        yield manifest, StoredArrays(archive, manifest["arrays"], name, on_read)


def read_manifest(file: SnapshotFile, name: str | None = None) -> dict[str, Any]:
    """Return the manifest without reading the arrays; parameters and errors as `read_snapshot`."""
    with _opened(file, name or _name_of(file)) as (_, _, manifest):
        return manifest


def verify_snapshot(file: SnapshotFile, name: str | None = None) -> dict[str, Any]:
    """Check every byte of the file and return its manifest; parameters and errors as `read_snapshot`.

    Beyond what reading checks, this finds altered bytes that reading does not use.
    """
    name = name or _name_of(file)
    with _opened(file, name) as (archive, opened, manifest):
        arrays = StoredArrays(archive, manifest["arrays"], name, lambda size: None)
        for each in arrays:
            arrays.get_lazy(each).check()
        with snapshot_errors(name):
            _check_digest(opened)
        return manifest


class _DigestWriter:
    """Writes bytes to a file and hashes them, then writes the hash as the zip's comment.

    It has no ``seek``, so zipfile writes the same bytes to a disk as to an object store.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = _EMPTY_SHA256.copy()
        self._position = 0
        self.closing = False

    def write(self, data: bytes | memoryview) -> int:
        if self.closing and data == _DIGEST_PREFIX.ljust(_COMMENT_BYTES):
            data = _DIGEST_PREFIX + self._digest.hexdigest().encode()
        self._digest.update(data)
        size, written = len(data), self._file.write(data)
        while written is not None and written < len(data):  # a file without a buffer
            data = memoryview(data)[written:]
            written = self._file.write(data)
        self._position += size
        return size

    def tell(self) -> int:
        return self._position

    def flush(self) -> None:
        self._file.flush()


def _write(
    file: BinaryIO, arrays: Mapping[str, np.ndarray], manifest: Mapping[str, Any], on_written: OnWritten
) -> None:
    writer: Any = _DigestWriter(file)
    entries = []
    with zipfile.ZipFile(writer, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            digest = _EMPTY_SHA256.copy()
            dtype = array.dtype.newbyteorder("<")
            header = {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": array.shape}
            with archive.open(_member(name + ".npy"), "w", force_zip64=True) as member:
                npy.write_array_header_1_0(member, header)
                for piece in iter_chunks(array):
                    chunk = array_bytes(plain_array(name, piece))
                    member.write(chunk)
                    digest.update(chunk)
                    on_written(name, piece)
            sha256 = digest.hexdigest()
            entries.append({"name": name, "dtype": dtype.str, "shape": list(array.shape), "sha256": sha256})
        content = {"format": FORMAT, "version": FORMAT_VERSION, **manifest, "arrays": entries}
        text = json.dumps(content, allow_nan=False, separators=(",", ":"))
        with archive.open(_member(MANIFEST), "w", force_zip64=True) as member:
            member.write(text.encode())
        archive.comment = _DIGEST_PREFIX.ljust(_COMMENT_BYTES)
        writer.closing = True


def _member(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _OLDEST_DATE)
    info.create_system = 3
    info.external_attr = 0o600 << 16
    return info


@contextlib.contextmanager
def _opened(file: SnapshotFile, name: str) -> Iterator[tuple[zipfile.ZipFile, BinaryIO, dict[str, Any]]]:
    """Open the zip and read its manifest."""
    with contextlib.ExitStack() as stack:
        with snapshot_errors(name):
            opened = stack.enter_context(open(file, "rb")) if isinstance(file, str | os.PathLike) else file
            archive = stack.enter_context(zipfile.ZipFile(opened))
            manifest = _read_manifest(archive)
        yield archive, opened, manifest


def _read_manifest(archive: zipfile.ZipFile) -> dict[str, Any]:
    names = [info.filename for info in archive.infolist()]
    if MANIFEST not in names:
        raise SnapshotError(f"no member {MANIFEST}; this is not a snapshot")
    try:
        with open_member(archive, MANIFEST) as member:
            manifest = json.loads(member.read())
    except ValueError as error:
        raise SnapshotError(f"{MANIFEST} is not JSON: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise SnapshotError(f'{MANIFEST} does not say "format": "{FORMAT}"; this is not a snapshot')
    version = manifest.get("version")
    if type(version) is not int or version < 1:
        raise SnapshotError(f"{MANIFEST} has no format version")
    if version > FORMAT_VERSION:
        raise SnapshotError(
            f"written in format version {version}, and this streamlearn reads up to version {FORMAT_VERSION}; "
            "upgrade streamlearn"
        )
    entries = manifest.get("arrays")
    if not isinstance(entries, list) or not all(_is_entry(entry) for entry in entries):
        raise SnapshotError(f"{MANIFEST} has no valid list of arrays")
    expected = [entry["name"] + ".npy" for entry in entries] + [MANIFEST]
    if missing := sorted(set(expected) - set(names)):
        raise SnapshotError(f"array {missing[0].removesuffix('.npy')!r} is missing")
    if names != expected:
        raise SnapshotError(f"members are not those that {MANIFEST} lists")
    return manifest


def _is_entry(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and all(isinstance(entry.get(key), str) for key in ("name", "dtype", "sha256"))
        and isinstance(entry.get("shape"), list)
        and all(type(length) is int and length >= 0 for length in entry["shape"])
    )


def _check_digest(file: BinaryIO) -> None:
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    digest = hashlib.sha256()
    remaining = size - _COMMENT_BYTES
    while remaining > 0 and (chunk := file.read(min(_CHUNK_BYTES, remaining))):
        digest.update(chunk)
        remaining -= len(chunk)
    if file.read() != _DIGEST_PREFIX + digest.hexdigest().encode():
        raise SnapshotError("its bytes do not have the SHA-256 at the end of the file: the file is damaged")


def _name_of(file: SnapshotFile) -> str:
    if isinstance(file, str | os.PathLike):
        return os.fspath(file)
    return str(getattr(file, "name", None) or getattr(file, "path", None) or "stream")
