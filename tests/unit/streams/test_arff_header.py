"""Declarations of ARFF files."""

from __future__ import annotations

import pytest

from streamlearn.streams.arff_header import Attribute, AttributeKind, Header, HeaderError, read_header
from streamlearn.streams.arff_text import Lines


def header(text: str) -> Header:
    return read_header(Lines(text.encode().splitlines(keepends=True)))


def attribute(text: str) -> Attribute:
    (found,) = header(f"@relation r\n@attribute {text}\n@data\n").attributes
    return found


@pytest.mark.parametrize(
    ("text", "name", "values"),
    [
        ("a {x, y}", "a", ("x", "y")),
        ("a{x y\tz}", "a", ("x", "y", "z")),
        ("'a b' {'x, y', \"it's\", '?', ?2, ''} {1}", "a b", ("x, y", "it's", "?", "?2", "")),
        ("a {x, % the first\n y\n,z} % done", "a", ("x", "y", "z")),
        ("a {x,}", "a", ("x",)),
        ("a {}", "a", ()),
    ],
)
def test_nominal_values(text: str, name: str, values: tuple[str, ...]) -> None:
    assert attribute(text) == Attribute(name, AttributeKind.NOMINAL, values)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("a numeric % size", AttributeKind.NUMERIC),
        ("a REAL[0,1]", AttributeKind.NUMERIC),
        ("a integer [0, 1] {1.0}", AttributeKind.NUMERIC),
        ("a String", AttributeKind.STRING),
        ("a date", AttributeKind.DATE),
    ],
)
def test_other_kinds(text: str, kind: AttributeKind) -> None:
    assert attribute(text).kind == kind


@pytest.mark.parametrize(
    ("text", "pattern"),
    [("a date", "yyyy-MM-dd'T'HH:mm:ss"), ("a date yyyy", "yyyy"), ('a date "HH:mm" {1}', "HH:mm")],
)
def test_the_format_of_a_date(text: str, pattern: str) -> None:
    date = attribute(text).date
    assert date is not None
    assert date.pattern == pattern


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("a {x,x}", "'x' twice"),
        ("a {x,,y}", "an empty value"),
        ("a {red, dark blue}", "by commas and by blanks"),
        ("a {x{y}", "a brace among its values"),
        ("a {x} y", "'y' follows the declaration"),
        ("a {x} {2}", "weight 2, and weights are not used"),
        ("a numeric {0.5}", "weight 0.5, and weights are not used"),
        ("a numeric of sorts", "'of sorts' follows"),
        ("a string {many}", "weight 'many' .* not a number"),
        ("a date yyyy-MM-dd HH:mm", "in quotes"),
        ("a date 'dd.MM.yy'", "the century"),
        ("a relational", "'relational'; what can be read is"),
        ("a numerical", "'numerical'; what can be read is"),
        ("a,numeric real", "a comma is inside the name"),
        ("a'b' real", "a quote is inside the name"),
        ("'a'b real", "text follows the quoted name"),
        ("'a real", "no name"),
        ("a {x,'y}", "not closed"),
        ("a {x\n@attribute b real", "are not closed by a brace"),
    ],
)
def test_a_declaration_that_is_not_understood_is_refused_with_its_line(text: str, what: str) -> None:
    with pytest.raises(HeaderError, match=what) as raised:
        attribute(text)
    assert raised.value.line == 2


def test_the_relation_and_the_line_of_data() -> None:
    found = header("@relation 'it\\'s: -C 2' % x\n\n@attribute a real\n@data 1 % one\n2\n")
    assert (found.relation, found.line, found.rest) == ("it's: -C 2", 4, "1 % one")
    with pytest.raises(HeaderError, match="'c' follows the name"):
        header("@relation 'a b' c\n")
