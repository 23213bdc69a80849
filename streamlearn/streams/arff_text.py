"""Lexical rules of ARFF: quotes, escapes, separators."""

from __future__ import annotations

import re

_QUOTED = r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)\""""
_NAME = re.compile(rf"""\s*(?:{_QUOTED}|([^\s{{}}'"][^\s{{}}]*))""")
_FIELD = re.compile(rf"""\s*(?:{_QUOTED}|((?!['"])[^,]*?))\s*(?:,|$)""")
_ENTRY = re.compile(rf"""\s*(\S+)\s+(?:{_QUOTED}|((?!['"])[^,]*?))\s*(?:,|$)""")
_ESCAPE = re.compile(r"\\(.)")


def decode_line(line: bytes) -> str:
    """Return a line as text, without white space around it: as UTF-8, or as Latin-1 when it is not UTF-8."""
    try:
        return line.decode().strip()
    except UnicodeDecodeError:
        return line.decode("latin-1").strip()


def unescape(text: str) -> str:
    """Return a quoted word without its backslashes."""
    return _ESCAPE.sub(r"\1", text) if "\\" in text else text


def split_name(text: str) -> tuple[str, str]:
    """Return the name that a declaration starts with, unquoted, and the rest.

    Raises
    ------
    ValueError
        When there is no name, or its quote is not closed.
    """
    match = _NAME.match(text)
    if match is None:
        raise ValueError(f"no name in {_shorten(text)}")
    return _unquote(match, 1), text[match.end() :]


def split_fields(text: str) -> list[str]:
    """Return comma-separated values, unquoted.

    Raises
    ------
    ValueError
        When a quote is not closed.
    """
    if "'" not in text and '"' not in text:
        return [field.strip() for field in text.split(",")]
    fields = []
    position = 0
    while True:
        match = _FIELD.match(text, position)
        if match is None:
            raise ValueError(f"a quote is not closed, or text follows it, in {_shorten(text[position:])}")
        fields.append(_unquote(match, 1))
        position = match.end()
        if not match[0].rstrip().endswith(","):
            return fields


def split_entries(text: str) -> list[tuple[str, str]]:
    """Return the pairs of index and value of a sparse row without its braces; values are unquoted.

    Raises
    ------
    ValueError
        When an entry is not an index and a value.
    """
    entries = []
    position = 0
    while position < len(text):
        match = _ENTRY.match(text, position)
        if match is None:
            raise ValueError(f"{_shorten(text[position:])} is not an index and a value")
        entries.append((match[1], _unquote(match, 2)))
        position = match.end()
    return entries


def _unquote(match: re.Match[str], group: int) -> str:
    quoted = match[group] if match[group] is not None else match[group + 1]
    return unescape(quoted) if quoted is not None else match[group + 2]


def _shorten(text: str) -> str:
    text = text.strip()
    return repr(text if len(text) <= 60 else text[:60] + "...")
