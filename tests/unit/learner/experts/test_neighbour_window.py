"""Neighbours' window: a row whose truth is amended votes as in the twin, and no other row changes."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamlearn.learner.experts.neighbour_window import (
    MAXIMUM_KNOWN,
    WINDOW_ROWS,
    WindowCursor,
    window_amend,
    window_find,
    window_number_row,
)
from tests.unit.learner.experts.test_neighbours import Instance, Pair, random_instance, random_truth, scale_to_unit_norm


class AmendedPair(Pair):
    """A window and its twin whose rows are the learnt rows 0, 3, 6, ..."""

    def learn(self, x: Instance, truth: dict[int, int], complete: bool = True, *, twin: bool = True) -> None:
        cursor = self.owner.state.cursor
        number = int(cursor[WindowCursor.OLDEST] + cursor[WindowCursor.ROWS])
        super().learn(x, truth, complete, twin=twin)
        window_number_row(self.owner.state, number, 3 * number)

    def amend(self, number: int, truth: dict[int, int], complete: bool) -> None:
        found = window_find(self.owner.state, 3 * number)
        if found >= 0:
            signs = np.full(self.labels, 0 if complete else -1, np.int8)
            for label, sign in truth.items():
                signs[label] = sign
            members = np.flatnonzero(signs == 1).astype(np.int32)
            window_amend(self.owner.state, found, signs, members, complete, self.labels)
        self.naive.amend(number, truth, complete)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31), rows=st.integers(1, 60), amendments=st.integers(1, 20))
def test_amended_rows_equal_twin(seed, rows, amendments):
    generator = random.Random(seed)
    pair = AmendedPair(12, 6)
    for _ in range(rows):
        pair.learn(random_instance(generator, 12, "mixed"), *random_truth(generator, 6))
    for _ in range(amendments):
        pair.amend(generator.randrange(rows), *random_truth(generator, 6))
    pair.learn(random_instance(generator, 12, "mixed"), *random_truth(generator, 6))
    pair.check(random_instance(generator, 12, "dense"), np.array([0.001, 0.1, 0.2, 0.5, 0.9, 0.99]))
    assert int(pair.owner.state.cursor[WindowCursor.KNOWN]) == sum(row.known for row in pair.naive.rows)


@pytest.mark.parametrize("amended", [5, 39, 44], ids=["an old row", "a later row", "the newest row"])
def test_amending_with_more_known_labels_drops_the_oldest_rows(amended):
    labels = 5_000
    pair = AmendedPair(3, labels)
    truth = dict.fromkeys(range(labels), 0)
    for row in range(45):
        pair.learn({row % 3: 1.0}, {**truth, row: 1} if row != amended else {7: 1}, row == amended)
    pair.amend(amended, {**truth, 9: 1}, False)
    assert int(pair.owner.state.cursor[WindowCursor.KNOWN]) <= MAXIMUM_KNOWN
    pair.check({0: 0.6, 1: 0.8}, np.full(labels, 0.2))


def test_a_row_that_left_or_was_never_kept_is_not_found():
    pair = AmendedPair(3, 1)
    assert window_find(pair.owner.state, 0) == -1
    for row in range(WINDOW_ROWS + 2):
        pair.learn(scale_to_unit_norm({row % 3: 1.0}), {0: 1}, twin=False)
    state = pair.owner.state
    in_window = [2, 3, WINDOW_ROWS, WINDOW_ROWS + 1]
    assert [window_find(state, 3 * row) for row in (1, *in_window)] == [-1, *in_window]
    assert [window_find(state, row) for row in (7, 3 * WINDOW_ROWS + 6, -1)] == [-1, -1, -1]
    again = AmendedPair(3, 1)
    again.owner.load_arrays(pair.owner.arrays(), 3, 1)
    assert window_find(again.owner.state, 3 * 2) == 0, "the oldest row that was kept"
