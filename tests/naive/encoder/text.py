"""Texts to hashed words and word pairs, one letter at a time, from the description alone."""

from __future__ import annotations

import unicodedata
import zlib
from typing import Any


def is_ideograph(letter: str) -> bool:
    """Whether a letter is kana or Han, which are written without spaces."""
    return any(
        first <= ord(letter) <= last
        for first, last in ((0x3040, 0x30FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF))
    )


def words(text: str, most: int, longest: int) -> tuple[list[str], int, int]:
    """Return the words of a text, how many were too long, and how many came after the most that are taken."""
    found: list[str] = []
    word = ""
    for letter in unicodedata.normalize("NFKC", text.lower()) + " ":
        part = (letter.isalnum() or letter == "_") and not is_ideograph(letter)
        if not part and word:
            found.append(word)
            word = ""
        if part:
            word += letter
        elif is_ideograph(letter) and letter.isalnum():
            found.append(letter)
    short = [word for word in found if len(word) <= longest]
    return short[:most], len(found) - len(short), max(len(short) - most, 0)


def expanded(
    x: dict[str, Any], fields: list[str], columns: int, most: int, longest: int, pairs: bool
) -> tuple[dict[str, Any], int, int]:
    """Return an instance with its texts as numbers, and the words dropped as in `words`."""
    plain: dict[str, Any] = {}
    bag: dict[str, float] = {}
    too_long = beyond = 0
    for name, value in x.items():
        if name not in fields or not isinstance(value, str):
            plain[name] = value
            continue
        taken, long, rest = words(value, most, longest)
        too_long, beyond = too_long + long, beyond + rest
        grams = taken + [f"{taken[i]} {taken[i + 1]}" for i in range(len(taken) - 1) if pairs]
        for gram in grams:
            bag[f"text#{zlib.crc32(gram.encode('utf-8', 'surrogatepass')) % columns}"] = 1.0
    return {**plain, **bag}, too_long, beyond
