"""Makes text of records, files and other programs safe to print.

Such text may contain control characters, which move a terminal's cursor, change its title or colours, or begin what
looks like another line of a log, and characters that reverse or hide the text around them.
"""

from __future__ import annotations

import unicodedata

_CATEGORIES = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))
"""Control and format characters, lone surrogates, and separators of lines and paragraphs."""
_JOINERS = frozenset("\u200c\u200d")
"""Format characters that the spelling of some languages, and emoji, need."""
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
