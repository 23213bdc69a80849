"""A store of snapshots: a folder or an object store.

The path of a snapshot is ``<group>/<lineage>/<task>/<seq>-<chain>.npz``; ``seq`` and ``chain`` are its committed mark.

The lineage is part of the path because a recreated topic starts again at sequence 0: pruning by sequence number across
lineages would keep the old files and delete the new ones.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from urllib.parse import quote, unquote

import fsspec
import numpy as np
from fsspec.implementations.local import LocalFileSystem

from streamlearn.cleanup import Cleanup
from streamlearn.errors import SnapshotError, UsageError
from streamlearn.snapshot.atomic_file import fill_atomically, remove_abandoned, temporary_name, write_atomically
from streamlearn.snapshot.format import OnWritten, open_snapshot, read_manifest, verify_snapshot, write_snapshot
from streamlearn.snapshot.resumable_file import ResumableFile
from streamlearn.snapshot.stored_arrays import OnRead, StoredArrays
from streamlearn.snapshot.temporary_folders import temporary_folders

_FILE_NAME = re.compile(r"(\d+)-([0-9A-Za-z_]+)\.npz")
_OBJECT_BLOCK_BYTES = 8 << 20
_KEYS = ("group", "lineage", "task", "seq", "chain")


class SnapshotEntry(NamedTuple):
    """A snapshot in a store, as named by its path; the file has not been read."""

    group: str
    lineage: str
    task: int
    seq: int
    chain: str
    path: str  # full path or URL, for messages
    size_bytes: int


class UnfinishedSnapshot(NamedTuple):
    """A snapshot that another process writes to a temporary file."""

    entry: SnapshotEntry
    path: str  # the path within the store's filesystem
    temporary: Path
    target: Path | None  # where the file is renamed to; None for an object store

    def progress(self) -> int:
        """Return the bytes written so far; -1 while there is no file."""
        try:
            return self.temporary.stat().st_size
        except FileNotFoundError:
            return -1


class SnapshotStore:
    """The snapshots at one location.

    Parameters
    ----------
    location
        A folder, or a URL of a protocol that fsspec supports (``s3://bucket/folder``, ``memory://``, ...).
    keep
        How many snapshots of a task `prune` keeps, at least 1.
    named
        What errors call the location: what the user gave it as.

    Raises
    ------
    UsageError
        The location's protocol is unknown, or the library for it is not installed.

    In a folder, a file appears whole by a rename. In an object store, the key is created exclusively: an existing key
    was written from the same committed mark and is left as it is.
    """

    def __init__(self, location: str, keep: int = 4, named: str = "snapshot.location") -> None:
        if keep < 1:
            raise UsageError(f"snapshot.keep is {keep}: at least 1 snapshot must be kept")
        self.location = location
        self.keep = keep
        self._named = named
        try:
            filesystem, root = fsspec.url_to_fs(location)
        except (ImportError, ValueError, TypeError) as error:
            raise UsageError(
                f"{named} {location!r} cannot be used: {error}. "
                "Give a folder, or the URL of an object store whose fsspec driver is installed (s3:// needs s3fs)"
            ) from error
        self._filesystem: Any = filesystem
        self._local = isinstance(filesystem, LocalFileSystem)
        self._root = root.rstrip("/")
        self._readable: set[SnapshotEntry] = set()

    def save(
        self,
        group: str,
        lineage: str,
        task: int,
        seq: int,
        chain: str,
        arrays: Mapping[str, np.ndarray],
        manifest: Mapping[str, Any],
    ) -> SnapshotEntry:
        """Write the snapshot of a committed mark; group, lineage, task, seq and chain are added to the manifest.

        Raises
        ------
        SnapshotError
            The store cannot be written: full, absent, or not permitted. No partial file remains.
        TypeError, ValueError
            The arrays or the manifest do not fit the format (`write_snapshot`).
        """
        name = f"{seq}-{chain}.npz"
        if not _FILE_NAME.fullmatch(name):
            raise ValueError(f"seq {seq} and chain {chain!r} do not give a valid file name")
        path = f"{self._folder(group, lineage, task)}/{name}"
        entry = SnapshotEntry(group, lineage, task, seq, chain, self._display_path(path), 0)
        content = {**_keys_of(entry), **manifest}

        def write(file: BinaryIO) -> None:
            write_snapshot(file, arrays, content)

        try:
            if self._local:
                write_atomically(Path(path), write)
            else:
                self._create(path, write)
            size = self._filesystem.size(path)
        except (TypeError, ValueError):
            raise
        except Exception as error:
            raise self._failure("write", path, error) from error
        return entry._replace(size_bytes=int(size or 0))

    def begin(self, group: str, lineage: str, task: int, seq: int, chain: str) -> UnfinishedSnapshot:
        """Return the files of a snapshot that another process will `fill`; then `finish` or `abandon` it."""
        path = f"{self._folder(group, lineage, task)}/{seq}-{chain}.npz"
        entry = SnapshotEntry(group, lineage, task, seq, chain, self._display_path(path), 0)
        if self._local:
            return UnfinishedSnapshot(entry, path, temporary_name(Path(path)), Path(path))
        local = Path(tempfile.gettempdir()) / f"streamlearn-{_last_part(path)}"
        return UnfinishedSnapshot(entry, path, temporary_name(local), None)

    def fill(
        self,
        unfinished: UnfinishedSnapshot,
        arrays: Mapping[str, np.ndarray],
        manifest: Mapping[str, Any],
        on_written: OnWritten = lambda name, piece: None,
    ) -> None:
        """Write the file of a snapshot and sync it to disk; in a folder it then appears under its name.

        ``on_written`` is called with each piece of an array that will not be read again. Nothing here waits for another
        thread, so that a forked process may call it.

        Raises
        ------
        SnapshotError
            The file cannot be written; no partial file remains.
        TypeError, ValueError
            The arrays or the manifest do not fit the format (`write_snapshot`).
        """
        content = {**_keys_of(unfinished.entry), **manifest}
        try:
            fill_atomically(
                unfinished.temporary, unfinished.target, lambda file: write_snapshot(file, arrays, content, on_written)
            )
        except (OSError, SnapshotError) as error:
            raise self._failure("write", unfinished.path, error) from error

    def finish(self, unfinished: UnfinishedSnapshot) -> SnapshotEntry:
        """Return the entry of a filled snapshot; in an object store it appears now.

        Raises
        ------
        SnapshotError
            The store cannot be written; no partial file remains.
        """
        with Cleanup(lambda: self.abandon(unfinished)):
            try:
                if unfinished.target is None:
                    with contextlib.suppress(FileExistsError):
                        self._filesystem.put_file(str(unfinished.temporary), unfinished.path, mode="create")
                size = self._filesystem.size(unfinished.path)
            except Exception as error:
                raise self._failure("write", unfinished.path, error) from error
        return unfinished.entry._replace(size_bytes=int(size or 0))

    def abandon(self, unfinished: UnfinishedSnapshot) -> None:
        """Remove the temporary file of a snapshot, if there is one."""
        unfinished.temporary.unlink(missing_ok=True)

    def list(
        self, group: str | None = None, lineage: str | None = None, task: int | None = None
    ) -> Sequence[SnapshotEntry]:
        """Return the snapshots, highest sequence number first within a task; none when the location does not exist.

        Raises
        ------
        SnapshotError
            The store cannot be listed.
        """
        self._filesystem.invalidate_cache()
        folders = [self._root]
        for name in (group, lineage, None if task is None else str(task)):
            folders = [
                child["name"]
                for folder in folders
                for child in self._children(folder)
                if child["type"] == "directory" and name in (None, unquote(_last_part(child["name"])))
            ]
        entries = [
            entry for folder in folders for child in self._children(folder) if (entry := self._entry(child)) is not None
        ]
        return sorted(entries, key=lambda entry: (entry.group, entry.lineage, entry.task, -entry.seq, entry.chain))

    def read(self, entry: SnapshotEntry) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Return manifest and arrays of a snapshot; every value has been verified by its checksum.

        Raises
        ------
        SnapshotError
            The file is absent, damaged, of a newer format version, or not what its name says.
        """
        with self.open(entry) as (manifest, arrays):
            return manifest, dict(arrays)

    @contextlib.contextmanager
    def open(
        self, entry: SnapshotEntry, on_read: OnRead = lambda size: None
    ) -> Iterator[tuple[dict[str, Any], StoredArrays]]:
        """Yield manifest and arrays of a snapshot, each array to be read when it is needed; errors as `read`.

        ``on_read`` is called with the size of each block that was read.
        """
        with self._open(entry) as file, open_snapshot(file, entry.path, on_read) as (manifest, arrays):
            _check_keys(entry, manifest)
            yield manifest, arrays

    def read_manifest(self, entry: SnapshotEntry) -> dict[str, Any]:
        """Return the manifest of a snapshot; errors as `read`."""
        with self._open(entry) as file:
            manifest = read_manifest(file, entry.path)
        _check_keys(entry, manifest)
        return manifest

    def verify(self, entry: SnapshotEntry) -> dict[str, Any]:
        """Check every byte of a snapshot and return its manifest; errors as `read`."""
        with self._open(entry) as file:
            manifest = verify_snapshot(file, entry.path)
        _check_keys(entry, manifest)
        return manifest

    def prune(self, group: str, lineage: str, task: int, newest: int | None = None) -> Sequence[SnapshotEntry]:
        """Remove old snapshots of one task; return the removed ones.

        The ``keep`` newest snapshots that can be opened are kept. One that cannot be opened does not count, and is
        removed when it is older than those. When none can be opened, nothing is removed. Snapshots beyond the sequence
        number ``newest``, the last one known to be of the model's past, are neither counted nor removed. After a
        rollback, the snapshot that it went to is kept until all kept snapshots are newer than the rollback, because a
        restore cannot use those in between; so is the snapshot with which an upgrade began. The newest snapshot of
        another model version is thus kept until there are ``keep`` of this one: an earlier release can go back to it.
        In a folder, the temporary files of dead writers are removed as well.

        Raises
        ------
        SnapshotError
            A file cannot be removed.
        """
        past = [entry for entry in self.list(group, lineage, task) if newest is None or entry.seq <= newest]
        kept = list(itertools.islice(filter(self.can_open, past), self.keep))
        pinned = self._pinned(kept)
        removed = [
            entry
            for entry in past
            if len(kept) == self.keep and entry.seq < kept[-1].seq and (entry.seq, entry.chain) not in pinned
        ]
        for entry in removed:
            path = self._path_of(entry)
            try:
                self._filesystem.rm_file(path)
            except FileNotFoundError:
                continue
            except Exception as error:
                raise self._failure("remove", path, error) from error
        self._readable.difference_update(removed)
        if self._local:
            remove_abandoned(Path(self._folder(group, lineage, task)))
        return removed

    def _pinned(self, kept: Sequence[SnapshotEntry]) -> set[tuple[int, str]]:
        """Return the marks from which the newest snapshot's model continued by a rollback or an upgrade, unless all
        are newer than that."""
        manifest = self.read_manifest(kept[0]) if kept else {}
        changes = [(manifest.get("rollback"), "to"), (manifest.get("upgrade"), "base")]
        return {(change[key][0], change[key][1]) for change, key in changes if change and kept[-1].seq < change["seq"]}

    def can_open(self, entry: SnapshotEntry) -> bool:
        """Return whether a snapshot's zip directory and manifest can be read; a success is remembered."""
        if entry not in self._readable:
            try:
                self.read_manifest(entry)
            except SnapshotError:
                return False
            self._readable.add(entry)
        return True

    def check(self) -> None:
        """Check that a small file can be written, read and removed, and that an object store creates exclusively.

        Missing folders are created for that, and removed.

        Raises
        ------
        SnapshotError
            One of these does not work.
        """
        path = f"{self._root}/.check-{uuid.uuid4().hex}"
        content = b"streamlearn"
        try:
            with temporary_folders(Path(self._root)) if self._local else contextlib.nullcontext():
                overwritten, found = self._try_file(path, content)
        except Exception as error:
            raise self._failure("write, read and remove a file at", path, error) from error
        if overwritten:
            raise SnapshotError(
                f"{self._display_path(path)}: an existing key was overwritten; snapshots need a store that creates "
                f"keys exclusively ({self._named})"
            )
        if found != content:
            raise SnapshotError(f"{self._display_path(path)}: the bytes read are not those that were written")

    def _try_file(self, path: str, content: bytes) -> tuple[bool, bytes]:
        """Write, read and remove a file; return whether an object store overwrote it, and the bytes read."""
        try:
            if self._local:
                write_atomically(Path(path), lambda file: _write_all(file, content))
            else:
                self._create(path, lambda file: _write_all(file, content))
            overwritten = not self._local and self._create(path, lambda file: _write_all(file, b"again"))
            found = self._filesystem.cat_file(path)
        except BaseException:
            with contextlib.suppress(Exception):
                self._filesystem.rm_file(path)
            raise
        self._filesystem.rm_file(path)
        return overwritten, found

    def _create(self, path: str, write: Callable[[BinaryIO], None]) -> bool:
        """Create an object; return False when it exists already."""
        # An upload that breaks off may leave an object with the first part of a stream, so the file is first written
        # to the local disk.
        with tempfile.TemporaryDirectory(prefix="streamlearn-snapshot-") as folder:
            local = Path(folder) / _last_part(path)
            with local.open("xb") as file:
                write(file)
            try:
                self._filesystem.put_file(str(local), path, mode="create")
            except FileExistsError:
                return False
        return True

    def _open(self, entry: SnapshotEntry) -> Any:
        path = self._path_of(entry)

        def open_file() -> Any:
            return self._filesystem.open(path, "rb", block_size=_OBJECT_BLOCK_BYTES)

        try:
            return open_file() if self._local else ResumableFile(open_file)
        except FileNotFoundError as error:
            raise SnapshotError(f"snapshot {entry.path} does not exist") from error
        except Exception as error:
            raise self._failure("read", path, error) from error

    def _children(self, folder: str) -> list[dict[str, Any]]:
        try:
            return self._filesystem.ls(folder, detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except Exception as error:
            raise self._failure("list", folder, error) from error

    def _entry(self, child: Mapping[str, Any]) -> SnapshotEntry | None:
        path = child["name"]
        group, lineage, task, name = path.split("/")[-4:]
        match = _FILE_NAME.fullmatch(name)
        if match is None or child["type"] != "file" or not task.isdecimal():
            return None
        return SnapshotEntry(
            unquote(group),
            unquote(lineage),
            int(task),
            int(match[1]),
            match[2],
            self._display_path(path),
            int(child.get("size") or 0),
        )

    def _folder(self, group: str, lineage: str, task: int) -> str:
        return f"{self._root}/{_quote(group)}/{_quote(lineage)}/{task}"

    def _path_of(self, entry: SnapshotEntry) -> str:
        folder = self._folder(entry.group, entry.lineage, entry.task)
        return f"{folder}/{entry.seq}-{entry.chain}.npz"

    def _display_path(self, path: str) -> str:
        return path if self._local else self._filesystem.unstrip_protocol(path)

    def _failure(self, action: str, path: str, error: Exception) -> SnapshotError:
        error = error.__cause__ if isinstance(error, SnapshotError) and isinstance(error.__cause__, OSError) else error
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return SnapshotError(
            f"cannot {action} {self._display_path(path)}: {reason}. Check {self._named} ({self.location}): "
            "that it exists, that this user may write there, and that there is room"
        )


def _keys_of(entry: SnapshotEntry) -> dict[str, Any]:
    return {key: getattr(entry, key) for key in _KEYS}


def _check_keys(entry: SnapshotEntry, manifest: Mapping[str, Any]) -> None:
    for key in _KEYS:
        if manifest.get(key) != getattr(entry, key):
            raise SnapshotError(
                f"snapshot {entry.path}: its manifest says {key} {manifest.get(key)!r}, "
                f"its path says {getattr(entry, key)!r}; the file was moved or renamed"
            )


def _write_all(file: BinaryIO, content: bytes) -> None:
    file.write(content)


def _quote(part: str) -> str:
    """Return a text percent-encoded as one path component, never ``.`` or ``..``."""
    return quote(part, safe="").replace(".", "%2E") if part.strip(".") == "" else quote(part, safe="")


def _last_part(path: str) -> str:
    return path.rstrip("/").rsplit("/", 1)[-1]
