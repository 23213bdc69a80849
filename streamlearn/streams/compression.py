"""Opens files that may be compressed; the end of the name says how, in capitals or not."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast

from streamlearn.errors import UsageError

ENDINGS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
"""Endings of compressed files, and how each is opened."""

UNREADABLE = (OSError, EOFError, zlib.error, lzma.LZMAError)
"""What reading a damaged file raises."""


def remove_ending(name: str) -> str:
    """Return the name of a file without the ending of its compression."""
    ending = compression_of(name)
    return name[: -len(ending)] if ending else name


def compression_of(name: str) -> str:
    """Return the ending of `ENDINGS` that a name has, empty if none.

    >>> compression_of("A.ARFF.GZ")
    '.gz'
    """
    return next((ending for ending in ENDINGS if name.lower().endswith(ending)), "")


def open_bytes(path: Path) -> BinaryIO:
    """Open a file for reading bytes.

    Raises
    ------
    UsageError
        When it cannot be opened.
    """
    try:
        opener = ENDINGS.get(compression_of(path.name))
        return cast(BinaryIO, opener(path, "rb")) if opener else path.open("rb")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from None
