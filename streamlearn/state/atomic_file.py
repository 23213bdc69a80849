"""A file that is either there as a whole or not at all, whatever happens while it is written."""

from __future__ import annotations

import contextlib
import fcntl
import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

TEMPORARY = ".tmp"


def write_atomically(path: Path, write: Callable[[BinaryIO], None]) -> None:
    """Write a file under a temporary name in the same folder, sync it to the disk, and rename it to ``path``.

    A file that is there is replaced. Two writers do not disturb each other: the later rename stays. The temporary file
    is locked while it is written, so that `remove_abandoned` knows it from one whose writer is dead.

    Raises
    ------
    OSError
        The file cannot be written; what was at ``path`` is unchanged and the temporary file is removed.
    """
    temporary, file = open_temporary(path)
    try:
        with file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
            temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def open_temporary(path: Path) -> tuple[Path, BinaryIO]:
    """Make and lock a temporary file beside ``path``, with its folder; raises `OSError` when that cannot be done."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}{TEMPORARY}")
    file = temporary.open("xb")
    with contextlib.suppress(OSError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return temporary, file


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, as `os.fsync` does for the contents of a file."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_abandoned(folder: Path) -> int:
    """Remove temporary files whose writer was killed; return how many."""
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
