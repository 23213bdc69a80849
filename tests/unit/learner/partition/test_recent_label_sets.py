"""The buffer holds the most recent label sets, within two bounds and without retired labels."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamlearn.learner.partition.recent_label_sets import (
    MAXIMUM_MEMBERS,
    MAXIMUM_ROWS,
    empty_recent_sets,
    linear_recent_sets,
    recent_sets_push,
    recent_sets_retire,
)


def sets_of(state) -> list[list[int]]:
    offsets, members = linear_recent_sets(state)
    return [members[a:b].tolist() for a, b in pairwise(offsets)]


def last_within_bounds(rows: list[list[int]]) -> list[list[int]]:
    kept: list[list[int]] = []
    for row in rows:
        kept.append(row)
        while len(kept) > MAXIMUM_ROWS or sum(map(len, kept)) > MAXIMUM_MEMBERS:
            kept.pop(0)
    return kept


@settings(max_examples=30, deadline=None)
@given(rows=st.lists(st.lists(st.integers(0, 9), unique=True), max_size=50), slot=st.integers(0, 9))
def test_sets_are_returned_in_order_and_without_retired_labels(rows, slot):
    state = empty_recent_sets()
    for row in rows:
        recent_sets_push(state, np.array(row, np.int32))
    assert sets_of(state) == rows
    recent_sets_retire(state, slot)
    rest = [[label for label in row if label != slot] for row in rows]
    assert sets_of(state) == rest
    recent_sets_push(state, np.array([slot], np.int32))
    assert sets_of(state) == [*rest, [slot]]


@pytest.mark.parametrize("width", [0, 3, 40, 100, 700])
def test_the_oldest_sets_leave_first(width):
    rng = np.random.default_rng(width)
    rows = [sorted(rng.choice(4_000, rng.integers(0, width + 1), replace=False).tolist()) for _ in range(5_300)]
    state = empty_recent_sets()
    for row in rows:
        recent_sets_push(state, np.array(row, np.int32))
    kept = sets_of(state)
    assert kept == last_within_bounds(rows)
    assert len(kept) == MAXIMUM_ROWS or width > 100
    recent_sets_retire(state, 17)
    assert sets_of(state) == [[label for label in row if label != 17] for row in kept]
