"""ARFF files to compare readers on: random ones that are valid in many styles, and ones damaged at random places."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import NamedTuple

WORDS = (
    "a", "b7", "red", "dark blue", "it's", 'say "no"', "50%", "%", "{x}", "a,b", "ÄÖ", "日本", "😀", "?", "", " x ",
    "tab\there", "back\\slash", "new\nline", "no\xa0break", "-", "@data", "1", "0", "\\n", "'", "\x01", "a_b", "É\x7f",
)  # fmt: skip
NUMBERS = (
    "0",
    "1",
    "-2",
    "+3",
    "4.",
    ".5",
    "6e-3",
    "7E+2",
    "1e400",
    "1e-400",
    "0.1",
    "123456789012345678",
    "NaN",
    "-0",
)
DATES = {
    "": ("2001-02-03T04:05:06", "1999-12-31T23:59:59", "1970-01-01T00:00:00", "2004-02-29T12:00:00"),
    "yyyy-MM-dd": ("2001-02-03", "1600-02-29", "9999-12-31", "2001-2-3"),
    "dd.MM.yyyy HH:mm": ("01.02.2003 04:05", "31.12.1969 23:59"),
    "EEE, d MMM yyyy h:mm a": ("Sat, 3 Feb 2001 12:30 AM", "Monday, 31 december 2001 1:05 pm"),
    "yyyyMMdd": ("20010203", "20041231"),
    "yyyy-MM-dd'T'HH:mm:ss.SSSXXX": ("2001-02-03T04:05:06.789+01:30", "2001-02-03T04:05:06.7Z"),
    "HH:mm:ss Z": ("04:05:06 -0330", "23:59:59 GMT"),
    "kk 'o''clock'": ("24 o'clock", "7 o'clock"),
}
DAMAGE = "'\"\\%{},? \t\r\n@x1:-.é"


class _Attribute(NamedTuple):
    name: str
    kind: str
    values: tuple[str, ...]


def corpus(seed: int, valid: int, damaged: int) -> dict[str, bytes]:
    """Return files by name: valid ones and ``damaged-*``; equal seeds give equal files."""
    draw = random.Random(seed)
    files = {f"valid-{number:05}.arff": "".join(_file(draw)).encode() for number in range(valid)}
    for number in range(damaged):
        files[f"damaged-{number:05}.arff"] = _damage(draw, "".join(_file(draw))).encode()
    return files


def _file(draw: random.Random) -> Iterator[str]:
    """Yield the parts of a file whose first attribute is a label."""
    end = draw.choice(("\n", "\n", "\r\n", "\r"))
    attributes = list(_attributes(draw))
    space = draw.choice((" ", " ", "\t", "  "))

    def line(text: str) -> str:
        comment = draw.choice((" % it's", "%", "\t% '{\"")) if draw.random() < 0.1 else ""
        blank = draw.choice(("", "", "", "% 'between" + end, end, " \t" + end))
        return f"{draw.choice(('', '', ' '))}{text}{comment}{end}{blank}"

    yield line(_case(draw, "@relation") + space + draw.choice(("r", "'a b: -C 1'", '"q"', "x-y_z")))
    for attribute in attributes:
        yield line(_declaration(draw, attribute, space))
    rows = [_row(draw, attributes) for _ in range(draw.randrange(6))]
    if rows and draw.random() < 0.1:
        yield line(_case(draw, "@data") + space + rows.pop(0))
    else:
        yield line(_case(draw, "@data"))
    for row in rows:
        yield line(row)


def _attributes(draw: random.Random) -> Iterator[_Attribute]:
    yield _Attribute("label", draw.choice(("nominal", "numeric")), draw.choice((("0", "1"), ("0", "1"), ("1", "0"))))
    names = set[str]()
    for _ in range(draw.randrange(1, 6)):
        name = draw.choice(WORDS) or "empty"
        if name in names or not name.strip():
            continue
        names.add(name)
        kind = draw.choice(("numeric", "numeric", "nominal", "nominal", "string", "date"))
        if kind == "date":
            yield _Attribute(name, kind, (draw.choice(list(DATES)),))
        else:
            yield _Attribute(name, kind, tuple(draw.sample(WORDS, draw.randrange(1, 5))))


def _declaration(draw: random.Random, attribute: _Attribute, space: str) -> str:
    weight = draw.choice((" {1}", " {2.5}")) if draw.random() < 0.03 else ""
    head = f"{_case(draw, '@attribute')}{space}{_text(draw, attribute.name)}{space}"
    if attribute.kind == "nominal":
        separator = draw.choice((",", ", ", " , ", ",\t", " "))
        last = draw.choice(("", "", " ", ","))
        return f"{head}{{{separator.join(_text(draw, value) for value in attribute.values)}{last}}}{weight}"
    if attribute.kind == "date":
        pattern = attribute.values[0]
        return f"{head}{_case(draw, 'date')}{space + _quoted(draw, pattern) if pattern else ''}{weight}"
    if attribute.kind == "string":
        return f"{head}{_case(draw, 'string')}{weight}"
    return f"{head}{_case(draw, draw.choice(('numeric', 'real', 'integer')))}{draw.choice(('', '', ' [0,1]'))}{weight}"


def _row(draw: random.Random, attributes: list[_Attribute]) -> str:
    weight = draw.choice(("{1}", "{1.0}", "{5}", "{0.5}")) if draw.random() < 0.05 else ""
    if draw.random() < 0.3:
        chosen = sorted(draw.sample(range(len(attributes)), draw.randrange(len(attributes) + 1)))
        entries = (f"{index}{draw.choice((' ', '  ', chr(9)))}{_value(draw, attributes[index])}" for index in chosen)
        row = f"{{{draw.choice((',', ', ', ' , ')).join(entries)}}}"
    else:
        row = draw.choice((",", ",", ", ", " ", "\t", " ,\t")).join(_value(draw, each) for each in attributes)
    return row + (draw.choice((",", ", ", " ")) + weight if weight else "") + draw.choice(("", "", "", ","))


def _value(draw: random.Random, attribute: _Attribute) -> str:
    if draw.random() < 0.1:
        return "?"
    if attribute.name == "label":
        return draw.choice(("0", "1", "'1'"))
    if attribute.kind == "nominal":
        return _text(draw, draw.choice(attribute.values), missing=True)
    if attribute.kind == "string":
        return _text(draw, draw.choice(WORDS), missing=True)
    if attribute.kind == "date":
        return _quoted(draw, draw.choice(DATES[attribute.values[0]]))
    number = draw.choice(NUMBERS)
    return _quoted(draw, number) if draw.random() < 0.1 else number


def _text(draw: random.Random, text: str, *, missing: bool = False) -> str:
    """Return a text as it stands in a file, in quotes where it needs them, and sometimes where it does not."""
    plain = bool(text) and not any(each in text for each in " \t\n\x01'\"%{},") and not (missing and text == "?")
    return text if plain and draw.random() < 0.7 else _quoted(draw, text)


def _quoted(draw: random.Random, text: str) -> str:
    quote = draw.choice("'\"")
    escaped = text.replace("\\", "\\\\").replace(quote, "\\" + quote).replace("\n", "\\n")
    if draw.random() < 0.2:
        escaped = escaped.replace("%", "\\%").replace("x", "\\170").replace("\t", "\\t")
    return f"{quote}{escaped}{quote}"


def _case(draw: random.Random, word: str) -> str:
    return draw.choice((word, word, word.upper(), word.title()))


def _damage(draw: random.Random, text: str) -> str:
    """Return a text after a few random changes of characters."""
    for _ in range(draw.randrange(1, 4)):
        position = draw.randrange(len(text) + 1)
        removed = draw.choice((0, 0, 1, 1, 3))
        text = text[:position] + draw.choice(("", draw.choice(DAMAGE))) + text[position + removed :]
    return text
