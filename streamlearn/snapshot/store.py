"""Where the snapshots of a service lie: a folder or an object store.

Each has the path ``<group>/<lineage>/<task>/<seq>-<chain>.npz``; ``seq`` and ``chain`` name the committed point.

The lineage is part of the path because a recreated topic starts again at sequence 0: pruning by sequence across
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

from streamlearn.errors import SnapshotError, UsageError
from streamlearn.snapshot.atomic_file import fill_atomically, remove_abandoned, temporary_name, write_atomically
from streamlearn.snapshot.format import Written, open_snapshot, read_manifest, verify_snapshot, write_snapshot
from streamlearn.snapshot.resumable_file import ResumableFile
from streamlearn.snapshot.stored_arrays import StoredArrays, Told

_FILE = re.compile(r"(\d+)-([0-9A-Za-z_]+)\.npz")
_OBJECT_BLOCK_BYTES = 8 << 20
_POINT = ("group", "lineage", "task", "seq", "chain")


class SnapshotEntry(NamedTuple):
    """One snapshot in a store, as its path tells; nothing of the file has been read."""

    group: str
    lineage: str
    task: int
    seq: int
    chain: str
    path: str
    """Full path or URL, to be named in messages."""
    size_bytes: int


class BegunSnapshot(NamedTuple):
    """A snapshot that another process writes: to ``temporary``, and from there to ``target`` if it is on this disk."""

    entry: SnapshotEntry
    path: str
    temporary: Path
    target: Path | None

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
        A folder, or a URL that fsspec knows (``s3://bucket/folder``, ``memory://``, ...).
    keep
        How many snapshots of a task stay after `prune`, at least 1.

    Raises
    ------
    UsageError
        The location's protocol is unknown, or the library for it is not installed.

    In a folder, a file appears whole by a rename. In an object store the final key is created exclusively: a key that
    exists was written from the same committed point and is left as it is.
    """

    def __init__(self, location: str, keep: int = 4) -> None:
        if keep < 1:
            raise UsageError(f"snapshot.keep is {keep}: at least 1 snapshot must stay")
        self.location = location
        self.keep = keep
        try:
            filesystem, root = fsspec.url_to_fs(location)
        except (ImportError, ValueError, TypeError) as error:
            raise UsageError(
                f"snapshot.location {location!r} cannot be used: {error}. "
                "Give a folder, or the URL of an object store whose fsspec driver is installed (s3:// needs s3fs)"
            ) from error
        self._filesystem: Any = filesystem
        self._local = isinstance(filesystem, LocalFileSystem)
        self._root = root.rstrip("/")
        self._sound: set[SnapshotEntry] = set()

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
        """Write the snapshot of a committed point; group, lineage, task, seq and chain enter the manifest.

        Raises
        ------
        SnapshotError
            The store cannot be written: full, absent, not allowed. Nothing is left behind.
        TypeError, ValueError
            The arrays or the manifest do not fit the format (`write_snapshot`).
        """
        name = f"{seq}-{chain}.npz"
        if not _FILE.fullmatch(name):
            raise ValueError(f"seq {seq} and chain {chain!r} do not make a file name")
        path = f"{self._folder(group, lineage, task)}/{name}"
        entry = SnapshotEntry(group, lineage, task, seq, chain, self._shown(path), 0)
        content = {**_point(entry), **manifest}

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

    def begin(self, group: str, lineage: str, task: int, seq: int, chain: str) -> BegunSnapshot:
        """Name the files of a snapshot that another process will `fill`; then `finish` or `abandon` it."""
        path = f"{self._folder(group, lineage, task)}/{seq}-{chain}.npz"
        entry = SnapshotEntry(group, lineage, task, seq, chain, self._shown(path), 0)
        if self._local:
            return BegunSnapshot(entry, path, temporary_name(Path(path)), Path(path))
        near = Path(tempfile.gettempdir()) / f"streamlearn-{_last(path)}"
        return BegunSnapshot(entry, path, temporary_name(near), None)

    def fill(
        self,
        begun: BegunSnapshot,
        arrays: Mapping[str, np.ndarray],
        manifest: Mapping[str, Any],
        written: Written = lambda name, piece: None,
    ) -> None:
        """Write the file of a snapshot and sync it to the disk; in a folder it then appears under its name.

        ``written`` is told of what will not be read again. Nothing here waits for another thread, so that a forked
        process may do it.

        Raises
        ------
        SnapshotError
            The file cannot be written; nothing is left behind.
        TypeError, ValueError
            The arrays or the manifest do not fit the format (`write_snapshot`).
        """
        content = {**_point(begun.entry), **manifest}
        try:
            fill_atomically(begun.temporary, begun.target, lambda file: write_snapshot(file, arrays, content, written))
        except (OSError, SnapshotError) as error:
            raise self._failure("write", begun.path, error) from error

    def finish(self, begun: BegunSnapshot) -> SnapshotEntry:
        """Take over a file that was filled; in an object store the snapshot now appears.

        Raises
        ------
        SnapshotError
            The store cannot be written; nothing is left behind.
        """
        try:
            if begun.target is None:
                with contextlib.suppress(FileExistsError):
                    self._filesystem.put_file(str(begun.temporary), begun.path, mode="create")
            size = self._filesystem.size(begun.path)
        except Exception as error:
            raise self._failure("write", begun.path, error) from error
        finally:
            self.abandon(begun)
        return begun.entry._replace(size_bytes=int(size or 0))

    def abandon(self, begun: BegunSnapshot) -> None:
        """Remove what is left of a snapshot's temporary file."""
        begun.temporary.unlink(missing_ok=True)

    def list(
        self, group: str | None = None, lineage: str | None = None, task: int | None = None
    ) -> Sequence[SnapshotEntry]:
        """Return the snapshots there are, highest sequence first within a task; a location that is not there has none.

        Raises
        ------
        SnapshotError
            The store cannot be listed.
        """
        self._filesystem.invalidate_cache()
        folders = [self._root]
        for wanted in (group, lineage, None if task is None else str(task)):
            folders = [
                child["name"]
                for folder in folders
                for child in self._children(folder)
                if child["type"] == "directory" and wanted in (None, unquote(_last(child["name"])))
            ]
        entries = [
            entry for folder in folders for child in self._children(folder) if (entry := self._entry(child)) is not None
        ]
        return sorted(entries, key=lambda entry: (entry.group, entry.lineage, entry.task, -entry.seq, entry.chain))

    def read(self, entry: SnapshotEntry) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Return manifest and arrays of a snapshot; every value agrees with its checksum.

        Raises
        ------
        SnapshotError
            The file is gone, damaged, of a newer format version, or not what its name says.
        """
        with self.open(entry) as (manifest, arrays):
            return manifest, dict(arrays)

    @contextlib.contextmanager
    def open(
        self, entry: SnapshotEntry, told: Told = lambda size: None
    ) -> Iterator[tuple[dict[str, Any], StoredArrays]]:
        """Give manifest and arrays of a snapshot, each array to be read when it is wanted; errors as `read`.

        ``told`` hears of the bytes that were read, block by block.
        """
        with self._open(entry) as file, open_snapshot(file, entry.path, told) as (manifest, arrays):
            _check_point(entry, manifest)
            yield manifest, arrays

    def read_manifest(self, entry: SnapshotEntry) -> dict[str, Any]:
        """Return the manifest of a snapshot; errors as `read`."""
        with self._open(entry) as file:
            manifest = read_manifest(file, entry.path)
        _check_point(entry, manifest)
        return manifest

    def verify(self, entry: SnapshotEntry) -> dict[str, Any]:
        """Check every byte of a snapshot and return its manifest; errors as `read`."""
        with self._open(entry) as file:
            manifest = verify_snapshot(file, entry.path)
        _check_point(entry, manifest)
        return manifest

    def prune(self, group: str, lineage: str, task: int, newest: int | None = None) -> Sequence[SnapshotEntry]:
        """Remove old snapshots of one task; return what was removed.

        ``keep`` snapshots that can be opened stay, the highest sequences first; one that cannot be opened counts for
        nothing and goes when it is older than they are. Where none can be opened, nothing is removed. Those beyond
        ``newest``, the sequence that is known to be of the model's past, neither count nor go. After a rollback, the
        snapshot that it went to stays until all that are kept are younger than the rollback: those in between are of
        no use to a restore. In a folder, temporary files whose writer was killed go as well.

        Raises
        ------
        SnapshotError
            A file cannot be removed.
        """
        past = [entry for entry in self.list(group, lineage, task) if newest is None or entry.seq <= newest]
        kept = list(itertools.islice(filter(self._opens, past), self.keep))
        pinned = self._gone_back_to(kept)
        removed = [
            entry
            for entry in past
            if len(kept) == self.keep and entry.seq < kept[-1].seq and (entry.seq, entry.chain) != pinned
        ]
        for entry in removed:
            path = self._inner(entry)
            try:
                self._filesystem.rm_file(path)
            except FileNotFoundError:
                continue
            except Exception as error:
                raise self._failure("remove", path, error) from error
        self._sound.difference_update(removed)
        if self._local:
            remove_abandoned(Path(self._folder(group, lineage, task)))
        return removed

    def _gone_back_to(self, kept: Sequence[SnapshotEntry]) -> tuple[int, str] | None:
        """Return the point that the newest one's model was rolled back to, when others are of before the rollback."""
        rollback = self.read_manifest(kept[0]).get("rollback") if kept else None
        if not rollback or kept[-1].seq >= rollback["seq"]:
            return None
        seq, chain = rollback["to"]
        return seq, chain

    def _opens(self, entry: SnapshotEntry) -> bool:
        """Return whether a snapshot is whole as far as its directory and manifest tell; asked once for each."""
        if entry not in self._sound:
            try:
                self.read_manifest(entry)
            except SnapshotError:
                return False
            self._sound.add(entry)
        return True

    def check(self) -> None:
        """Write, read and remove a small file, as `check` commands do; an object store must create exclusively.

        Raises
        ------
        SnapshotError
            Something of it does not work.
        """
        path = f"{self._root}/.check-{uuid.uuid4().hex}"
        content = b"streamlearn"
        try:
            if self._local:
                write_atomically(Path(path), lambda file: _write_all(file, content))
            else:
                self._create(path, lambda file: _write_all(file, content))
            again = not self._local and self._create(path, lambda file: _write_all(file, b"again"))
            found = self._filesystem.cat_file(path)
            self._filesystem.rm_file(path)
        except Exception as error:
            raise self._failure("write, read and remove a file at", path, error) from error
        if again:
            raise SnapshotError(
                f"{self._shown(path)}: a key that exists was written over; snapshots need a store that creates "
                "exclusively (snapshot.location)"
            )
        if found != content:
            raise SnapshotError(f"{self._shown(path)}: other bytes came back than were written")

    def _create(self, path: str, write: Callable[[BinaryIO], None]) -> bool:
        """Write an object that is not there yet; return whether it was not."""
        # A stream to an object store that breaks off may leave an object with the first part: so the file is made
        # whole on the local disk first.
        with tempfile.TemporaryDirectory(prefix="streamlearn-snapshot-") as folder:
            whole = Path(folder) / _last(path)
            with whole.open("xb") as file:
                write(file)
            try:
                self._filesystem.put_file(str(whole), path, mode="create")
            except FileExistsError:
                return False
        return True

    def _open(self, entry: SnapshotEntry) -> Any:
        path = self._inner(entry)

        def opened() -> Any:
            return self._filesystem.open(path, "rb", block_size=_OBJECT_BLOCK_BYTES)

        try:
            return opened() if self._local else ResumableFile(opened)
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
        match = _FILE.fullmatch(name)
        if match is None or child["type"] != "file" or not task.isdecimal():
            return None
        return SnapshotEntry(
            unquote(group),
            unquote(lineage),
            int(task),
            int(match[1]),
            match[2],
            self._shown(path),
            int(child.get("size") or 0),
        )

    def _folder(self, group: str, lineage: str, task: int) -> str:
        return f"{self._root}/{_quoted(group)}/{_quoted(lineage)}/{task}"

    def _inner(self, entry: SnapshotEntry) -> str:
        folder = self._folder(entry.group, entry.lineage, entry.task)
        return f"{folder}/{entry.seq}-{entry.chain}.npz"

    def _shown(self, path: str) -> str:
        return path if self._local else self._filesystem.unstrip_protocol(path)

    def _failure(self, action: str, path: str, error: Exception) -> SnapshotError:
        error = error.__cause__ if isinstance(error, SnapshotError) and isinstance(error.__cause__, OSError) else error
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return SnapshotError(
            f"cannot {action} {self._shown(path)}: {reason}. Check snapshot.location ({self.location}): "
            "that it exists, that this user may write there, and that there is room"
        )


def _point(entry: SnapshotEntry) -> dict[str, Any]:
    return {key: getattr(entry, key) for key in _POINT}


def _check_point(entry: SnapshotEntry, manifest: Mapping[str, Any]) -> None:
    for key in _POINT:
        if manifest.get(key) != getattr(entry, key):
            raise SnapshotError(
                f"snapshot {entry.path}: its manifest says {key} {manifest.get(key)!r}, "
                f"its path says {getattr(entry, key)!r}; the file was moved or renamed"
            )


def _write_all(file: BinaryIO, content: bytes) -> None:
    file.write(content)


def _quoted(part: str) -> str:
    """Return a text as one path component, never ``.`` or ``..``."""
    return quote(part, safe="").replace(".", "%2E") if part.strip(".") == "" else quote(part, safe="")


def _last(path: str) -> str:
    return path.rstrip("/").rsplit("/", 1)[-1]
