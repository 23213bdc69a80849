"""Compressed files."""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest

from streamlearn.streams import open_stream

ARFF = b"@relation 'r: -C 1'\n@attribute l {0,1}\n@attribute n numeric\n@data\n1,2\n" + b"0,3\n" * 5_000
JSON = b'{"x": {"n": 2}, "y": ["l"]}\n' + b'{"x": {"n": 3}, "y": []}\n' * 5_000
COMPRESS: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}


@pytest.mark.parametrize("ending", ["", *COMPRESS])
@pytest.mark.parametrize(("name", "data"), [("s.arff", ARFF), ("s.jsonl", JSON)])
def test_files_open_by_their_ending_in_capitals_or_not(tmp_path: Path, name: str, data: bytes, ending: str) -> None:
    for cased in (name + ending, (name + ending).upper()):
        path = tmp_path / cased
        path.write_bytes(COMPRESS.get(ending, bytes)(data))
        stream = open_stream(str(path))
        rows = list(stream)
        assert (len(rows), rows[0].y, stream.name.lower()) == (5_001, ["l"], "s")
