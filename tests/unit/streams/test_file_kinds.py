"""Files that are not what their names promise: each error names the file, what is expected, and what to do."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from streamlearn.errors import UsageError
from streamlearn.streams import open_stream
from streamlearn.streams.compression import ENDINGS
from tests.unit.streams.test_compression import ARFF, COMPRESS, JSON

CODECS = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz"}
FORMS = {"s.arff": "ARFF (", "s.jsonl": "JSON Lines ("}
BOTH = pytest.mark.parametrize(("name", "data"), [("s.arff", ARFF), ("s.jsonl", JSON)])


def fault(path: Path, content: bytes) -> str:
    """Return the error of a file with this content."""
    path.write_bytes(content)
    with pytest.raises(UsageError) as raised:
        list(open_stream(str(path)))
    assert str(raised.value).startswith(str(path))
    assert "line 0" not in str(raised.value)
    return str(raised.value).removeprefix(str(path))


def test_every_compression_has_a_name() -> None:
    assert set(CODECS) == set(ENDINGS) == set(COMPRESS)


@pytest.mark.parametrize("ending", ["", *COMPRESS])
@BOTH
def test_an_empty_file_is_named_so(tmp_path: Path, name: str, data: bytes, ending: str) -> None:
    found = fault(tmp_path / (name + ending), b"")
    assert found.startswith(f" is empty: {FORMS[name]}")
    assert ("compressed with" in found) is bool(ending)
    assert FORMS[name] in fault(tmp_path / (name + ending), COMPRESS.get(ending, bytes)(b""))


@pytest.mark.parametrize("ending", COMPRESS)
@BOTH
def test_what_is_not_compressed_as_its_name_says(tmp_path: Path, name: str, data: bytes, ending: str) -> None:
    path = tmp_path / (name + ending)
    for content in (data, b"no"):
        found = fault(path, content)
        assert found.startswith(f": its name ends in {ending}, but it is not {CODECS[ending]}: ")
        assert f"name it {name}, else compress it again" in found
    for other, compress in COMPRESS.items():
        if other != ending:
            assert fault(path, compress(data)).endswith(f"it is not {CODECS[ending]}: name it {name}{other}")
        assert fault(tmp_path / name, compress(data)).startswith(f" is {CODECS[other]}, and not {FORMS[name]}")
        assert fault(tmp_path / name, compress(data)).endswith(f": name it {name}{other}")


@pytest.mark.parametrize("ending", COMPRESS)
@BOTH
def test_a_cut_or_damaged_file_is_to_be_copied_again(tmp_path: Path, name: str, data: bytes, ending: str) -> None:
    whole = COMPRESS[ending](data)
    path = tmp_path / (name + ending)
    cut = fault(path, whole[:-12])
    assert cut.endswith(f": the {CODECS[ending]} data is cut off: copy the file again, all of it")
    damaged = fault(path, whole[:-8] + b"\x00" * 8)
    assert f": the {CODECS[ending]} data is damaged (" in damaged
    assert damaged.endswith("): copy the file again")


@pytest.mark.parametrize(("name", "other"), [("s.arff", JSON), ("s.jsonl", ARFF)])
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_content_of_another_kind_is_named_with_what_is_expected(
    tmp_path: Path, name: str, other: bytes, ending: str
) -> None:
    found = fault(tmp_path / (name + ending), COMPRESS.get(ending, bytes)(other))
    assert found.startswith(", line 1: ")
    assert f"; {FORMS[name]}" in found
    assert found.endswith(" is expected: correct or convert the file")


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("s.jsonl", b"PK\x03\x04" + b"\x00" * 20, "unpack it (zip is not read), and name it s.jsonl"),
        ("s.jsonl", '{"x": {}}'.encode("utf-16"), "save it as UTF-8"),
        ("s.arff", ARFF.decode().encode("utf-16"), "save it as UTF-8"),
        ("s.jsonl", b'[{"x": {}},\n{"x": {}}]', "one JSON object per line"),
        ("s.jsonl", b'{\n"x": {}}', "one JSON object per line"),
        ("s.arff", ARFF[:60], "the file ends without @data: it is cut off; copy it again, all of it"),
    ],
)
def test_other_contents(tmp_path: Path, name: str, content: bytes, expected: str) -> None:
    assert expected in fault(tmp_path / name, content)


@BOTH
def test_a_later_line_that_is_wrong_says_nothing_about_the_kind_of_file(tmp_path: Path, name: str, data: bytes) -> None:
    found = fault(tmp_path / name, data + b"\x1f\x8b")
    assert ", line 500" in found
    assert "expected" not in found


@pytest.mark.parametrize(
    ("content", "expected"),
    [(b"", "standard input is empty: JSON Lines ("), (b"\x1f\x8b\x08", "-, line 1: not_utf8: ")],
)
def test_standard_input_has_no_kind_but_json_lines(
    monkeypatch: pytest.MonkeyPatch, content: bytes, expected: str
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
    with pytest.raises(UsageError) as raised:
        list(open_stream("-"))
    assert str(raised.value).startswith(expected)
