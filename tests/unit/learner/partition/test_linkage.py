"""The candidate tree equals that of a plain twin that compares all pairs of groups at every step."""

from __future__ import annotations

import time

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamlearn.learner.partition.linkage import candidate_tree
from streamlearn.learner.partition.pair_counts import PairCounts, jaccard, pair_counts_update
from tests.naive.learner.partition import linkage as naive
from tests.unit.learner.partition.trees import assert_sound, nested


def counts_of(rows: list[list[int]], labels: int) -> PairCounts:
    counts = PairCounts(labels)
    for row in rows:
        pair_counts_update(counts.state, np.array(sorted(row), np.int32))
    return counts


def themed_rows(rng: np.random.Generator, labels: int, rows: int, themes: int) -> list[list[int]]:
    """Return rows whose labels mostly come from one theme, a set of labels."""
    theme_of = rng.integers(0, themes, labels)
    found = []
    for _ in range(rows):
        theme = rng.integers(0, themes)
        own = np.flatnonzero(theme_of == theme)
        row = set(rng.choice(own, min(len(own), rng.integers(0, 5)), replace=False).tolist()) if len(own) else set()
        if rng.random() < 0.2:
            row.add(int(rng.integers(0, labels)))
        found.append(sorted(row))
    return found


def naive_tree(counts: PairCounts, labels: int):
    return naive.tree(counts.state.label_weight[:labels].tolist(), lambda a, b: jaccard(counts.state, a, b))


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 2**31), labels=st.integers(0, 60), rows=st.integers(0, 200), themes=st.integers(1, 12))
def test_kernel_equals_twin(seed, labels, rows, themes):
    rng = np.random.default_rng(seed)
    counts = counts_of(themed_rows(rng, labels, rows, themes) if labels else [[]] * rows, labels)
    tree = candidate_tree(counts.state, labels, labels + 5)
    assert_sound(tree)
    assert nested(tree) == naive_tree(counts, labels)


@settings(max_examples=40, deadline=None)
@given(
    labels=st.integers(17, 40),
    rows=st.lists(st.lists(st.integers(0, 16), unique=True, max_size=17), max_size=12),
)
def test_kernel_equals_twin_with_equal_similarities(labels, rows):
    counts = counts_of(rows, labels)
    assert nested(candidate_tree(counts.state, labels, labels)) == naive_tree(counts, labels)


@pytest.mark.parametrize("labels", [257, pytest.param(400, marks=pytest.mark.slow)])
def test_kernel_equals_twin_over_several_levels(labels):
    counts = counts_of(themed_rows(np.random.default_rng(labels), labels, 3_000, 25), labels)
    tree = candidate_tree(counts.state, labels, labels)
    assert_sound(tree)
    assert nested(tree) == naive_tree(counts, labels)


def test_labels_that_occur_together_get_one_node():
    rows = [[3 * (i % 8), 3 * (i % 8) + 1, 3 * (i % 8) + 2] for i in range(400)]
    tree = nested(candidate_tree(counts_of(rows, 24).state, 24, 24))
    for i in range(8):
        assert sum({3 * i, 3 * i + 1, 3 * i + 2} <= set(group) for group in tree) == 1


def test_groups_of_few_labels_have_at_most_half_of_them():
    rows = [[0, 1], [2, 3], [0, 1], [4]] * 10
    assert nested(candidate_tree(counts_of(rows, 6).state, 6, 6)) == ((0, 1), (2, 3), (4,), (5,))
    assert nested(candidate_tree(counts_of([[0, 1, 2]], 3).state, 3, 3)) == (0, 1, 2)


def test_labels_never_seen_are_in_the_tree():
    assert nested(candidate_tree(PairCounts(20).state, 20, 20)) == (tuple(range(16)), (16, 17, 18, 19))
    assert nested(candidate_tree(PairCounts(0).state, 0, 4)) == ()


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="measures compiled kernels")
def test_a_thousand_labels_take_less_than_a_third_of_a_second():
    counts = counts_of(themed_rows(np.random.default_rng(1), 983, 4_000, 60), 983)
    candidate_tree(counts.state, 10, 10)
    spent = []
    for _ in range(3):
        begin = time.thread_time()
        candidate_tree(counts.state, 983, 983)
        spent.append(time.thread_time() - begin)
    assert min(spent) < 0.3
