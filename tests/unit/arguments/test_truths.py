"""A truth is the names of the true labels or a mapping of names; what looks like another form is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from streamlearn.arguments.truths import as_truth
from streamlearn.encoder.labels import RiverTruth
from streamlearn.errors import UsageError


@pytest.mark.parametrize(
    ("y", "expected"),
    [
        (["b", "a"], ("b", "a")),
        ({"a"}, ("a",)),
        (frozenset("a"), ("a",)),
        ({"a": 1}.keys(), ("a",)),
        ((), ()),
        ([], ()),
        ({1}, (1,)),
        ([1, 2], (1, 2)),
        ([0, "a"], (0, "a")),
        ([np.int64(7), np.str_("a"), ("n", np.int8(1))], (7, "a", ("n", 1))),
    ],
)
def test_names_of_true_labels(y: Any, expected: tuple[Any, ...]) -> None:
    truth = as_truth(y, "y")
    assert truth == expected
    assert list(map(repr, truth)) == list(map(repr, expected))


def test_mappings() -> None:
    y = {
        "a": True,
        "b": 0,
        "c": None,
        "d": np.nan,
        "e": np.True_,
        "f": 1.0,
        "g": pd.NA,
        3: False,
        ("n", np.int64(1)): 1,
    }
    truth = as_truth(y, "y")
    assert type(truth) is RiverTruth
    assert truth == {"a": True, "b": False, "e": True, "f": True, 3: False, ("n", 1): True}
    assert all(type(sign) is bool for sign in truth.values())


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ("sport", r"^y is 'sport' of type str: pass the set of the names"),
        (b"sport", "of type bytes: pass the set"),
        (None, "y is None of type NoneType: pass the set"),
        (1, "y is 1 of type int"),
        ((name for name in "ab"), "of type generator: pass the set"),
        ([1, 0], r"y is \[1, 0\], zeros and ones .* such as dict\(zip\(names, y\)\)"),
        ((True, False), "zeros and ones"),
        ([np.int64(1)], "zeros and ones"),
        ([np.False_, 1], "zeros and ones"),
        ([1.0, 0.0], "zeros and ones"),
        ([np.float32(1), 0], "zeros and ones"),
        (np.array([1, 0]), r"y is a numpy ndarray: .* dict\(zip\(names, y\.tolist\(\)\)\)"),
        (np.array(["a"]), "numpy ndarray"),
        (pd.Series({"a": 1}), r"pandas Series: .* y\.to_dict\(\)"),
        (pd.DataFrame({"a": [1]}), r'pandas DataFrame, several rows: pass y\.to_dict\("records"\) to learn_many'),
        ({True, False}, "the name .* is of type bool; a name is a str, an int or a tuple"),
        ([0.5, "a"], r"the name 0\.5 is of type float"),
        ({None}, "of type NoneType"),
        ([b"a"], r"the name b'a' is of type bytes"),
        ([("a", 0.5)], r"the name \('a', 0\.5\) with 0\.5 is of type float"),
        ([["a"]], r"the name \['a'\] is of type list"),
        ([1 << 64], "more than 64 bits"),
        ({"\ud800"}, r"y: the name '\\ud800' has \\ud800, half of a surrogate pair"),
        ([1, "\ud800"], r"y: the name '\\ud800' has"),
        ({"a": True, "\ud800": None}, r"y: the name '\\ud800' has"),
        ({1: True, ("a", "\ud800"): True}, r"y: the name \('a', '\\ud800'\) has"),
        ({"p": "0"}, r"y\['p'\] is '0' of type str: a label is True or 1, False or 0, or None"),
        ({"p": True, "q": 0.2}, r"y\['q'\] is 0\.2 of type float"),
        ({"p": [1]}, r"y\['p'\] is \[1\] of type list"),
        ({"p": np.array([1])}, r"y\['p'\] is array"),
        ({1.5: True}, r"the name 1\.5 is of type float"),
    ],
)
def test_anything_else_is_refused(y: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        as_truth(y, "y")


def test_a_name_that_is_nested_too_deeply_is_refused() -> None:
    name: Any = "a"
    for _ in range(5_000):
        name = (name,)
    with pytest.raises(UsageError, match="more than 8 levels"):
        as_truth({"b", name}, "y")
