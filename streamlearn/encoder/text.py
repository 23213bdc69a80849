"""Encode text fields as a bounded bag of words: lower-cased words and pairs of adjacent words, hashed to columns."""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Iterable, Mapping
from itertools import pairwise

from streamlearn.state.names import Name

Value = float | int | bool | str | None

COLUMN_PREFIX = "text#"
"""Prefix of the names of hashed columns; the number of the column follows."""

NGRAM_CACHE_SIZE = 1 << 16
"""Words and pairs whose column names are cached; a full cache is emptied."""

_IDEOGRAPHS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_ascii_words = re.compile(r"\w+").findall
_words = re.compile(rf"[{_IDEOGRAPHS}]|[^\W{_IDEOGRAPHS}]+").findall


class TextFields:
    """Encodes the texts of an instance as numbers by column name.

    A text is lower-cased, normalised to NFKC and split into runs of letters, digits and underscores. In scripts without
    spaces (kana and Han) each character is a word. Words and pairs of adjacent words are hashed: CRC-32 of their UTF-8
    bytes modulo ``columns``, the same on every machine. All fields share the columns, and an entry is 1 however often
    the word occurs.

    Parameters
    ----------
    fields:
        Names of the features whose strings are texts.
    columns:
        Hashed columns at most.
    words_per_field:
        Words per text at most, the first ones; others are dropped and counted as ``text_words_full``.
    word_length:
        Characters per word at most; longer words are dropped and counted as ``word_too_long``.
    pairs:
        Whether pairs of adjacent words are used too. The neighbours of a dropped word count as adjacent.

    Notes
    -----
    The hashing trick: Weinberger et al., Feature Hashing for Large Scale Multitask Learning (ICML 2009), without signs,
    since the learner's neighbours and trees treat an entry as a presence.
    """

    def __init__(
        self,
        fields: Iterable[Name] = (),
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
        self._names = _ColumnNames(columns)
        self._too_long = 0
        self._too_many = 0

    @classmethod
    def bytes_bound(cls, word_length: int) -> int:
        """Return the largest size of the cache in bytes: pairs of two longest words, four bytes per character."""
        return NGRAM_CACHE_SIZE * (4 * (2 * word_length + 1) + 320)

    def bag_of_words(self, texts: Iterable[tuple[Name, str]]) -> dict[str, float]:
        """Return the numbers of an instance's texts by column name.

        Parameters
        ----------
        texts:
            Pairs of field and text; neither their order nor the field of a text changes the numbers.
        """
        name_of = self._names.__getitem__
        bag: dict[str, float] = {}
        for _, text in texts:
            words = self._tokenize(text)
            bag.update(dict.fromkeys(map(name_of, words), 1.0))
            if self._pairs:
                bag.update(dict.fromkeys(map(name_of, map(" ".join, pairwise(words))), 1.0))
        return bag

    def replace_texts(self, x: Mapping[str, Value]) -> dict[str, Value]:
        """Return an instance with numbers instead of its texts, for learners that cannot handle texts."""
        texts = [(name, value) for name, value in x.items() if isinstance(value, str) and name in self.fields]
        if not texts:
            return dict(x)
        taken = {name for name, _ in texts}
        return {**{name: value for name, value in x.items() if name not in taken}, **self.bag_of_words(texts)}

    def _tokenize(self, text: str) -> list[str]:
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
            self._too_many += len(words) - self._words_per_field
            del words[self._words_per_field :]
        return words

    def pop_dropped(self) -> dict[str, int]:
        """Return the number of words dropped since the last call, by reason, and reset it."""
        dropped = {"word_too_long": self._too_long, "text_words_full": self._too_many}
        self._too_long = self._too_many = 0
        return {reason: count for reason, count in dropped.items() if count}


class _ColumnNames(dict[str, str]):
    """Cache of column names by n-gram, up to a bound."""

    def __init__(self, columns: int) -> None:
        super().__init__()
        self._columns = columns

    def __missing__(self, ngram: str) -> str:
        if len(self) >= NGRAM_CACHE_SIZE:
            self.clear()
        name = f"{COLUMN_PREFIX}{zlib.crc32(ngram.encode('utf-8', 'surrogatepass')) % self._columns}"
        self[ngram] = name
        return name
