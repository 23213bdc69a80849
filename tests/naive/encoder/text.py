"""Texts to hashed words and word pairs, one character at a time, from the description alone."""

from __future__ import annotations

import unicodedata
import zlib
from typing import Any


def is_ideograph(letter: str) -> bool:
    """Return whether a character is kana or Han, which are written without spaces."""
    return any(
        first <= ord(letter) <= last
        for first, last in ((0x3040, 0x30FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF))
    )


def words(text: str, maximum: int, longest: int) -> tuple[list[str], int, int]:
    """Return the words of a text, the number that were too long, and the number beyond the maximum."""
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
    return short[:maximum], len(found) - len(short), max(len(short) - maximum, 0)


def replace_texts(
    x: dict[str, Any], fields: list[str], columns: int, maximum: int, longest: int, pairs: bool
) -> tuple[dict[str, Any], int, int]:
    """Return an instance with numbers instead of its texts, and the numbers of dropped words as in `words`."""
    plain: dict[str, Any] = {}
    bag: dict[str, float] = {}
    too_long = too_many = 0
    for name, value in x.items():
        if name not in fields or not isinstance(value, str):
            plain[name] = value
            continue
        taken, long, rest = words(value, maximum, longest)
        too_long, too_many = too_long + long, too_many + rest
        grams = taken + [f"{taken[i]} {taken[i + 1]}" for i in range(len(taken) - 1) if pairs]
        for gram in grams:
            bag[f"text#{zlib.crc32(gram.encode('utf-8', 'surrogatepass')) % columns}"] = 1.0
    return {**plain, **bag}, too_long, too_many
