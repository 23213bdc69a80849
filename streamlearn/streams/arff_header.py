"""Reads the declarations of an ARFF file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import NamedTuple

from streamlearn.streams.arff_dates import ISO_8601, DateFormat
from streamlearn.streams.arff_text import BLANKS, Lines, Token, TokenKind, shorten, strip_comment, tokenize, unescape

_KEYWORD = re.compile(r"""(@[^\x00-\x20,{}'"%]+)(.*)""", re.DOTALL)
_NAME = re.compile(
    r"""[\x00-\x20]*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|([^\x00-\x20{}'"%][^\x00-\x20{}%]*))""", re.DOTALL
)
_KIND = re.compile(r"(numeric|real|integer|string|date|relational)(?!\w)", re.IGNORECASE)
_KINDS = {"numeric", "real", "integer", "string", "date", "relational"}
_RANGE = re.compile(r"\[[^\]]*\]")


class AttributeKind(IntEnum):
    """How the values of an attribute are read."""

    NUMERIC = 0
    NOMINAL = 1
    STRING = 2
    DATE = 3


class Attribute(NamedTuple):
    """A declared attribute; ``values`` are those of a nominal one, ``date`` is the format of a date."""

    name: str
    kind: AttributeKind
    values: tuple[str, ...] = ()
    date: DateFormat | None = None


class Header(NamedTuple):
    """The declarations; ``line`` is the number of the line of ``@data``, ``rest`` what stands behind it there."""

    relation: str
    attributes: Sequence[Attribute]
    line: int
    rest: str


class HeaderError(ValueError):
    """A declaration cannot be read; ``line`` is where it begins, and ``is_start`` says that none was read before."""

    def __init__(self, line: int, text: str, *, is_start: bool) -> None:
        super().__init__(text)
        self.line = line
        self.is_start = is_start


def read_header(lines: Lines) -> Header:
    """Read lines up to ``@data`` and return the declarations.

    Raises
    ------
    HeaderError
        With the line of the declaration that cannot be read.
    """
    relation = ""
    attributes: list[Attribute] = []
    line_of: dict[str, int] = {}
    texts = iter(lines)
    is_start = True
    for text in texts:
        if not text or text.startswith("%"):
            continue
        line = lines.number
        try:
            match = _KEYWORD.fullmatch(text)
            keyword, rest = (match[1].lower(), match[2]) if match else ("", "")
            if keyword == "@relation":
                relation = _read_relation(rest)
            elif keyword == "@attribute":
                attribute = _read_attribute(rest, texts)
                if attribute.name in line_of:
                    raise ValueError(
                        f"attribute {attribute.name!r} is already declared in line {line_of[attribute.name]}"
                    )
                line_of[attribute.name] = line
                attributes.append(attribute)
            elif keyword == "@data":
                return Header(relation, attributes, line, rest.strip(BLANKS))
            else:
                raise ValueError(f"{text[:60]!r} comes before @data but is no declaration")
        except ValueError as error:
            raise HeaderError(line, str(error), is_start=is_start) from None
        is_start = False
    text = "the file ends without @data" + ("" if is_start else ": it is cut off; copy it again, all of it")
    raise HeaderError(lines.number, text, is_start=is_start)


def read_weight(tokens: Sequence[Token], of: str) -> None:
    """Check that the tokens behind a row or a declaration are at most a weight of 1, ``{1}``.

    Raises
    ------
    ValueError
        When they are another weight, or no weight.
    """
    if not tokens:
        return
    marks = [token.kind == TokenKind.MARK for token in tokens]
    if marks != [True, False, True] or not tokens[0].is_mark("{") or not tokens[2].is_mark("}"):
        raise ValueError(f"{shorten(' '.join(token.text for token in tokens))} follows {of}")
    try:
        weight = float(tokens[1].text)
    except ValueError:
        raise ValueError(f"the weight {tokens[1].text!r} of {of} is not a number") from None
    if weight != 1.0:
        raise ValueError(
            f"{of} has the weight {tokens[1].text}, and weights are not used: remove the weights in braces, or repeat "
            "rows as often as they count"
        )


def _read_relation(text: str) -> str:
    match = re.match(r"""[\x00-\x20]*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")(.*)""", text, re.DOTALL)
    if match is None:
        return strip_comment(text).strip(BLANKS)
    if tokenize(match[3]):
        raise ValueError(f"{shorten(match[3])} follows the name of the relation")
    return unescape(match[1] if match[1] is not None else match[2])


def _read_attribute(text: str, more: Iterator[str]) -> Attribute:
    name, rest = _split_name(text)
    rest = rest.strip(BLANKS)
    if rest.startswith("{"):
        return Attribute(name, AttributeKind.NOMINAL, _read_values(name, rest, more))
    match = _KIND.match(rest)
    kind = match[1].lower() if match else ""
    of = f"the declaration of attribute {name!r}"
    if kind in ("numeric", "real", "integer"):
        assert match is not None
        rest = _RANGE.sub("", strip_comment(rest[match.end() :]).strip(BLANKS), count=1)
        read_weight(tokenize(rest), of)
        return Attribute(name, AttributeKind.NUMERIC)
    if kind in ("string", "date"):
        assert match is not None
        tokens = tokenize(rest[match.end() :])
        if kind == "string":
            read_weight(tokens, of)
            return Attribute(name, AttributeKind.STRING)
        pattern = tokens.pop(0).text if tokens and tokens[0].kind != TokenKind.MARK else ISO_8601
        if tokens and tokens[0].kind != TokenKind.MARK:
            raise ValueError(f"write the date format of attribute {name!r} in quotes, in {shorten(rest)}")
        read_weight(tokens, of)
        return Attribute(name, AttributeKind.DATE, date=DateFormat(pattern))
    raise ValueError(
        f"attribute {name!r} is of kind {shorten(rest)}; what can be read is numeric, real, integer, string, date, "
        "and nominal values in braces"
    )


def _split_name(text: str) -> tuple[str, str]:
    """Return the name that a declaration starts with, unquoted, and the rest.

    A name without quotes may hold a comma or a quote, unless WEKA would read something else than a name of that kind.
    """
    match = _NAME.match(text)
    if match is None:
        raise ValueError(f"no name in {shorten(text)}")
    name, rest = match[3], text[match.end() :]
    if name is None:
        if rest[:1] not in ("", "{", "%", *BLANKS):
            raise ValueError(f"text follows the quoted name in {shorten(text)}")
        return unescape(match[1] if match[1] is not None else match[2]), rest
    if any(text.count(quote) > 1 for quote in "'\"" if quote in name):
        raise ValueError(f"a quote is inside the name {name!r}: quote all of it")
    first, *others = name.split(",")
    if others and not (first and all(others) and _KINDS.isdisjoint(part.lower() for part in others)):
        raise ValueError(f"a comma is inside the name {name!r}: write the name in quotes")
    return name, rest


def _read_values(name: str, text: str, more: Iterator[str]) -> tuple[str, ...]:
    """Return the values in braces, which may go over several lines."""
    tokens = tokenize(text)
    while not any(token.is_mark("}") for token in tokens):
        line = next(more, None)
        keyword = _KEYWORD.match(line or "")
        if line is None or (keyword and keyword[1].lower() in ("@attribute", "@data")):
            raise ValueError(f"the values of attribute {name!r} are not closed by a brace")
        tokens += tokenize(line)
    end = next(position for position, token in enumerate(tokens) if token.is_mark("}"))
    read_weight(tokens[end + 1 :], f"the declaration of attribute {name!r}")
    values: list[str] = []
    commas = 0
    after_comma = True
    for token in tokens[1:end]:
        if token.is_mark("{"):
            raise ValueError(f"attribute {name!r} has a brace among its values: write the value in quotes")
        if token.is_mark(","):
            if after_comma:
                raise ValueError(f"attribute {name!r} has an empty value: write it in quotes, or remove a comma")
            commas += 1
        else:
            values.append(token.text)
        after_comma = token.is_mark(",")
    if values and after_comma:
        commas -= 1
    if commas and commas != len(values) - 1:
        raise ValueError(
            f"the values of attribute {name!r} are separated by commas and by blanks: write a value with a blank in "
            "quotes"
        )
    seen: set[str] = set()
    for value in values:
        if value in seen:
            raise ValueError(f"attribute {name!r} has the value {value!r} twice")
        seen.add(value)
    return tuple(values)
