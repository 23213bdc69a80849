"""Lexical rules of ARFF: lines, words, quotes, escapes, comments.

They are those of WEKA's reader: control characters are blanks, a carriage return ends a line, a percent sign outside
quotes begins a comment, and a backslash inside quotes escapes as in C, with octal numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import NamedTuple

BLANKS = "".join(map(chr, range(33)))
"""Control characters and the space; a no-break space is part of a word."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_TOKEN = re.compile(
    r"""[\x00-\x20]*(?:(?P<word>[^\x00-\x20,{}'"%]+)|'(?P<single>(?:[^'\\]|\\.)*)'|"(?P<double>(?:[^"\\]|\\.)*)\""""
    r"""|(?P<mark>[,{}])|(?P<comment>%)|(?P<open>['"])|$)""",
    re.DOTALL,
)
_ESCAPE = re.compile(r"\\([0-3][0-7]{0,2}|[4-7][0-7]?|.)", re.DOTALL)
_ESCAPED = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


class TokenKind(IntEnum):
    """What a token is."""

    WORD = 0
    QUOTED = 1
    MARK = 2  # one of , { }


class Token(NamedTuple):
    """A token of a line; the text of a quoted one is without quotes and escapes."""

    kind: TokenKind
    text: str

    def is_mark(self, mark: str) -> bool:
        """Return whether the token is this comma or brace; a quoted one is not."""
        return self.kind == TokenKind.MARK and self.text == mark

    def is_brace(self) -> bool:
        """Return whether the token is a brace; a quoted one is not."""
        return self.kind == TokenKind.MARK and self.text != ","


class Lines:
    """The lines of a file as texts without blanks around them; ``number`` is that of the latest one, from 1."""

    def __init__(self, file: Iterable[bytes]) -> None:
        self.number = 0
        self._texts = self._read(file)

    def __iter__(self) -> Iterator[str]:
        return self._texts

    def _read(self, file: Iterable[bytes]) -> Iterator[str]:
        for line in file:
            if not self.number:
                if line.startswith(_UTF_16_MARKS):
                    self.number = 1
                    raise ValueError("the file is in UTF-16: save it as UTF-8")
                line = line.removeprefix(_BYTE_ORDER_MARK)
            # Only a carriage return that is not part of \r\n separates lines.
            for part in line.rstrip(b"\r\n").split(b"\r") if b"\r" in line else (line,):
                self.number += 1
                yield decode_line(part)


def decode_line(line: bytes) -> str:
    """Return a line as text, without blanks around it: as UTF-8, or as Latin-1 when it is not UTF-8."""
    try:
        return line.decode().strip(BLANKS)
    except UnicodeDecodeError:
        return line.decode("latin-1").strip(BLANKS)


def unescape(text: str) -> str:
    """Return the text between quotes without its escapes."""
    return _ESCAPE.sub(_unescape, text) if "\\" in text else text


def _unescape(match: re.Match[str]) -> str:
    code = match[1]
    return chr(int(code, 8)) if code[0] in "01234567" else _ESCAPED.get(code, code)


def tokenize(text: str) -> list[Token]:
    """Return the tokens of a line, without its comment.

    Raises
    ------
    ValueError
        When a quote is not closed, stands inside a word, or has text right behind it.
    """
    tokens = []
    position = 0
    while (match := _TOKEN.match(text, position)) is not None:
        kind = match.lastgroup
        position = match.end()
        if kind == "word":
            if text[position : position + 1] in ("'", '"'):
                raise ValueError(f"a quote is inside the word at {shorten(text[match.start() :])}: quote all of it")
            tokens.append(Token(TokenKind.WORD, match["word"]))
        elif kind == "mark":
            tokens.append(Token(TokenKind.MARK, match["mark"]))
        elif kind in ("single", "double"):
            if text[position : position + 1] not in _BEHIND_A_QUOTE:
                raise ValueError(f"text follows a quote, in {shorten(text[match.start() :])}")
            tokens.append(Token(TokenKind.QUOTED, unescape(match[kind])))
        elif kind == "open":
            raise ValueError(f"a quote is not closed, in {shorten(text[match.start() :])}")
        else:
            break
    return tokens


_BEHIND_A_QUOTE = frozenset(["", ",", "{", "}", "%", *BLANKS])


def strip_comment(text: str) -> str:
    """Return the text before the first percent sign outside quotes.

    Raises
    ------
    ValueError
        When a quote before it is not closed.
    """
    if "%" not in text:
        return text
    position = 0
    while (match := _TOKEN.match(text, position)) is not None and match.lastgroup not in ("comment", None):
        if match.lastgroup == "open":
            raise ValueError(f"a quote is not closed, in {shorten(text[match.start() :])}")
        position = match.end()
    return text[:position].rstrip(BLANKS)


def shorten(text: str) -> str:
    """Return the beginning of a text, for an error."""
    text = text.strip(BLANKS)
    return repr(text if len(text) <= 60 else text[:60] + "...")
