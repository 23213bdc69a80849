"""Kinds of files: what the end of a name promises, what the first bytes show, and errors that say both."""

from __future__ import annotations

from pathlib import Path

from streamlearn.errors import UsageError
from streamlearn.streams.compression import compression_of, remove_ending

FORMATS = {".arff": "ARFF", ".jsonl": "JSON Lines"}
"""Endings of the files that can be read, and their formats."""

_FORM = {
    ".arff": "declarations from @relation to @data, then one instance per line",
    ".jsonl": "one JSON object per line",
}
_CODECS = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz"}
_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
_ENDING_OF = {name: ending for ending, name in _CODECS.items()}
_MAX_MAGIC = max(map(len, _MAGIC))


def damaged_file(path: str, error: Exception, lines: int = 0) -> UsageError:
    """Return the error of a file whose bytes cannot be read or decompressed.

    Parameters
    ----------
    path:
        The file, or ``-`` for standard input.
    error:
        One of `compression.UNREADABLE`.
    lines:
        Lines that were read before.
    """
    reason = getattr(error, "strerror", None)
    ending = compression_of(path)
    codec = _CODECS.get(ending)
    if reason or codec is None:
        return UsageError(f"{_shown(path)}{_after(lines)}: {reason or error}")
    begins = _first_bytes(path)
    if not begins:
        return empty_file(path)
    found = _kind_of(begins)
    if found != codec and not lines:
        return UsageError(f"{path}: its name ends in {ending}, but it is not {codec}: {_advice(path, found)}")
    if isinstance(error, EOFError):
        return UsageError(f"{path}{_after(lines)}: the {codec} data is cut off: copy the file again, all of it")
    return UsageError(f"{path}{_after(lines)}: the {codec} data is damaged ({error}): copy the file again")


def empty_file(path: str) -> UsageError:
    """Return the error of a file without any byte."""
    return UsageError(f"{_shown(path)} is empty: {_expected(path)} is expected; give another file")


def wrong_content(path: str, line: int, error: Exception, *, is_start: bool) -> UsageError:
    """Return the error of a line that cannot be read.

    Parameters
    ----------
    path:
        The file, or ``-`` for standard input.
    line:
        Number of the line, from 1; 0 where the file has none.
    error:
        What is wrong with it.
    is_start:
        Whether nothing before it shows that the file is of the kind that its name promises.
    """
    if not is_start:
        return UsageError(f"{path}, line {line}: {error}")
    begins = _first_bytes(path)
    if begins == b"" or (line == 0 and begins is None):
        return empty_file(path)
    found = _kind_of(begins) if begins is not None and not compression_of(path) else ""
    if found:
        return UsageError(f"{path} is {found}, and not {_expected(path)}: {_advice(path, found)}")
    at = f", line {line}" if line else ""
    return UsageError(f"{path}{at}: {error}; {_expected(path)} is expected: correct or convert the file")


def _expected(path: str) -> str:
    ending = ".jsonl" if path == "-" else Path(remove_ending(path)).suffix.lower()
    form = f"{FORMATS[ending]} ({_FORM[ending]})" if ending in FORMATS else "text"
    return f"{form}, compressed with {_CODECS[compression]}" if (compression := compression_of(path)) else form


def _advice(path: str, found: str) -> str:
    plain = remove_ending(Path(path).name)
    if found in _ENDING_OF:
        return f"name it {plain}{_ENDING_OF[found]}"
    if found == "UTF-16":
        return f"save it as UTF-8, and name it {plain}"
    if found:
        return f"unpack it ({found} is not read), and name it {plain}"
    return f"if it is not compressed, name it {plain}, else compress it again"


def _first_bytes(path: str) -> bytes | None:
    """Return the first bytes of a file as it is stored; None where they cannot be read again."""
    file = Path(path)
    try:
        if path == "-" or not file.is_file():
            return None
        with file.open("rb") as opened:
            return opened.read(_MAX_MAGIC)
    except OSError:
        return None


def _kind_of(begins: bytes | None) -> str:
    return next((kind for magic, kind in _MAGIC.items() if begins is not None and begins.startswith(magic)), "")


def _after(lines: int) -> str:
    return f", after line {lines}" if lines else ""


def _shown(path: str) -> str:
    return "standard input" if path == "-" else path
