"""Lexical rules of ARFF."""

from __future__ import annotations

import pytest

from streamlearn.streams.arff_text import Lines, TokenKind, strip_comment, tokenize, unescape


def texts(line: str) -> list[str]:
    return [f"'{token.text}'" if token.kind == TokenKind.QUOTED else token.text for token in tokenize(line)]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("1,\t'a, b' {x}", ["1", ",", "'a, b'", "{", "x", "}"]),
        ("50% of it", ["50"]),
        ("'50%',\"it's\"", ["'50%'", ",", "'it's'"]),
        ("a\x01b\xa0c", ["a", "b\xa0c"]),
        ("''", ["''"]),
        ("", []),
    ],
)
def test_a_line_has_words_quoted_texts_and_marks(line: str, expected: list[str]) -> None:
    assert texts(line) == expected


@pytest.mark.parametrize(
    ("line", "what"),
    [("'open", "not closed"), ("don't", "inside the word"), ("'a'b", "text follows"), ("'a''b'", "text follows")],
)
def test_a_quote_out_of_place_is_refused(line: str, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        tokenize(line)


def test_escapes_are_those_of_c() -> None:
    assert unescape(r"\'\"\\\%\t\n\101\0\777\q") == "'\"\\%\t\nA\0?7q"


def test_a_comment_ends_a_declaration() -> None:
    assert strip_comment("real [0, 1] % all '") == "real [0, 1]"
    assert strip_comment("'50%' x") == "'50%' x"


def test_lines_end_in_the_ways_of_all_systems() -> None:
    lines = Lines([b"\xef\xbb\xbfa\r\n", b"b\rc\r\r\n", b" \xe4 \n", b"\xc3\xa4"])
    assert [(lines.number, text) for text in lines] == [(1, "a"), (2, "b"), (3, "c"), (4, "ä"), (5, "ä")]


def test_utf_16_is_refused() -> None:
    with pytest.raises(ValueError, match="UTF-16"):
        list(Lines(["@relation r\n".encode("utf-16")]))
