"""The encoder equals its naive twin in `tests/naive/encoder/row.py`, for any batches and any cached shapes."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streamlearn.encoder.row import SHAPE_CACHE_SIZE, EncodedRows, Encoder, Packed
from streamlearn.state.arrays import state_hash
from tests.naive.encoder.row import Encoder as NaiveEncoder

# Code points and UTF-16 units sort the last two differently; "a" with the text "b" is the feature "a=b".
NAMES = ["a", "b", "a=b", "B", "é", "10", "9", "", "\uffee", "\U0001f600"]

numbers = st.one_of(
    st.floats(-1e3, 1e3, width=32),
    st.sampled_from([0.0, -0.0, 1.0, 2.5, 0, 1, -3, True, False, 1e-20, 1e9]),
)
odd = st.sampled_from([float("nan"), float("inf"), float("-inf"), 1e200, 10**400, -(10**400), None, "b", "red", ""])
values = st.one_of(numbers, numbers, numbers, odd)
named_rows = st.dictionaries(st.sampled_from(NAMES), values, max_size=7)
vectors = st.lists(st.one_of(numbers, numbers, st.sampled_from([float("nan"), None])), max_size=6)
rows_of = st.lists(st.one_of(named_rows, named_rows, vectors), max_size=40)
encoders = st.fixed_dictionaries(
    {
        "maximum": st.sampled_from([1, 3, 8, 100]),
        "hashed": st.booleans(),
        "declared": st.sampled_from([(), ("b", "a"), ("z", "b", "10", "9")]),
    }
)
numeric_rows = st.lists(st.dictionaries(st.sampled_from(NAMES), numbers, max_size=6), max_size=40)


def row_of(encoded: EncodedRows, row: int) -> tuple[np.ndarray, ...]:
    entries = slice(encoded.starts[row], encoded.starts[row + 1])
    return tuple(view[entries] for view in (encoded.columns, encoded.values, encoded.rarity_weighted, encoded.bins))


def bits(encoded: EncodedRows, row: int) -> tuple[bytes, ...]:
    return tuple(view.tobytes() for view in row_of(encoded, row))


def add(total: dict[str, int], dropped: dict[str, int]) -> None:
    for reason, count in dropped.items():
        total[reason] = total.get(reason, 0) + count


class NoCache(dict[Any, Any]):
    """A shape cache that stores nothing."""

    def __setitem__(self, key: Any, value: Any) -> None:
        return


def assert_equals_twin(encoded: EncodedRows, row: int, expected: list[Any]) -> None:
    columns, scaled, weighted, bins = row_of(encoded, row)
    assert columns.tolist() == [entry.column for entry in expected]
    np.testing.assert_allclose(scaled, [entry.value for entry in expected], rtol=2e-5, atol=1e-6)
    np.testing.assert_allclose(weighted, [entry.rarity_weighted for entry in expected], rtol=2e-5, atol=1e-6)
    assert bins.tolist() == [entry.bin for entry in expected]


@settings(max_examples=300, deadline=None)
@given(options=encoders, rows=rows_of, asked=st.lists(named_rows, max_size=3))
@example({"maximum": 2, "hashed": False, "declared": ()}, [{"\U0001f600": 1.0, "\uffee": 2.0, "é": 3.0}], [])
@example({"maximum": 1, "hashed": False, "declared": ()}, [{"a": 2.0}, {"a": 1.401298464324817e-45}], [])
def test_the_encoder_equals_its_twin(options: dict[str, Any], rows: list[Any], asked: list[dict[str, Any]]) -> None:
    encoder = Encoder(**options)
    twin = NaiveEncoder(options["maximum"], options["hashed"], list(options["declared"]))
    encoded = encoder.encode(rows, observe=True)
    for row, x in enumerate(rows):
        assert_equals_twin(encoded, row, twin.encode(x))
    assert encoded.dropped == {reason: count for reason, count in twin.dropped.items() if count}
    assert encoder.columns.names == list(twin.column_of)
    assert encoder.rows_observed == len(rows)
    before = state_hash(encoder.arrays())
    frozen = encoder.encode(asked, observe=False)
    for row, x in enumerate(asked):
        assert_equals_twin(frozen, row, twin.encode(x, observe=False))
    assert state_hash(encoder.arrays()) == before


@settings(max_examples=200, deadline=None)
@given(options=encoders, rows=rows_of, cuts=st.sets(st.integers(0, 40)))
def test_rows_may_be_encoded_in_any_batches(options: dict[str, Any], rows: list[Any], cuts: set[int]) -> None:
    whole, parts = Encoder(**options), Encoder(**options)
    together = whole.encode(rows, observe=True)
    dropped: dict[str, int] = {}
    for first, last in pairwise(sorted({0, len(rows), *(cut for cut in cuts if cut < len(rows))})):
        part = parts.encode(rows[first:last], observe=True)
        add(dropped, part.dropped)
        for row in range(last - first):
            assert bits(part, row) == bits(together, first + row)
    assert dropped == together.dropped
    assert state_hash(whole.arrays()) == state_hash(parts.arrays())


@settings(max_examples=200, deadline=None)
@given(options=encoders, shapes=st.lists(st.lists(st.sampled_from(NAMES), unique=True), max_size=3), data=st.data())
def test_cached_shapes_change_nothing(options: dict[str, Any], shapes: list[list[str]], data: st.DataObject) -> None:
    rows: list[Any] = data.draw(
        st.lists(
            st.one_of(
                *(
                    st.tuples(*[values] * len(names)).map(lambda row, names=names: dict(zip(names, row, strict=True)))
                    for names in shapes
                ),
                vectors,
            ),
            max_size=30,
        )
    )
    cached, uncached = Encoder(**options), Encoder(**options)
    uncached._shapes = NoCache()
    ours, theirs = cached.encode(rows, observe=True), uncached.encode(rows, observe=True)
    assert not uncached._shapes
    assert ours.dropped == theirs.dropped
    for row in range(len(rows)):
        assert bits(ours, row) == bits(theirs, row)
    assert state_hash(cached.arrays()) == state_hash(uncached.arrays())


def test_the_shape_cache_is_bounded() -> None:
    encoder = Encoder(10_000)
    rows = [{f"f{row}": 1.0, "common": 2.0} for row in range(2 * SHAPE_CACHE_SIZE)]
    encoder.encode(rows, observe=True)
    assert len(encoder._shapes) == SHAPE_CACHE_SIZE
    assert tuple(rows[-1]) in encoder._shapes
    assert tuple(rows[0]) not in encoder._shapes


@settings(max_examples=100, deadline=None)
@given(rows=numeric_rows, data=st.data())
def test_the_order_of_names_in_a_row_does_not_matter(rows: list[dict[str, Any]], data: st.DataObject) -> None:
    shuffled = [dict(data.draw(st.permutations(list(row.items())))) for row in rows]
    one, other = Encoder(100), Encoder(100)
    ours, theirs = one.encode(rows, observe=True), other.encode(shuffled, observe=True)
    for row in range(len(rows)):
        assert bits(ours, row) == bits(theirs, row)
    assert one.columns.names == other.columns.names
    assert state_hash(one.arrays()) == state_hash(other.arrays())


@settings(max_examples=100, deadline=None)
@given(rows=st.lists(named_rows, max_size=30))
def test_new_columns_are_scaled_like_declared_ones(rows: list[Any]) -> None:
    growing = Encoder(100)
    ours = growing.encode(rows, observe=True)
    names = growing.columns.names
    declared = Encoder(100, declared=names)
    theirs = declared.encode(rows, observe=True)
    for row in range(len(rows)):
        assert bits(ours, row) == bits(theirs, row)
    assert state_hash(growing.arrays()) == state_hash(declared.arrays())


@settings(max_examples=100, deadline=None)
@given(options=encoders, before=rows_of, after=rows_of)
def test_a_restored_encoder_encodes_like_one_that_was_never_stopped(
    options: dict[str, Any], before: list[Any], after: list[Any]
) -> None:
    encoder, restored = Encoder(**options), Encoder(**options)
    encoder.encode(before, observe=True)
    restored.load_arrays({name: array.copy() for name, array in encoder.arrays().items()})
    ours, theirs = encoder.encode(after, observe=True), restored.encode(after, observe=True)
    for row in range(len(after)):
        assert bits(ours, row) == bits(theirs, row)
    assert state_hash(encoder.arrays()) == state_hash(restored.arrays())


@settings(max_examples=200, deadline=None)
@given(maximum=st.integers(1, 50), rows=st.lists(st.dictionaries(st.text(max_size=8), values, max_size=8), max_size=20))
def test_hashed_columns_stay_below_their_bound_and_no_feature_is_dropped(
    maximum: int, rows: list[dict[str, Any]]
) -> None:
    encoder = Encoder(maximum, hashed=True)
    encoded = encoder.encode(rows, observe=True)
    assert encoder.columns.count == maximum
    assert "features_full" not in encoded.dropped
    assert all(array.size <= maximum for name, array in encoder.arrays().items() if name != "columns.name_offsets")
    for row in range(len(rows)):
        columns, *_ = row_of(encoded, row)
        assert ((columns >= 0) & (columns < maximum)).all()
        assert (np.diff(columns) > 0).all()


def test_absent_null_and_zero() -> None:
    """Absent and null are no entries. An explicit 0 is one: it changes a dense column, a sparse one only counts it."""
    dense = [{"d": 10.0 + row % 2, "s": 1.0} for row in range(20)]
    sparse = [{"d": 10.0 + row % 2} for row in range(60)]
    encoder = Encoder(10)
    encoder.encode(dense + sparse, observe=True)
    assert encoder.arrays()["scaling.dense"].tolist() == [1, 1]
    encoder.encode([{"s": 1.0}], observe=True)
    assert encoder.arrays()["scaling.dense"].tolist() == [1, 0]
    absent, null, zero, sparse_zero = (
        row_of(encoder.encode([x], observe=False), 0) for x in ({}, {"d": None, "s": None}, {"d": 0.0}, {"s": 0.0})
    )
    assert absent[0].size == null[0].size == 0
    assert zero[0].tolist() == [0]
    assert zero[1].tolist() == [-1.0]
    assert zero[3].tolist() == [0]
    assert sparse_zero[0].tolist() == [1]
    assert sparse_zero[1].tolist() == [0.0]
    assert sparse_zero[3].tolist() == [0]


@pytest.mark.parametrize("gap", [0, 50], ids=["from the first row", "from row 50"])
def test_density_has_hysteresis_and_counts_from_the_row_of_first_appearance(gap: int) -> None:
    """From 10 rows on a column becomes dense above .55, and sparse again below .45."""
    encoder = Encoder(4)
    encoder.encode([{"other": 1.0}] * gap, observe=True)
    shares, modes = [], []
    set_rows = 0
    pattern = [1.0, *[0.0] * 5, *[1.0] * 30, *[0.0] * 40, *[1.0] * 60]
    for rows, value in enumerate(pattern, 1):
        encoder.encode([{"f": value}], observe=True)
        set_rows += value != 0.0
        shares.append(set_rows / rows)
        modes.append(bool(encoder.arrays()["scaling.dense"][encoder.columns.find("f")]))
    expected, dense = [], False
    for rows, share in enumerate(shares, 1):
        dense = share >= 0.45 if dense else rows >= 10 and share > 0.55
        expected.append(dense)
    assert modes == expected
    between = {mode for share, mode in zip(shares, modes, strict=True) if 0.45 <= share <= 0.55}
    assert between == {True, False}, "between the bounds a column stays dense or sparse"


def test_a_measurement_in_the_first_row_is_dense_from_the_third_row_on() -> None:
    """A column that appears later, or has one value only, or is rarely nonzero, is not."""
    encoder = Encoder(8)
    dense_after: dict[str, int] = {}
    for rows in range(1, 16):
        row = {"measured": 20.0 + rows % 4, "constant": 1.0, "word": float(rows == 1) * 0.5}
        if rows > 1:
            row["late"] = float(rows)
        encoder.encode([row], observe=True)
        for name in row:
            if encoder.arrays()["scaling.dense"][encoder.columns.find(name)]:
                dense_after.setdefault(name, rows)
    assert dense_after == {"measured": 3, "constant": 10, "late": 11}


def test_a_value_far_below_the_scale_of_its_column_is_finite() -> None:
    encoded = Encoder(4).encode([{"f": 0.0}, {"f": 1e140}, {"f": 1.0}], observe=True)
    assert np.isfinite(encoded.values).all()
    assert np.isfinite(encoded.rarity_weighted).all()


@pytest.mark.parametrize(
    "odd", [{"b": "red", "a": 1.0}, {"b": None, "a": 1.0}, {"b": 10**400, "a": 1.0}, {"b": True, "a": 2}]
)
def test_packed_instances_are_encoded_like_unpacked_ones(odd: dict[str, Any]) -> None:
    """A shape that is not in column order, one that is not cached, and values that are not plain numbers."""
    instances: list[Any] = [{"b": 1.5, "a": -2.0}, {"c": 1.0}, odd, {"b": 2, "a": 0.25}, [3.0, 4.0]]
    plain, packed = Encoder(8), Encoder(8)
    for each in (plain, packed):
        each.encode(instances[:1], observe=True)
    before = state_hash(packed.arrays())
    ready = [packed.pack(instance) for instance in instances]
    assert state_hash(packed.arrays()) == before
    assert isinstance(ready[0], Packed)
    assert isinstance(ready[3], Packed)
    assert not isinstance(ready[1], Packed)
    for one, other in zip(plain.encode(instances, observe=True), packed.encode(ready, observe=True), strict=True):
        assert str(one) == str(other)
    assert state_hash(plain.arrays()) == state_hash(packed.arrays())
