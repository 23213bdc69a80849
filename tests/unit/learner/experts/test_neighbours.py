"""Neighbours: search and votes equal the comparison with every row of the window, however columns are stored."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamlearn.errors import SnapshotError
from streamlearn.learner.experts import neighbour_search
from streamlearn.learner.experts.neighbour_index import IndexColumn, IndexCursor
from streamlearn.learner.experts.neighbour_search import (
    AGE_BITS,
    NEIGHBOURS,
    OLDEST_AGE,
    Found,
    Vote,
    neighbours_search_row,
    neighbours_weigh_row,
)
from streamlearn.learner.experts.neighbour_votes import neighbours_label_sets, neighbours_predict_row
from streamlearn.learner.experts.neighbour_window import (
    MAXIMUM_ENTRIES,
    MAXIMUM_KNOWN,
    WINDOW_ROWS,
    WindowCursor,
    WindowRow,
    window_push,
)
from streamlearn.learner.experts.neighbours import Neighbours
from streamlearn.learner.label_sets import label_set_code
from tests.naive.learner.experts import neighbours as naive

Instance = dict[int, float]


def to_arrays(x: Instance) -> tuple[np.ndarray, np.ndarray]:
    columns = sorted(x)
    return np.array(columns, np.int32), np.array([x[column] for column in columns], np.float32)


def scale_to_unit_norm(x: Instance) -> Instance:
    norm = sum(value * value for value in x.values()) ** 0.5
    return {column: value / norm for column, value in x.items()} if norm else x


class Pair:
    """The window and its twin, which learn the same rows."""

    def __init__(self, columns: int, labels: int, capacity: int = 1) -> None:
        self.labels = labels
        self.owner = Neighbours()
        self.owner.grow(capacity * columns, capacity * labels)
        self.naive = naive.Neighbours()

    def learn(self, x: Instance, truth: dict[int, int], complete: bool = True, *, twin: bool = True) -> None:
        signs = np.full(self.labels, 0 if complete else -1, np.int8)
        for label, sign in truth.items():
            signs[label] = sign
        members = np.array(sorted(label for label, sign in truth.items() if sign == 1), np.int32)
        window_push(self.owner.state, *to_arrays(x), signs, members, complete, self.labels)
        if twin:
            self.naive.learn(x, truth, complete)

    def search(self, x: Instance) -> tuple[list[int], list[float]]:
        neighbours_search_row(self.owner.state, self.owner.scratch, *to_arrays(x))
        found = int(self.owner.scratch.found[Found.NEIGHBOURS])
        similarity = (self.owner.scratch.keys[:found] >> AGE_BITS).astype(np.int32).view(np.float32)
        return self.owner.scratch.row[:found].tolist(), similarity.tolist()

    def logits(self, slow: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        wide, close = np.full((2, self.labels), np.nan, np.float32)
        neighbours_predict_row(self.owner.state, self.owner.scratch, slow, self.labels, wide, close)
        return wide, close

    def check_search(self, x: Instance) -> list[tuple[np.float32, naive.Row]]:
        rows, similarities = self.search(x)
        expected = self.naive.search(x)
        assert similarities == [float(s) for s, _ in expected]
        assert rows == [row.number % WINDOW_ROWS for _, row in expected]
        weights = self.owner.scratch.weight[:, : len(rows)]
        assert weights[Vote.WIDE].tolist() == [float(naive.wide_weight(s)) for s, _ in expected]
        assert weights[Vote.CLOSE].tolist() == [float(naive.close_weight(s)) for s, _ in expected]
        return expected

    def check(self, x: Instance, slow: np.ndarray) -> None:
        expected = self.check_search(x)
        wide, close = self.logits(slow)
        rows = len(self.naive.rows)
        for label in range(self.labels):
            assert wide[label] == pytest.approx(naive.vote(expected, rows, label, slow[label], True), abs=2e-4)
            assert close[label] == pytest.approx(naive.vote(expected, rows, label, slow[label], False), abs=2e-4)


def random_instance(generator: random.Random, columns: int, kind: str) -> Instance:
    """Return an instance with few different values, so that there are many ties."""
    chance = {"sparse": 0.05, "mixed": 0.15, "dense": 1.0}[kind]
    x: Instance = {}
    for column in range(columns):
        share = 0.8 if kind == "mixed" and column % 5 == 0 else chance
        if generator.random() < share:
            x[column] = generator.choice((-1.0, -0.5, 0.0, 0.5, 1.0, 1.0, 2.0))
    return scale_to_unit_norm(x)


def random_truth(generator: random.Random, labels: int) -> tuple[dict[int, int], bool]:
    if generator.random() < 0.3:
        return {label: generator.randrange(2) for label in range(labels) if generator.random() < 0.5}, False
    return {label: 1 for label in range(labels) if generator.random() < 0.3}, True


@settings(max_examples=60, deadline=None)
@given(
    x=st.dictionaries(st.integers(0, 9), st.sampled_from([-1.0, -0.25, 0.0, 0.5, 2.0])),
    labels=st.integers(0, 9),
    seed=st.integers(0, 99),
)
def test_weighing_equals_twin(x, labels, seed):
    weights = np.random.default_rng(seed).normal(0.0, 3.0, (10, 9)).astype(np.float32)
    out = np.full(len(x), np.nan, np.float32)
    neighbours_weigh_row(weights, *to_arrays(x), labels, out)
    expected = naive.weigh(x, {column: row[:labels].tolist() for column, row in enumerate(weights)})
    np.testing.assert_allclose(out, [expected[column] for column in sorted(x)], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ["sparse", "mixed", "dense"])
@pytest.mark.parametrize(("columns", "labels"), [(40, 5), (3, 1)])
def test_search_and_votes_equal_twin(kind, columns, labels):
    generator = random.Random(columns)
    pair = Pair(columns, labels)
    slow = np.array([generator.random() for _ in range(labels)])
    for row in range(420):
        x = random_instance(generator, columns, kind) if row % 13 else {}
        if row % 5 == 0:
            pair.check(x, slow)
        pair.learn(x, *random_truth(generator, labels))
    if columns == 40:
        assert (pair.owner.state.inverted.columns[:, IndexColumn.DENSE] > 0).any() == (kind != "sparse")


rows_of_instances = st.lists(
    st.tuples(
        st.dictionaries(st.integers(0, 5), st.sampled_from([-1.0, 0.0, 0.25, 1.0]), max_size=6),
        st.dictionaries(st.integers(0, 3), st.integers(0, 1), max_size=4),
        st.booleans(),
    ),
    max_size=70,
)


@settings(max_examples=60, deadline=None)
@given(rows=rows_of_instances, x=st.dictionaries(st.integers(0, 5), st.floats(-1, 1, width=32), max_size=6))
def test_any_rows_equal_twin(rows, x):
    pair = Pair(6, 4)
    for instance, truth, complete in rows:
        pair.learn(scale_to_unit_norm(instance), truth, complete)
    pair.check(scale_to_unit_norm(x), np.array([0.001, 0.2, 0.5, 0.99]))


def test_without_neighbours_the_rate_is_predicted():
    pair = Pair(4, 3)
    slow = np.array([0.05, 0.5, 0.00001])
    expected = np.log([0.05 / 0.95, 1.0, 0.0005 / 0.9995])
    for x in ({}, {0: 1.0}):
        assert pair.search(x) == ([], [])
        np.testing.assert_allclose(pair.logits(slow), [expected, expected], atol=1e-4)
    pair.learn({1: 1.0}, {0: 1})
    assert pair.search({0: 1.0, 1: -1.0}) == ([], [])
    np.testing.assert_allclose(pair.logits(slow), [expected, expected], atol=1e-4)


def test_a_label_that_no_neighbour_knows_gets_its_rate():
    pair = Pair(2, 3)
    pair.learn({0: 1.0}, {0: 1, 1: 0}, False)
    pair.search({0: 1.0})
    wide, close = pair.logits(np.array([0.3, 0.3, 0.3]))
    for logits in (wide, close):
        assert logits[0] > 0.3
        assert logits[1] < np.log(0.3 / 0.7) - 0.3
        assert logits[2] == pytest.approx(np.log(0.3 / 0.7), abs=1e-5)


def test_complete_rows_are_negative_for_a_late_label_and_partial_ones_unknown():
    pair = Pair(1, 2)
    pair.owner.grow(1, 8)
    pair.learn({0: 1.0}, {0: 1})
    pair.labels = 3
    pair.check({0: 1.0}, np.array([0.2, 0.2, 0.2]))
    assert pair.logits(np.array([0.2, 0.2, 0.2]))[0][2] < np.log(0.2 / 0.8) - 0.3
    pair.learn({0: 1.0}, {1: 1}, False)
    pair.check({0: 1.0}, np.array([0.2, 0.2, 0.2]))


def test_of_equal_rows_the_most_recent_are_found_first():
    pair = Pair(1, 1)
    for _ in range(WINDOW_ROWS + 700):
        pair.learn({0: 1.0}, {}, twin=False)
    rows, similarities = pair.search({0: 1.0})
    assert rows == [(WINDOW_ROWS + 700 - 1 - age) % WINDOW_ROWS for age in range(NEIGHBOURS)]
    assert similarities == [1.0] * NEIGHBOURS


def test_the_oldest_rows_of_a_full_window_are_found():
    """The largest ages have to fit into the bits that a sort key has for them."""
    pair = Pair(2, 1)
    for row in range(WINDOW_ROWS):
        pair.learn({0 if row < NEIGHBOURS else 1: 1.0}, {}, twin=False)
    rows, similarities = pair.search({0: 1.0})
    assert rows == list(reversed(range(NEIGHBOURS)))
    assert similarities == [1.0] * NEIGHBOURS


def test_a_sort_key_fits_into_int64():
    largest = (int(np.float32(1.0).view(np.int32)) << AGE_BITS) + OLDEST_AGE
    assert largest <= np.iinfo(np.int64).max
    assert OLDEST_AGE >= WINDOW_ROWS - 1


def test_all_kernels_take_the_bits_of_a_sort_key_from_the_module(monkeypatch):
    """With one more bit for the age, the interpreted kernels find the same rows: no number of bits is written out."""
    pair, generator = fill_window()
    x = random_instance(generator, 20, "mixed")
    rows, similarities = pair.search(x)
    select: Any = neighbour_search._select
    search: Any = neighbours_search_row
    monkeypatch.setattr(neighbour_search, "AGE_BITS", AGE_BITS + 1)
    monkeypatch.setattr(neighbour_search, "OLDEST_AGE", 2 * OLDEST_AGE + 1)
    monkeypatch.setattr(neighbour_search, "_select", getattr(select, "py_func", select))
    getattr(search, "py_func", search)(pair.owner.state, pair.owner.scratch, *to_arrays(x))
    keys = pair.owner.scratch.keys[: len(rows)]
    assert pair.owner.scratch.row[: len(rows)].tolist() == rows
    assert (keys >> (AGE_BITS + 1)).astype(np.int32).view(np.float32).tolist() == similarities
    assert len(rows) == NEIGHBOURS


def test_rows_beyond_the_window_leave():
    generator = random.Random(4)
    pair = Pair(30, 3)
    for row in range(WINDOW_ROWS + 900):
        x = random_instance(generator, 30, "mixed" if row % 1000 < 700 else "sparse")
        pair.learn(x, *random_truth(generator, 3))
    assert int(pair.owner.state.cursor[WindowCursor.ROWS]) == WINDOW_ROWS
    for kind in ("sparse", "mixed", "dense") * 2:
        pair.check(random_instance(generator, 30, kind), np.array([0.1, 0.4, 0.01]))


def test_rows_with_many_entries_drop_the_oldest_rows():
    generator = np.random.default_rng(2)
    pair = Pair(5_000, 2)
    for row in range(700):
        pair.learn({row % 11: 0.8, 11 + row % 3: 0.6}, {row % 2: 1})
    wide = generator.normal(size=(100, 5_000)).astype(np.float32) / 70
    for row in range(90):
        pair.learn({column: float(value) for column, value in enumerate(wide[row])}, {0: 1})
    state = pair.owner.state
    kept = int(state.cursor[WindowCursor.ROWS])
    assert kept == 80
    assert int(state.cursor[WindowCursor.ENTRIES]) <= MAXIMUM_ENTRIES
    assert int(state.inverted.cursor[IndexCursor.SLOTS]) <= 4 * kept
    pair.check({column: float(value) for column, value in enumerate(wide[95])}, np.array([0.1, 0.4]))


def test_known_labels_are_bounded():
    labels = 5_000
    pair = Pair(3, labels)
    truth = dict.fromkeys(range(labels), 0)
    for row in range(45):
        pair.learn({row % 3: 1.0}, {**truth, row: 1}, False)
    state = pair.owner.state
    assert int(state.cursor[WindowCursor.ROWS]) == MAXIMUM_KNOWN // labels
    assert int(state.cursor[WindowCursor.KNOWN]) == MAXIMUM_KNOWN
    pair.check({0: 0.6, 1: 0.8}, np.full(labels, 0.2))


def test_a_row_that_cannot_fit_is_not_kept():
    pair = Pair(3, 2)
    pair.learn({0: 1.0}, {1: 1})
    columns, values = np.zeros(MAXIMUM_ENTRIES + 1, np.int32), np.ones(MAXIMUM_ENTRIES + 1, np.float32)
    nothing = np.zeros(0, np.int32)
    window_push(pair.owner.state, columns, values, np.zeros(2, np.int8), nothing, True, 2)
    unknown = np.zeros(MAXIMUM_KNOWN + 1, np.int8)
    window_push(pair.owner.state, columns[:1], values[:1], unknown, nothing, False, MAXIMUM_KNOWN + 1)
    assert pair.search({0: 1.0}) == ([0], [1.0])


def fill_window(rows: int = 300, labels: int = 6, capacity: int = 1) -> tuple[Pair, random.Random]:
    generator = random.Random(rows)
    pair = Pair(20, labels, capacity)
    for _ in range(rows):
        pair.learn(random_instance(generator, 20, "mixed"), *random_truth(generator, labels))
    return pair, generator


def test_a_retired_label_gets_no_vote():
    pair, generator = fill_window()
    held = int(pair.owner.state.cursor[WindowCursor.KNOWN])
    pair.owner.retire(2)
    pair.naive.retire(2)
    assert int(pair.owner.state.cursor[WindowCursor.KNOWN]) == sum(row.known for row in pair.naive.rows) < held
    slow = np.full(6, 0.3)
    for _ in range(20):
        pair.check(random_instance(generator, 20, "mixed"), slow)
        pair.learn(random_instance(generator, 20, "mixed"), *random_truth(generator, 6))
    for row in pair.naive.rows:
        members = np.array(sorted(row.positives), np.int32)
        assert pair.owner.state.rows[row.number, WindowRow.CODE] == label_set_code(members, 0, members.size)


def test_retiring_in_an_empty_window():
    pair = Pair(2, 2)
    pair.owner.retire(1)
    assert pair.owner.arrays()["known"].size == 0


def test_label_sets_of_complete_neighbours():
    pair, generator = fill_window()
    x = random_instance(generator, 20, "mixed")
    complete = [(s, row) for s, row in pair.check_search(x) if row.complete]
    codes, weights = np.zeros(NEIGHBOURS, np.int64), np.zeros(NEIGHBOURS)
    starts, members = np.zeros(NEIGHBOURS + 1, np.int64), np.zeros(NEIGHBOURS * 6, np.int32)
    size = neighbours_label_sets(pair.owner.state, pair.owner.scratch, codes, weights, starts, members)
    assert 0 < size == len(complete) < NEIGHBOURS
    for i, (s, row) in enumerate(complete):
        assert members[starts[i] : starts[i + 1]].tolist() == sorted(row.positives)
        assert codes[i] == label_set_code(members, starts[i], starts[i + 1])
        assert weights[i] == naive.wide_weight(s)


def search_and_vote(pair: Pair, x: Instance) -> tuple[list[int], list[float], bytes, bytes]:
    rows, similarities = pair.search(x)
    wide, close = pair.logits(np.full(pair.labels, 0.1))
    return rows, similarities, wide.tobytes(), close.tobytes()


@pytest.mark.parametrize("rows", [0, 1, 300])
def test_snapshot_round_trip_and_spare_capacity_change_nothing(rows):
    pair, generator = fill_window(rows)
    roomy, _ = fill_window(rows, capacity=3)
    restored = Pair(20, 6)
    restored.owner.load_arrays({name: array.copy() for name, array in pair.owner.arrays().items()}, 20, 6)
    for _ in range(250):
        x = random_instance(generator, 20, "mixed")
        assert search_and_vote(pair, x) == search_and_vote(restored, x) == search_and_vote(roomy, x)
        truth = random_truth(generator, 6)
        for each in (pair, restored, roomy):
            each.learn(x, *truth, twin=False)
    for each in (restored, roomy):
        for name, array in pair.owner.arrays().items():
            np.testing.assert_array_equal(each.owner.arrays()[name], array)


def test_a_snapshot_after_many_rows_finds_the_same():
    generator = random.Random(9)
    pair = Pair(20, 2)
    for _ in range(WINDOW_ROWS + 1_500):
        pair.learn(random_instance(generator, 20, "mixed"), {0: 1}, twin=False)
    restored = Pair(20, 2)
    restored.owner.load_arrays(pair.owner.arrays(), 20, 2)
    for _ in range(40):
        x = random_instance(generator, 20, "mixed")
        assert pair.search(x)[1] == restored.search(x)[1]
        pair.learn(x, {1: 1}, twin=False)
        restored.learn(x, {1: 1}, twin=False)
    for name, array in pair.owner.arrays().items():
        np.testing.assert_array_equal(restored.owner.arrays()[name], array)


@pytest.mark.parametrize("name", ["rows", "columns", "values", "known"])
def test_arrays_that_do_not_match_are_refused(name):
    pair, _ = fill_window()
    arrays = pair.owner.arrays()
    with pytest.raises(SnapshotError, match="neighbours' window"):
        Neighbours().load_arrays({**arrays, name: arrays[name][:-1]}, 20, 6)
    with pytest.raises(SnapshotError, match="20 columns"):
        Neighbours().load_arrays({**arrays, "columns": arrays["columns"] + 20}, 20, 6)
    with pytest.raises(SnapshotError, match="6 labels"):
        Neighbours().load_arrays({**arrays, "known": arrays["known"] + 6}, 20, 6)


def test_columns_can_disappear_and_reappear():
    """Columns become dense, run empty and reappear many times: no memory is lost and no old value is left."""
    pair = Pair(40, 1)
    dense = set()
    for row in range(30_000):
        column = row // 700 % 40
        pair.learn({column: 0.6, (column + 1 + row % 2) % 40: 0.8}, {}, twin=False)
        if row % 500 == 0:
            dense |= set(np.flatnonzero(pair.owner.state.inverted.columns[:, IndexColumn.DENSE]).tolist())
    index = pair.owner.state.inverted
    assert dense == set(range(40))
    assert int(index.cursor[IndexCursor.DENSE_COLUMNS]) < 20
    counted = np.bincount(pair.owner.arrays()["columns"], minlength=40)
    np.testing.assert_array_equal(index.columns[:40, IndexColumn.COUNT], counted)
    restored = Pair(40, 1)
    restored.owner.load_arrays(pair.owner.arrays(), 40, 1)
    for column in range(40):
        x = {column: 0.9, (column + 7) % 40: -0.1}
        assert pair.search(x)[1] == restored.search(x)[1]


def test_size_is_bounded():
    pair = Pair(64, 8)
    held = sum(array.nbytes for array in (*pair.owner.state[:-1], *pair.owner.state.inverted, *pair.owner.scratch))
    assert held <= Neighbours.bytes_bound(64, 8) <= 1.01 * held
