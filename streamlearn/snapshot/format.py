"""The snapshot file: named arrays and a manifest, in one uncompressed zip that ``numpy.load`` opens.

Layout, version 1:

- one member ``<name>.npy`` an array, sorted by name, C-contiguous, little-endian, booleans, integers and floats only
- the last member ``manifest.json``: ``format``, ``version``, what the writer adds (lineage, sequence, positions, ...),
  and ``arrays``: name, dtype, shape and SHA-256 of the values of each
- the zip's comment: ``sha256 `` and the digest of every byte before the comment

The same arrays and manifest give the same bytes, on any medium. Nothing in the file can run: it is never a pickle.
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
from streamlearn.snapshot.stored_arrays import StoredArrays, Told, naming, open_member
from streamlearn.state.arrays import array_bytes, check_kind, iter_chunks, plain_array

FORMAT = "streamlearn-snapshot"
FORMAT_VERSION = 1
MANIFEST = "manifest.json"

_RESERVED = ("format", "version", "arrays")
_NAME = re.compile(r"[A-Za-z0-9_\-][A-Za-z0-9_.\-]*(/[A-Za-z0-9_\-][A-Za-z0-9_.\-]*)*")
_SEAL = b"sha256 "
_SEAL_BYTES = len(_SEAL) + 64
_CHUNK_BYTES = 4 << 20
# Copied, not made: making one takes a lock of the library's, which must not be waited for in a process that was forked.
_EMPTY_SHA256 = hashlib.sha256()
_OLDEST_DATE = (1980, 1, 1, 0, 0, 0)

SnapshotFile = str | os.PathLike[str] | BinaryIO
Written = Callable[[str, np.ndarray], None]
"""Told of an array's name and, piece by piece and in order, what of it has been written."""


def write_snapshot(
    file: SnapshotFile,
    arrays: Mapping[str, np.ndarray],
    manifest: Mapping[str, Any],
    written: Written = lambda name, piece: None,
) -> None:
    """Write a snapshot.

    Parameters
    ----------
    file
        A path, which is replaced as a whole when all bytes are on the disk, or a binary file open for writing, which
        need not be seekable.
    arrays
        Booleans, integers and floats of any shape; names of letters, digits, ``_``, ``.``, ``-`` and ``/``.
    manifest
        What JSON can hold, without the keys ``format``, ``version`` and ``arrays``.
    written
        Told of what will not be read again.

    Raises
    ------
    SnapshotError
        The file cannot be written, for instance because the disk is full.
    TypeError, ValueError
        An array or the manifest is not of the kinds above.
    """
    for key in _RESERVED:
        if key in manifest:
            raise ValueError(f"manifest key {key!r} is the format's own")
    plain = {name: arrays[name] for name in sorted(arrays)}
    for name, array in plain.items():
        check_kind(name, array.dtype)
        if not _NAME.fullmatch(name):
            raise ValueError(f"array name {name!r} cannot be a file name in a snapshot")
    try:
        if isinstance(file, str | os.PathLike):
            write_atomically(Path(file), lambda opened: _write(opened, plain, manifest, written))
        else:
            _write(file, plain, manifest, written)
    except OSError as error:
        raise SnapshotError(f"cannot write snapshot {_name_of(file)}: {error.strerror or error}") from error


def read_snapshot(file: SnapshotFile, name: str | None = None) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the manifest and the arrays; every value returned agrees with its checksum.

    Parameters
    ----------
    file
        A path or a seekable binary file open for reading.
    name
        What the file is called in an error message.

    Raises
    ------
    SnapshotError
        The file is absent, cut short, altered, of a newer format version, or not a snapshot.
    """
    with open_snapshot(file, name) as (manifest, arrays):
        return manifest, dict(arrays)


@contextlib.contextmanager
def open_snapshot(
    file: SnapshotFile, name: str | None = None, told: Told = lambda size: None
) -> Iterator[tuple[dict[str, Any], StoredArrays]]:
    """Give the manifest, and the arrays to be read while the file is open; parameters and errors as `read_snapshot`.

    ``told`` hears of the bytes of arrays that were read, block by block.
    """
    name = name or _name_of(file)
    with _opened(file, name) as (archive, _, manifest):
        yield manifest, StoredArrays(archive, manifest["arrays"], name, told)


def read_manifest(file: SnapshotFile, name: str | None = None) -> dict[str, Any]:
    """Return the manifest alone, without looking at the arrays; parameters and errors as `read_snapshot`."""
    with _opened(file, name or _name_of(file)) as (_, _, manifest):
        return manifest


def verify_snapshot(file: SnapshotFile, name: str | None = None) -> dict[str, Any]:
    """Check every byte of the file and return its manifest; parameters and errors as `read_snapshot`.

    Beyond what reading checks, this finds a change in bytes that do not matter for reading.
    """
    name = name or _name_of(file)
    with _opened(file, name) as (archive, opened, manifest):
        arrays = StoredArrays(archive, manifest["arrays"], name, lambda size: None)
        for each in arrays:
            arrays.get_lazy(each).check()
        with naming(name):
            _check_seal(opened)
        return manifest


class _SealingWriter:
    """Passes bytes on and digests them, then writes the digest where zip has its comment.

    It has no ``seek``: so zipfile writes the same bytes for a disk as for an object store.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = _EMPTY_SHA256.copy()
        self._position = 0
        self.closing = False

    def write(self, data: bytes | memoryview) -> int:
        if self.closing and data == _SEAL.ljust(_SEAL_BYTES):
            data = _SEAL + self._digest.hexdigest().encode()
        self._digest.update(data)
        self._file.write(data)
        self._position += len(data)
        return len(data)

    def tell(self) -> int:
        return self._position

    def flush(self) -> None:
        self._file.flush()


def _write(file: BinaryIO, arrays: Mapping[str, np.ndarray], manifest: Mapping[str, Any], written: Written) -> None:
    writer: Any = _SealingWriter(file)
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
                    written(name, piece)
            sha256 = digest.hexdigest()
            entries.append({"name": name, "dtype": dtype.str, "shape": list(array.shape), "sha256": sha256})
        content = {"format": FORMAT, "version": FORMAT_VERSION, **manifest, "arrays": entries}
        text = json.dumps(content, allow_nan=False, separators=(",", ":"))
        with archive.open(_member(MANIFEST), "w", force_zip64=True) as member:
            member.write(text.encode())
        archive.comment = _SEAL.ljust(_SEAL_BYTES)
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
        with naming(name):
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
        raise SnapshotError(f"{MANIFEST} has no proper list of arrays")
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


def _check_seal(file: BinaryIO) -> None:
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    digest = hashlib.sha256()
    remaining = size - _SEAL_BYTES
    while remaining > 0 and (chunk := file.read(min(_CHUNK_BYTES, remaining))):
        digest.update(chunk)
        remaining -= len(chunk)
    if file.read() != _SEAL + digest.hexdigest().encode():
        raise SnapshotError("the bytes do not have the SHA-256 at the end of the file: the file is damaged")


def _name_of(file: SnapshotFile) -> str:
    if isinstance(file, str | os.PathLike):
        return os.fspath(file)
    return str(getattr(file, "name", None) or getattr(file, "path", None) or "stream")
