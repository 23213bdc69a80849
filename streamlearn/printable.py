"""Makes text of records, files and other programs safe to print.

Such text may contain control characters, which move a terminal's cursor, change its title or colours, or begin what
looks like another line of a log, and characters that reverse or hide the text around them.
"""

from __future__ import annotations

import re
import reprlib
import unicodedata

_CATEGORIES = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))
"""Control and format characters, lone surrogates, and separators of lines and paragraphs."""
_JOINERS = frozenset("\u200c\u200d")
"""Format characters that the spelling of some languages, and emoji, need."""
_LINE_BREAK = re.compile(r"\s*\n\s*")
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def printable(text: str, keep: str = "") -> str:
    r"""Return a text with its control characters and their like escaped as in JSON.

    What is JSON stays the same JSON.

    Parameters
    ----------
    keep:
        Characters that are not escaped.

    >>> printable("caf\u00e9 \x1b[31m\n")
    'café \\u001b[31m\\n'
    """
    if text.isprintable():
        return text
    return "".join([character if _is_harmless(character, keep) else _escape(character) for character in text])


def _is_harmless(character: str, keep: str) -> bool:
    return (
        character.isprintable()
        or character in keep
        or character in _JOINERS
        or unicodedata.category(character) not in _CATEGORIES
    )


def _escape(character: str) -> str:
    short = _SHORT.get(character)
    if short is not None:
        return short
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


class _OneLine(reprlib.Repr):
    """Representations of bounded length in one line."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = self.maxlong = 60

    def repr_instance(self, x: object, level: int) -> str:
        try:
            text = repr(x)
        except Exception:
            text = f"<{type(x).__name__} object>"
        text = _LINE_BREAK.sub(" ", text.strip())
        return text if len(text) <= self.maxother else f"{text[:29]}...{text[-28:]}"


_one_line = _OneLine()


def shown(value: object) -> str:
    r"""Return a value of a caller as an error shows it: its `repr` in one line, shortened and printable.

    >>> shown({"name": "caf\u00e9\n", "half": "\ud800"})
    "{'half': '\\ud800', 'name': 'caf\u00e9\\n'}"
    """
    try:
        text = _one_line.repr(value)
    except Exception:  # a class of the caller that has the name of one of Python's, and not its methods
        text = _one_line.repr_instance(value, 0)
    return printable(_LINE_BREAK.sub(" ", text))
