"""Half surrogate pairs: what Python's strings may hold, and no text in UTF-8, so no record and no file."""

from __future__ import annotations

from collections.abc import Iterable


def half_pair(texts: Iterable[str]) -> str:
    r"""Return the first half of a surrogate pair in texts, escaped; empty if there is none.

    >>> half_pair(["café", "a\udcff"])
    '\\udcff'
    """
    joined = "".join(texts)
    if joined.isascii():
        return ""
    try:
        joined.encode()
    except UnicodeEncodeError as error:
        return f"\\u{ord(joined[error.start]):04x}"
    return ""


def half_pair_fault(half: str) -> str:
    """Return what an error says of a text with such a half, after the text."""
    return f"has {half}, half of a surrogate pair, which is no character: remove or replace it"
