"""A row of the neighbours' window whose truth is amended votes as its twin does; other rows stay as they were."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamlearn.learner.experts.neighbour_window import (
    HELD_KNOWN,
    KNOWN,
    OLDEST,
    ROWS,
    WINDOW,
    window_amend,
    window_find,
    window_number_row,
)
from tests.unit.learner.experts.test_neighbours import Instance, Pair, generated, truth_of, unit


class Amended(Pair):
    """A pair whose rows are learnt rows 0, 3, 6, ..."""

    def learn(self, x: Instance, truth: dict[int, int], complete: bool = True, *, twin: bool = True) -> None:
        cursor = self.owner.state.cursor
        number = int(cursor[OLDEST] + cursor[ROWS])
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
    pair = Amended(12, 6)
    for _ in range(rows):
        pair.learn(generated(generator, 12, "mixed"), *truth_of(generator, 6))
    for _ in range(amendments):
        pair.amend(generator.randrange(rows), *truth_of(generator, 6))
    pair.learn(generated(generator, 12, "mixed"), *truth_of(generator, 6))
    pair.check(generated(generator, 12, "dense"), np.array([0.001, 0.1, 0.2, 0.5, 0.9, 0.99]))
    assert int(pair.owner.state.cursor[HELD_KNOWN]) == sum(row.known for row in pair.naive.rows)


@pytest.mark.parametrize("amended", [5, 39, 44], ids=["an old row", "a later one", "the newest"])
def test_an_amended_row_that_needs_more_room_pushes_old_ones_out(amended):
    labels = 5_000
    pair = Amended(3, labels)
    truth = dict.fromkeys(range(labels), 0)
    for row in range(45):
        pair.learn({row % 3: 1.0}, {**truth, row: 1} if row != amended else {7: 1}, row == amended)
    pair.amend(amended, {**truth, 9: 1}, False)
    assert int(pair.owner.state.cursor[HELD_KNOWN]) <= KNOWN
    pair.check({0: 0.6, 1: 0.8}, np.full(labels, 0.2))


def test_a_row_that_left_or_was_never_kept_is_not_found():
    pair = Amended(3, 1)
    assert window_find(pair.owner.state, 0) == -1
    for row in range(WINDOW + 2):
        pair.learn(unit({row % 3: 1.0}), {0: 1}, twin=False)
    state = pair.owner.state
    assert [window_find(state, 3 * row) for row in (1, 2, 3, WINDOW, WINDOW + 1)] == [-1, 2, 3, WINDOW, WINDOW + 1]
    assert [window_find(state, row) for row in (7, 3 * WINDOW + 6, -1)] == [-1, -1, -1]
    again = Amended(3, 1)
    again.owner.load_arrays(pair.owner.arrays(), 3, 1)
    assert window_find(again.owner.state, 3 * 2) == 0, "the oldest row that was kept"
