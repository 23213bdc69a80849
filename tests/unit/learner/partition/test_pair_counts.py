"""Decayed counts of labels and pairs equal their definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamlearn.errors import SnapshotError
from streamlearn.learner.partition.pair_counts import (
    DECAY,
    RENORMALISE_ABOVE,
    PairCounts,
    jaccard,
    pair_counts_update,
)
from tests.naive.learner.partition import pair_counts as naive

LABELS = 6
rows_of_labels = st.lists(st.lists(st.integers(0, LABELS - 1), unique=True, max_size=LABELS), max_size=40)


def learn(counts: PairCounts, rows: list[list[int]]) -> None:
    for row in rows:
        pair_counts_update(counts.state, np.array(sorted(row), np.int32))


def assert_equal_to_naive(counts: PairCounts, rows: list[list[int]]) -> None:
    single, pair = naive.counts(rows, LABELS, DECAY)
    scale = counts.state.increment[0]
    np.testing.assert_allclose(counts.state.label_weight[:LABELS] / scale, single, rtol=1e-9)
    np.testing.assert_allclose(counts.state.pair_weight[:LABELS, :LABELS] / scale, pair, rtol=1e-9)
    for a in range(LABELS):
        for b in range(LABELS):
            if a != b:
                assert jaccard(counts.state, a, b) == pytest.approx(naive.jaccard(rows, a, b, DECAY), rel=1e-9)


@settings(max_examples=60, deadline=None)
@given(rows=rows_of_labels, renormalise_at=st.one_of(st.none(), st.integers(0, 40)))
def test_kernel_equals_twin(rows, renormalise_at):
    counts = PairCounts(LABELS)
    for i, row in enumerate(rows):
        if i == renormalise_at:
            factor = RENORMALISE_ABOVE * 0.99999 / counts.state.increment[0]
            for array in counts.state:
                array *= factor
        learn(counts, [row])
    assert counts.state.increment[0] <= RENORMALISE_ABOVE
    assert_equal_to_naive(counts, rows)


@settings(max_examples=40, deadline=None)
@given(rows=rows_of_labels, split=st.integers(0, 40))
def test_growth_equals_capacity_from_the_start(rows, split):
    first = [row for row in rows[:split] if all(label < 3 for label in row)]
    counts = PairCounts(3)
    learn(counts, first)
    counts.grow(LABELS)
    counts.grow(2)
    assert counts.capacity == LABELS
    learn(counts, rows[split:])
    whole = PairCounts(LABELS)
    learn(whole, first + rows[split:])
    for grown, straight in zip(counts.state, whole.state, strict=True):
        np.testing.assert_array_equal(grown, straight)


@settings(max_examples=40, deadline=None)
@given(rows=rows_of_labels, slot=st.integers(0, LABELS - 1), later=rows_of_labels)
def test_a_retired_label_counts_as_if_it_had_never_occurred(rows, slot, later):
    counts = PairCounts(LABELS)
    learn(counts, rows)
    counts.retire(slot)
    learn(counts, later)
    assert_equal_to_naive(counts, [[label for label in row if label != slot] for row in rows] + later)


def test_many_rows_with_renormalisations():
    counts = PairCounts(2)
    both = np.array([0, 1], np.int32)
    one = np.array([0], np.int32)
    for i in range(120_000):
        pair_counts_update(counts.state, both if i % 4 == 0 else one)
    scale = counts.state.increment[0]
    assert 1.0 <= scale <= RENORMALISE_ABOVE
    assert counts.state.label_weight[0] / scale == pytest.approx(1.0 / (1.0 - DECAY), rel=1e-9)
    assert jaccard(counts.state, 0, 1) == pytest.approx(0.25, rel=1e-3)


def test_counts_equal_those_restored_from_their_arrays():
    counts = PairCounts(8)
    learn(counts, [[0, 2], [1], []])
    arrays = counts.arrays(3)
    assert arrays["pair_weight"].shape == (3, 3)
    again = PairCounts(1)
    again.load_arrays(arrays)
    assert all(np.array_equal(arrays[name], again.arrays(3)[name]) for name in arrays)
    del arrays["increment"]
    with pytest.raises(SnapshotError, match="increment"):
        PairCounts(3).load_arrays(arrays)
    with pytest.raises(SnapshotError, match="2 labels"):
        PairCounts(3).load_arrays({**counts.arrays(3), "label_weight": np.zeros(2)})


def test_size_in_bytes():
    assert PairCounts.bytes_bound(50) == sum(array.nbytes for array in PairCounts(50).state)
