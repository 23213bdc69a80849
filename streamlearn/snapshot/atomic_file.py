"""Writes a file atomically: it appears whole under its name, or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from streamlearn.cleanup import Cleanup

TEMPORARY = ".tmp"


def write_atomically(path: Path, write: Callable[[BinaryIO], None]) -> None:
    """Write a file under a temporary name in the same folder, sync it to disk, and rename it to ``path``.

    An existing file is replaced. Of two concurrent writers, the later rename wins. The temporary file is locked while
    it is written, so that `remove_abandoned` can tell it from one whose writer is dead.

    Raises
    ------
    OSError
        The file cannot be written; the file at ``path`` is unchanged and the temporary file is removed.
    """
    fill_atomically(temporary_name(path), path, write)


def temporary_name(path: Path) -> Path:
    """Return an unused name in the folder of ``path``."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}{TEMPORARY}")


def fill_atomically(temporary: Path, target: Path | None, write: Callable[[BinaryIO], None]) -> None:
    """Do what `write_atomically` does, with a given temporary name; without a target the file keeps that name."""
    temporary.parent.mkdir(parents=True, exist_ok=True)
    try:
        with temporary.open("xb") as file:
            with contextlib.suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            write(file)
            file.flush()
            os.fsync(file.fileno())
            if target is not None:
                temporary.replace(target)
    except BaseException:
        with Cleanup(lambda: temporary.unlink(missing_ok=True)):
            raise
    sync_folder(temporary.parent)


def sync_folder(folder: Path) -> None:
    """Sync the names in a folder to disk, as `os.fsync` does for the contents of a file."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_abandoned(folder: Path) -> int:
    """Remove the temporary files of dead writers; return how many."""
    removed = 0
    for path in folder.glob(f".*{TEMPORARY}"):
        try:
            with path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
                removed += 1
        except OSError:
            continue
    return removed
