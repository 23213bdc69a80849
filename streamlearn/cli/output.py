"""Output files of commands, and lines about streams."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import BinaryIO, cast

from streamlearn.errors import UsageError
from streamlearn.streams import Stream
from streamlearn.terminal import printable

LABELS_SHOWN = 10


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


def describe_labels(stream: Stream) -> str:
    """Return a line that says which labels a stream has, from where, and which features are texts."""
    if stream.labels:
        more = ", ..." if len(stream.labels) > LABELS_SHOWN else ""
        names = ", ".join(stream.labels[:LABELS_SHOWN])
        count = f"{len(stream.labels):,} label{'s' if len(stream.labels) > 1 else ''}"
        text = f"{stream.name}: {count} from {stream.labels_from}: {names}{more}"
    else:
        text = f"{stream.name}: labels from {stream.labels_from}, as they occur"
    return printable(text + (f"; texts: {', '.join(stream.texts)}" if stream.texts else ""))
