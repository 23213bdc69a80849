"""Names have one order, and are packed with their type."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamlearn.errors import SnapshotError
from streamlearn.state.arrays import pack_bytes, pack_texts
from streamlearn.state.names import Name, name_bytes, pack_names, sorted_names, unpack_names

PLAIN = st.text(st.characters(), max_size=6) | st.integers(-(1 << 63), (1 << 64) - 1)
NAMES = st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=6)


@given(st.lists(NAMES, max_size=8))
def test_names_are_read_back_with_their_types(names: list[Name]) -> None:
    read = unpack_names(*pack_names(names))
    assert read == names
    assert list(map(repr, read)) == list(map(repr, names))


@given(st.lists(NAMES, unique_by=name_bytes, max_size=8), st.randoms(use_true_random=False))
def test_the_order_of_names_does_not_depend_on_how_they_are_listed(names: list[Name], shuffler: random.Random) -> None:
    other = list(names)
    shuffler.shuffle(other)
    assert sorted_names(other) == sorted_names(names)


@given(st.lists(NAMES, max_size=8))
def test_names_of_one_type_keep_their_order_among_others(names: list[Name]) -> None:
    for kind in (str, int, tuple):
        alone: list[Name] = [name for name in names if isinstance(name, kind)]
        assert [name for name in sorted_names(names) if isinstance(name, kind)] == sorted_names(alone)


def test_texts_come_first_then_integers_then_tuples() -> None:
    names: list[Name] = [("a", 2), 3, "b", (1, "z"), -1, "10", ("a", "2"), "1"]
    assert sorted_names(names) == ["1", "10", "b", -1, 3, ("a", "2"), ("a", 2), (1, "z")]


def test_texts_have_the_bytes_that_they_always_had() -> None:
    texts = ["news", "größe", "", "\ud800"]
    for packed, expected in zip(pack_names(texts), pack_texts(texts), strict=True):
        np.testing.assert_array_equal(packed, expected)


@pytest.mark.parametrize(
    "data", [b"\xfftrue", b"\xff1.5", b'\xff"text"', b"\xff{}", b"\xff[null]", b"\xff", b"\xff" + b"[" * 9_999]
)
def test_bytes_that_are_no_name_are_refused(data: bytes) -> None:
    with pytest.raises(SnapshotError, match="not a name"):
        unpack_names(*pack_bytes([b"good", data]))
