"""Rows of ARFF files."""

from __future__ import annotations

import math

import pytest

from streamlearn.streams.arff_dates import DateFormat
from streamlearn.streams.arff_header import Attribute, AttributeKind
from streamlearn.streams.arff_rows import RowReader
from streamlearn.streams.base import StreamRow

ATTRIBUTES = [
    Attribute("l", AttributeKind.NOMINAL, ("0", "1")),
    Attribute("n", AttributeKind.NUMERIC),
    Attribute("c", AttributeKind.NOMINAL, ("a_b", "x", "?")),
]
READER = RowReader(ATTRIBUTES, [0])
WITH_TEXT = RowReader(
    [*ATTRIBUTES, Attribute("t", AttributeKind.STRING), Attribute("d", AttributeKind.DATE, date=DateFormat("yyyy"))],
    [0],
)


@pytest.mark.parametrize(
    "text",
    ["1,2,x", "1,2,x,", "1 2\tx", " 1 , +2.0 , 'x' ", "1,2,x,{1}", "1,2,x {1.0},", "1,2,x % two", "'1',2e0,'x'%two"],
)
def test_a_dense_row_in_many_forms(text: str) -> None:
    assert READER.read(text.strip()) == StreamRow([2.0, "x"], ["l"])


@pytest.mark.parametrize(
    "text",
    ["{0 1,1 2,2 x}", "{0 1, 1 2, 2 x,}", "{ 2 'x' ,0 1,1 2 }", "{0 1 1 2 2 x}", "{0 1,1 2,2 x},{1}", "{0 1,1 2,2 x}%"],
)
def test_a_sparse_row_in_many_forms(text: str) -> None:
    assert READER.read(text) == StreamRow({"n": 2.0, "c": "x"}, ["l"])


def test_a_question_mark_is_missing_without_quotes_only() -> None:
    assert READER.read("?,?,?") == StreamRow([None, None], {})
    assert READER.read("0,1,'?'") == StreamRow([1.0, "?"], [])
    assert READER.read("{1 ?,2 '?'}") == StreamRow({"n": None, "c": "?"}, [])


def test_strings_are_texts_and_dates_are_numbers() -> None:
    assert WITH_TEXT.read("1,2,x,'a law',1970") == StreamRow({"n": 2.0, "c": "x", "t": "a law", "d": 0.0}, ["l"])
    assert WITH_TEXT.read('1,?,x,"",?') == StreamRow({"c": "x", "t": ""}, ["l"])
    assert WITH_TEXT.read("{3 law,4 1971}") == StreamRow({"t": "law", "d": 365 * 86_400_000.0}, [])


def test_numbers_that_are_not_finite_are_read_as_such() -> None:
    row = READER.read("1,NaN,x")
    assert isinstance(row.x, list)
    assert math.isnan(float(row.x[0] or 0))
    assert READER.read("1,-Infinity,x").x == [-math.inf, "x"]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("1,2,x,{5}", "the row has the weight 5, and weights are not used"),
        ("{1 2},{0.5}", "the row has the weight 0.5, and weights are not used"),
        ("1,2,x,{many}", "weight 'many' .* is not a number"),
        ("1,2,x,y", "4 values for 3 attributes"),
        ("1,2", "2 values for 3 attributes"),
        ("1,,x", "value 2 is empty"),
        (",1,2,x", "value 1 is empty"),
        ("1,2,x,,", "value 4 is empty"),
        ("1,2,x}", "'}' follows the row"),
        ("1,2,x,{5", "follows the row"),
        ("{1 2} 3", "'3' follows the row"),
        ("{1,2}", "'1 ,' is not an index and a value"),
        ("{1 2,,2 x}", "is not an index and a value"),
        ("{'1' 2}", "is not an index and a value"),
        ("{1 {2}", "is not an index and a value"),
        ("1,1_000,x", "'1_000' is not a number"),
        ("1,１,x", "'１' is not a number"),
        ("1,0x10,x", "'0x10' is not a number"),
        ("1,2,don't", "a quote is inside the word"),
        ("1,2,'x", "a quote is not closed"),
        ("'?',2,x", "'\\?' is neither 0 nor 1, for label 'l'"),
        ("{1 2", "not closed by a brace"),
    ],
)
def test_a_row_that_is_not_understood_is_refused(text: str, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        READER.read(text)


def test_truths_are_declared_values() -> None:
    words = RowReader([Attribute("l", AttributeKind.NOMINAL, ("no", "Yes")), ATTRIBUTES[1]], [0])
    assert [words.read(text).y for text in ("Yes,1", "no,1", "{0 Yes}", "{1 2}")] == [["l"], [], ["l"], []]
    for text in ("1,1", "{0 0}"):
        with pytest.raises(ValueError, match="is not a value of attribute 'l'"):
            words.read(text)


def test_an_empty_value_is_written_in_quotes() -> None:
    reader = RowReader([ATTRIBUTES[0], Attribute("c", AttributeKind.NOMINAL, ("", "x"))], [0])
    assert reader.read("0,''").x == [""]
    with pytest.raises(ValueError, match="1 values for 2 attributes"):
        reader.read("0,")


def test_a_date_is_refused_with_its_attribute() -> None:
    with pytest.raises(ValueError, match="'soon' is not a date of the format 'yyyy', for attribute 'd'"):
        WITH_TEXT.read("1,2,x,y,soon")
