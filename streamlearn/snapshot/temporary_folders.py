"""Folders that exist only while something is tried in them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def temporary_folders(folder: Path) -> Iterator[None]:
    """Create a folder with its missing parents, and remove at the end those that were created here.

    A folder that another process has created meanwhile stays, and so does one that is not empty at the end.

    Raises
    ------
    OSError
        A folder cannot be created; those above it that were created are removed.
    """
    created: list[Path] = []
    try:
        for missing in _missing(folder):
            try:
                missing.mkdir()
            except FileExistsError:
                continue
            created.append(missing)
        yield
    finally:
        with contextlib.suppress(OSError):
            for path in reversed(created):
                path.rmdir()


def _missing(folder: Path) -> list[Path]:
    """Return the folder and those of its parents that do not exist, the outermost first."""
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    return missing[::-1]
