"""Files that a command writes."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import BinaryIO, cast

from streamlearn.errors import UsageError


def opened_to_write(path: Path) -> BinaryIO:
    """Return a file, emptied, to write bytes to; one whose name ends in ``.gz`` is compressed.

    Raises
    ------
    UsageError
        When it cannot be written.
    """
    try:
        return cast(BinaryIO, gzip.open(path, "wb")) if path.name.endswith(".gz") else path.open("wb")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}") from None
