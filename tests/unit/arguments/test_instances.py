"""An instance is a mapping of names to values or a list of values; values and names of other kinds are refused."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from streamlearn.arguments.instances import as_instance
from streamlearn.errors import UsageError


@pytest.mark.parametrize(
    "x",
    [
        {"a": 1, "b": 2.0, "c": True, "d": "text", "e": None},
        {},
        [1, None, "x"],
        (np.float32(1), np.bool_(1), np.str_("a")),
    ],
)
def test_plain_instances_are_taken_as_they_are(x: Any) -> None:
    assert as_instance(x, "x") is x


def test_other_numbers_and_names_become_plain() -> None:
    x = {
        np.str_("a"): Decimal("1.5"),
        np.int64(3): Fraction(1, 2),
        ("b", np.uint8(1)): np.array(2),
        "n": pd.NA,
        "m": np.ma.masked,
    }
    plain = as_instance(x, "x")
    assert plain == {"a": 1.5, 3: 0.5, ("b", 1): 2.0, "n": None, "m": None}
    assert [*map(repr, plain)] == ["'a'", "3", "('b', 1)", "'n'", "'m'"]
    assert as_instance([10**400, Fraction(-(10**400))], "x") == [10**400, float("-inf")]


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ("text", "x is 'text' of type str: pass a mapping from feature names to values"),
        (None, "x is None"),
        ({"a"}, "of type set: pass a mapping"),
        ({"a": [1, 2]}, r"x\['a'\] is \[1, 2\] of type list: a feature's value is a number, a bool, a str or None"),
        ({"a": {"b": 1}}, r"x\['a'\] is \{'b': 1\} of type dict"),
        ({"a": b"1"}, r"x\['a'\] is b'1' of type bytes"),
        ({"a": 1j}, r"x\['a'\] is 1j of type complex"),
        ({"a": np.array([1.0])}, r"x\['a'\] is array"),
        ({"a": np.datetime64("2020-01-01")}, "of type datetime64"),
        ({"a": np.timedelta64(5, "ns")}, "of type timedelta64"),
        ({np.timedelta64(5, "ns"): 1}, "the name .* is of type timedelta64"),
        ({"a": pd.Timestamp(0)}, "of type Timestamp"),
        ([1, [2]], r"x\[1\] is \[2\]"),
        ({"a\ud800": 1}, r"x: the name 'a\\ud800' has \\ud800, half of a surrogate pair, .* remove or replace it"),
        ({"a": 1, np.str_("\udfff"): 1}, r"x: the name .*'\\udfff'.* has \\udfff, half of"),
        ({"a": None, ("b", "\udc80"): 1}, r"x: the name \('b', '\\udc80'\) has \\udc80, half of"),
        ({"a": "b", "c": "\u00e9\ud83d"}, r"x\['c'\] is '\u00e9\\ud83d', which has \\ud83d, half of"),
        ({"a": b"", "c": "x" * 99 + "\ud83d" + "x" * 99}, r"x\['a'\] is b''"),
        ({"c": "x" * 99 + "\ud83d" + "x" * 99, 1: 1}, r"x\['c'\] is 'x+\.\.\.x+', which has \\ud83d, half of"),
        ({"a": np.str_("\ude00\ud83d")}, r"x\['a'\] is .*, which has \\ude00, half of"),
        (["a", 1, "\ud800"], r"x\[2\] is '\\ud800', which has"),
        ({True: 1}, "the name True is of type bool"),
        ({1.5: 1}, r"the name 1\.5 is of type float"),
        ({None: 1}, "the name None"),
        ({b"a": 1}, "the name b'a' is of type bytes"),
        (pd.Series({"a": 1}), r"x is a pandas Series: .* x\.to_dict\(\)"),
        (pd.DataFrame({"a": [1, 2]}), r'x is a pandas DataFrame, several rows: pass x\.to_dict\("records"\)'),
        (pl.DataFrame({"a": [1, 2]}), r"x is a polars DataFrame, several rows: pass x\.to_dicts\(\)"),
        (np.zeros(2), r"x is a numpy ndarray: .* dict\(enumerate\(x\.tolist\(\)\)\)"),
        (pl.Series([1, 2]), r"x is a polars Series: .* dict\(enumerate\(x\.to_list\(\)\)\)"),
        (pd.Index([1, 2]), r"x is a pandas Index: .* dict\(enumerate\(x\.tolist\(\)\)\)"),
        (np.zeros((2, 2)), r"pass \[dict\(enumerate\(row\)\) for row in x\.tolist\(\)\] to learn_many"),
    ],
)
def test_anything_else_is_refused(x: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        as_instance(x, "x")
