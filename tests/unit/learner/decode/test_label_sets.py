"""The pool of label sets equals its plain twin, and decodes by the whole formula."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamlearn.errors import SnapshotError
from streamlearn.learner.decode.label_sets import (
    CAPACITY,
    LONGEST,
    RENORMALISE_AT,
    LabelSets,
    label_sets_decode_row,
    label_sets_learn_row,
    label_sets_rows,
)
from tests.naive.label_sets import LabelSets as NaiveLabelSets

LABELS = 7
rows_of_labels = st.lists(st.sets(st.integers(0, LABELS - 1)), max_size=60)


def pool_of(labels: int = LABELS) -> LabelSets:
    pool = LabelSets()
    pool.grow(labels)
    return pool


def learn(pool: LabelSets, row: set[int]) -> None:
    label_sets_learn_row(pool.state, np.array(sorted(row), np.int32))


def sets_of(pool: LabelSets) -> dict[frozenset[int], float]:
    state = pool.state
    return {
        frozenset(state.members[i, : state.length[i]].tolist()): state.count[i] / state.weights[0]
        for i in range(state.size[0])
    }


def assert_equal_to_naive(pool: LabelSets, naive: NaiveLabelSets, labels: int = LABELS) -> None:
    assert label_sets_rows(pool.state) == pytest.approx(naive.rows, rel=1e-9)
    assert sets_of(pool) == pytest.approx(naive.sets, rel=1e-9)
    assert pool.state.size[0] == len(naive.sets)
    counts = pool.state.labels[:labels] / pool.state.weights[0]
    np.testing.assert_allclose(counts, [naive.labels.get(label, 0.0) for label in range(labels)], rtol=1e-9)
    size = pool.state.size[0]
    np.testing.assert_allclose(pool.state.log_count[:size], np.log(pool.state.count[:size]), rtol=1e-12)


@settings(max_examples=60, deadline=None)
@given(rows=rows_of_labels, renormalise_at=st.one_of(st.none(), st.integers(0, 60)))
def test_learning_equals_twin(rows, renormalise_at):
    pool, naive = pool_of(), NaiveLabelSets()
    for i, row in enumerate(rows):
        if i == renormalise_at:
            state = pool.state
            factor = RENORMALISE_AT * 0.9999 / state.weights[0]
            for array in (state.count, state.labels, state.weights):
                array *= factor
            size = int(state.size[0])
            state.log_count[:size] = np.log(state.count[:size])
        learn(pool, row)
        naive.learn(row)
    assert pool.state.weights[0] <= RENORMALISE_AT
    assert_equal_to_naive(pool, naive)


@settings(max_examples=80, deadline=None)
@given(
    rows=st.lists(st.sets(st.integers(0, LABELS - 1)), min_size=1, max_size=60),
    logits=st.lists(st.floats(-9.0, 9.0, width=32), min_size=LABELS, max_size=LABELS),
    labels=st.sampled_from([1, LABELS]),
)
def test_decoding_equals_twin(rows, logits, labels):
    pool, naive = pool_of(), NaiveLabelSets()
    for row in rows:
        row = {label for label in row if label < labels}
        learn(pool, row)
        naive.learn(row)
    best = label_sets_decode_row(pool.state, np.array(logits, np.float32), labels, np.zeros(LABELS, np.float32))
    found = frozenset(pool.state.members[best, : pool.state.length[best]].tolist())
    scores = {members: naive.score(members, logits[:labels]) for members in naive.sets}
    assert scores[found] == pytest.approx(max(scores.values()), abs=1e-4)


def test_of_equal_sets_the_first_is_chosen():
    pool = pool_of(4)
    for row in ({0}, {1}, {2}):
        learn(pool, row)
    pool.state.count[:3] = 1.0
    pool.state.log_count[:3] = 0.0
    pool.state.labels[:] = 1.0
    assert label_sets_decode_row(pool.state, np.zeros(4, np.float32), 4, np.zeros(4, np.float32)) == 0


def test_an_empty_pool_has_no_best_set():
    logits = np.zeros(LABELS, np.float32)
    assert label_sets_decode_row(pool_of().state, logits, LABELS, logits.copy()) == -1


def test_the_rarest_set_leaves_a_full_pool():
    rng = np.random.default_rng(6)
    pool, naive = pool_of(40), NaiveLabelSets()
    for _ in range(2_500):
        row = set(rng.choice(40, rng.integers(0, 4), replace=False).tolist())
        learn(pool, row)
        naive.learn(row)
    assert pool.state.size[0] == CAPACITY
    assert_equal_to_naive(pool, naive, 40)


def test_wide_sets_count_for_their_labels_only():
    pool, naive = pool_of(80), NaiveLabelSets()
    for size in (LONGEST, LONGEST + 1, 80):
        learn(pool, set(range(size)))
        naive.learn(set(range(size)))
    assert pool.state.size[0] == 1
    assert_equal_to_naive(pool, naive, 80)


@settings(max_examples=50, deadline=None)
@given(rows=rows_of_labels, slot=st.integers(0, LABELS - 1), later=rows_of_labels)
def test_retiring_equals_twin(rows, slot, later):
    pool, naive = pool_of(), NaiveLabelSets()
    for row in rows:
        learn(pool, row)
        naive.learn(row)
    pool.retire(slot)
    naive.retire(slot)
    for row in later:
        learn(pool, row)
        naive.learn(row)
    assert_equal_to_naive(pool, naive)


@settings(max_examples=30, deadline=None)
@given(rows=rows_of_labels, stop=st.integers(0, 60))
def test_resuming_equals_never_stopping(rows, stop):
    whole, resumed = pool_of(), pool_of()
    for i, row in enumerate(rows):
        if i == stop:
            arrays = {name: array.copy() for name, array in resumed.arrays(LABELS).items()}
            resumed = LabelSets()
            resumed.load_arrays(arrays, LABELS)
        learn(whole, row)
        learn(resumed, row)
    for name, array in whole.arrays(LABELS).items():
        np.testing.assert_array_equal(resumed.arrays(LABELS)[name], array, err_msg=name)


def test_bounds_and_snapshots_that_do_not_fit():
    pool = pool_of()
    learn(pool, {1, 2})
    assert sum(array.nbytes for array in pool.state) <= LabelSets.bytes_bound(pool.state.labels.size) + 64
    arrays = pool.arrays(LABELS)
    with pytest.raises(SnapshotError, match="label sets"):
        pool_of().load_arrays({**arrays, "members": arrays["members"][:, :3]}, LABELS)
