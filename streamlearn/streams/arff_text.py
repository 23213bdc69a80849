"""The words of ARFF: quotes, escapes, separators."""

from __future__ import annotations

import re

_QUOTED = r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)\""""
_NAME = re.compile(rf"""\s*(?:{_QUOTED}|([^\s{{}}'"][^\s{{}}]*))""")
_FIELD = re.compile(rf"""\s*(?:{_QUOTED}|((?!['"])[^,]*?))\s*(?:,|$)""")
_ENTRY = re.compile(rf"""\s*(\S+)\s+(?:{_QUOTED}|((?!['"])[^,]*?))\s*(?:,|$)""")
_ESCAPE = re.compile(r"\\(.)")


def decoded(line: bytes) -> str:
    """Return a line as text, without white space around it: UTF-8, or Latin-1 where it is not."""
    try:
        return line.decode().strip()
    except UnicodeDecodeError:
        return line.decode("latin-1").strip()


def unescaped(text: str) -> str:
    """Return a quoted word without its backslashes."""
    return _ESCAPE.sub(r"\1", text) if "\\" in text else text


def first_word(text: str) -> tuple[str, str]:
    """Return the name that a declaration begins with, unquoted, and the rest.

    Raises
    ------
    ValueError
        When there is no name, or its quote is not closed.
    """
    match = _NAME.match(text)
    if match is None:
        raise ValueError(f"no name in {_shown(text)}")
    return _word(match, 1), text[match.end() :]


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
            raise ValueError(f"a quote is not closed, or text follows it, in {_shown(text[position:])}")
        fields.append(_word(match, 1))
        position = match.end()
        if not match[0].rstrip().endswith(","):
            return fields


def split_entries(text: str) -> list[tuple[str, str]]:
    """Return the index and value pairs of a sparse row, without its braces; values are unquoted.

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
            raise ValueError(f"{_shown(text[position:])} is not an index and a value")
        entries.append((match[1], _word(match, 2)))
        position = match.end()
    return entries


def _word(match: re.Match[str], group: int) -> str:
    quoted = match[group] if match[group] is not None else match[group + 1]
    return unescaped(quoted) if quoted is not None else match[group + 2]


def _shown(text: str) -> str:
    text = text.strip()
    return repr(text if len(text) <= 60 else text[:60] + "...")
