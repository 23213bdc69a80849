"""Output files of commands."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import BinaryIO, cast

from streamlearn.errors import UsageError


def open_for_writing(path: Path) -> BinaryIO:
    """Open a file for writing bytes and truncate it; a name that ends in ``.gz`` gives a gzip file.

    Raises
    ------
    UsageError
        When the file cannot be written.
    """
    try:
        return cast(BinaryIO, gzip.open(path, "wb")) if path.name.endswith(".gz") else path.open("wb")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}") from None
