"""Text fields to a bounded bag of words: lower-cased words and pairs of neighbouring words, hashed to columns."""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Iterable, Mapping
from itertools import pairwise

Value = float | int | bool | str | None

NAME = "text#"
"""What the name of a hashed column begins with; its number follows."""

NGRAMS_REMEMBERED = 1 << 16
"""Words and pairs whose column names are kept at hand; beyond it they are forgotten and found anew."""

_IDEOGRAPHS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_ascii_words = re.compile(r"\w+").findall
_words = re.compile(rf"[{_IDEOGRAPHS}]|[^\W{_IDEOGRAPHS}]+").findall


class TextFields:
    """Turns the texts of an instance into numbers by name.

    A text is lower-cased, brought to Unicode's form NFKC and cut into runs of letters, digits and underscores. A script
    that is written without spaces (kana and Han) gives one word a character. Words and pairs of neighbouring words
    are hashed: CRC-32 of their UTF-8 bytes modulo ``columns``, the same on every machine. All fields share the columns,
    and an entry counts once, however often it occurs.

    Parameters
    ----------
    fields:
        Names of the features whose strings are texts.
    columns:
        Hashed columns at most.
    words_per_field:
        Words at most that a text gives, its first ones; others are dropped and counted as ``text_words_full``.
    word_length:
        Longest word, in characters; a longer one is dropped and counted as ``word_too_long``.
    pairs:
        Whether pairs of neighbouring words count too. A dropped word leaves no gap.

    Notes
    -----
    The hashing trick: Weinberger et al., Feature Hashing for Large Scale Multitask Learning (ICML 2009), without signs,
    since the learner's neighbours and trees take an entry for a presence.
    """

    def __init__(
        self,
        fields: Iterable[str] = (),
        *,
        columns: int = 1 << 15,
        words_per_field: int = 1_000,
        word_length: int = 40,
        pairs: bool = True,
    ) -> None:
        self.fields = frozenset(fields)
        self.columns = columns
        self._words_per_field = words_per_field
        self._word_length = word_length
        self._pairs = pairs
        self._names = _Names(columns)
        self._too_long = 0
        self._beyond = 0

    @classmethod
    def bytes_bound(cls, word_length: int) -> int:
        """Return the largest size in bytes of what is remembered: pairs of two longest words, four bytes a letter."""
        return NGRAMS_REMEMBERED * (4 * (2 * word_length + 1) + 320)

    def bag(self, texts: Iterable[tuple[str, str]]) -> dict[str, float]:
        """Return the numbers that an instance's texts give, by column name.

        Parameters
        ----------
        texts:
            Pairs of field and text; neither their order nor which field a text is in changes the numbers.
        """
        name_of = self._names.__getitem__
        bag: dict[str, float] = {}
        for _, text in texts:
            words = self._cut(text)
            bag.update(dict.fromkeys(map(name_of, words), 1.0))
            if self._pairs:
                bag.update(dict.fromkeys(map(name_of, map(" ".join, pairwise(words))), 1.0))
        return bag

    def expanded(self, x: Mapping[str, Value]) -> dict[str, Value]:
        """Return an instance with numbers in the place of its texts, for learners that know no texts."""
        texts = [(name, value) for name, value in x.items() if isinstance(value, str) and name in self.fields]
        if not texts:
            return dict(x)
        taken = {name for name, _ in texts}
        return {**{name: value for name, value in x.items() if name not in taken}, **self.bag(texts)}

    def _cut(self, text: str) -> list[str]:
        lowered = text.lower()
        if lowered.isascii():
            words = _ascii_words(lowered)
        else:
            words = _words(unicodedata.normalize("NFKC", lowered))
        if words and len(max(words, key=len)) > self._word_length:
            found = len(words)
            words = [word for word in words if len(word) <= self._word_length]
            self._too_long += found - len(words)
        if len(words) > self._words_per_field:
            self._beyond += len(words) - self._words_per_field
            del words[self._words_per_field :]
        return words

    def take_dropped(self) -> dict[str, int]:
        """Return the words that were dropped since the last call, by reason."""
        dropped = {"word_too_long": self._too_long, "text_words_full": self._beyond}
        self._too_long = self._beyond = 0
        return {reason: count for reason, count in dropped.items() if count}


class _Names(dict[str, str]):
    """Column names by n-gram, remembered up to a bound."""

    def __init__(self, columns: int) -> None:
        super().__init__()
        self._columns = columns

    def __missing__(self, ngram: str) -> str:
        if len(self) >= NGRAMS_REMEMBERED:
            self.clear()
        name = f"{NAME}{zlib.crc32(ngram.encode('utf-8', 'surrogatepass')) % self._columns}"
        self[ngram] = name
        return name
