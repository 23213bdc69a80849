"""A list of names is a list or tuple that has each name once, or a set where the order does not matter."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from streamlearn.arguments.names import as_name, as_name_list
from streamlearn.errors import UsageError


@pytest.mark.parametrize("name", ["", "caf\u00e9", "\U0001f600", -(2**63), 2**64 - 1, ("a", (2**63, "b"))])
def test_plain_names_are_taken_as_they_are(name: Any) -> None:
    assert as_name(name, "x") == name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (2**64, r"y: the name 18446744073709551616 has more than 64 bits; .* from -2\*\*63 to 2\*\*64 - 1: write"),
        (-(2**63) - 1, "the name -9223372036854775809 has more"),
        (("a", 2**64), r"the name \('a', 18446744073709551616\) with 18446744073709551616 has more than 64 bits"),
        ("\ud800", r"y: the name '\\ud800' has \\ud800, half of a surrogate pair, which is no character: remove or"),
        (("a", ("\udfff",)), r"the name \('a', \('\\udfff',\)\) has \\udfff, half of"),
    ],
)
def test_names_that_are_refused(name: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        as_name(name, "y")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["b", "a", "b"], "labels has the name 'b' 2 times: leave it there once"),
        (("a", 1, np.int64(1), 1), "labels has the name 1 3 times"),
        (["a", np.str_("a")], "labels has the name 'a' 2 times"),
        ([("a", 1), ["a"], ("a", 1)], r"the name \['a'\] is of type list"),
        ([("a", 1), ("a", np.int8(1))], r"labels has the name \('a', 1\) 2 times"),
        ([1, True], "the name True is of type bool"),
        (["a", "\ud800"], r"labels: the name '\\ud800' has"),
    ],
)
@pytest.mark.parametrize("ordered", [True, False])
def test_lists_of_names_that_are_refused(names: Any, message: str, ordered: bool) -> None:
    with pytest.raises(UsageError, match=message):
        as_name_list(names, "labels", ordered=ordered)


def test_lists_of_names() -> None:
    assert as_name_list([1, "1", ("1",)], "labels", ordered=True) == (1, "1", ("1",))
    assert as_name_list({1, np.int64(1), "a"}, "text_fields", ordered=False) == ("a", 1)
    assert as_name_list(None, "labels", ordered=True) == ()
