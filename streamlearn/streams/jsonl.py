"""Reads instances as JSON Lines, one object per line: a file, a compressed file, or standard input."""

from __future__ import annotations

import sys
from collections.abc import Container, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import BinaryIO

from streamlearn.codec.decode import decode_instance
from streamlearn.errors import RecordError
from streamlearn.settings.settings import LimitSettings
from streamlearn.streams.base import StreamRow
from streamlearn.streams.compression import UNREADABLE, open_bytes, remove_ending
from streamlearn.streams.file_kinds import damaged_file, empty_file, wrong_content


class JsonLinesStream:
    """The instances of a JSON Lines source; nothing is declared, labels join when they first occur.

    Parameters
    ----------
    path:
        ``.jsonl``, or compressed; ``-`` is standard input.
    limits:
        Limits of a record.
    text_fields:
        Names of features whose texts may have any length.
    """

    features: Sequence[str] = ()
    texts: Sequence[str] = ()
    labels: Sequence[str] = ()
    labels_from = "the records"
    warnings: Sequence[str] = ()
    columns = 0

    def __init__(self, path: str, limits: LimitSettings | None = None, text_fields: Container[str] = ()) -> None:
        self._path = path
        self.source = "standard input" if path == "-" else path
        self.dropped: dict[str, int] = {}
        self._limits = limits or LimitSettings()
        self._text_fields = text_fields
        name = remove_ending(Path(path).name)
        self.name = name[: -len(".jsonl")] if name.lower().endswith(".jsonl") else name

    def _open(self) -> AbstractContextManager[BinaryIO]:
        if self._path == "-":
            return nullcontext(sys.stdin.buffer)
        return open_bytes(Path(self._path))

    def __iter__(self) -> Iterator[StreamRow]:
        self.dropped = {}
        number = rows = 0
        line = b""
        try:
            with self._open() as file:
                # Read no more of a line than a record may have bytes.
                while line := file.readline(self._limits.record_bytes + 2):
                    number += 1
                    if not line.isspace():
                        instance = decode_instance(line.rstrip(b"\r\n"), self._limits, self.dropped, self._text_fields)
                        yield StreamRow(instance.x, instance.y, instance.id)
                        rows += 1
        except RecordError as error:
            is_object = line.lstrip().startswith(b"{") and error.code not in ("not_json", "not_utf8")
            raise wrong_content(self._path, number, error, is_start=not rows and not is_object) from None
        except UNREADABLE as error:
            raise damaged_file(self._path, error, number) from None
        if not number:
            raise empty_file(self._path)
