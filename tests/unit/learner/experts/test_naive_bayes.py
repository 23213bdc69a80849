"""Naive Bayes: equal to the formula, computed from the complete history."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamlearn.errors import SnapshotError
from streamlearn.learner.experts.naive_bayes import NaiveBayes, naive_bayes_learn_row, naive_bayes_predict_row
from tests.naive.learner.experts import naive_bayes as naive

COLUMNS = 6

instances = st.dictionaries(
    st.integers(0, COLUMNS - 1),
    st.floats(-1.0, 1.0, width=32).filter(lambda value: value == 0 or abs(value) > 1e-6),
    max_size=COLUMNS,
)
histories = st.lists(st.tuples(instances, st.sets(st.integers(0, 8))), max_size=25)


def entries(x: dict[int, float]) -> tuple[np.ndarray, np.ndarray]:
    ordered = sorted(x.items())
    return np.array([c for c, _ in ordered], np.int32), np.array([v for _, v in ordered], np.float32)


class Kernels:
    """The expert driven as the step kernel drives it."""

    def __init__(self, labels: int, columns: int = COLUMNS, room: int | None = None) -> None:
        self.owner = NaiveBayes()
        self.owner.grow(columns, room or labels)
        self.labels = labels
        self.used: set[int] = set()

    def both(
        self, x: dict[int, float], used_columns: int | None = None, slow: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the logits of naive Bayes and those of the strongest column."""
        out, strongest = np.full((2, self.labels), np.nan, np.float32)
        used_columns = len(self.used) if used_columns is None else used_columns
        slow = np.full(self.labels, 0.05) if slow is None else slow
        ratio = np.zeros_like(out)
        naive_bayes_predict_row(self.owner.state, *entries(x), used_columns, self.labels, slow, ratio, out, strongest)
        return out, strongest

    def predict(self, x: dict[int, float], used_columns: int | None = None) -> np.ndarray:
        return self.both(x, used_columns)[0]

    def learn(self, x: dict[int, float], members: set[int]) -> None:
        known = np.array(sorted(label for label in members if label < self.labels), np.int32)
        naive_bayes_learn_row(self.owner.state, *entries(x), known)
        self.used |= set(x)


@settings(max_examples=80, deadline=None)
@given(history=histories, labels=st.sampled_from([1, 2, 9]))
def test_kernel_equals_twin(history, labels):
    ours = Kernels(labels)
    for row, (x, members) in enumerate(history):
        expected = [naive.logit(history[:row], x, label) for label in range(labels)]
        np.testing.assert_allclose(ours.predict(x), expected, rtol=1e-4, atol=1e-4)
        ours.learn(x, members)


@settings(max_examples=80, deadline=None)
@given(history=histories, labels=st.sampled_from([1, 2, 9]), rate=st.floats(0.0, 1.0))
def test_the_strongest_column_equals_twin(history, labels, rate):
    ours = Kernels(labels)
    slow = np.linspace(rate, 0.05, labels)
    for row, (x, members) in enumerate(history):
        expected = [naive.strongest(history[:row], x, label, slow[label]) for label in range(labels)]
        np.testing.assert_allclose(ours.both(x, slow=slow)[1], expected, rtol=1e-3, atol=1e-3)
        ours.learn(x, members)


def test_the_strongest_column_alone_decides():
    ours = Kernels(2)
    for _ in range(30):
        ours.learn({0: 0.5, 1: 0.5}, {0})
        ours.learn({1: 0.5, 2: 0.5}, {1})
    _, alone = ours.both({0: 0.5})
    _, together = ours.both({0: 0.5, 1: 0.5})
    assert alone[0] > 4.0
    assert together[0] == alone[0]
    assert abs(together[1]) < 0.1, "column 1 is in as many rows without the label as with it"


def test_a_long_stream_equals_the_twin_on_both_sides_of_zero():
    generator = np.random.default_rng(3)
    history = []
    ours = Kernels(3, columns=40)
    for _ in range(400):
        topic = int(generator.integers(3))
        columns = topic * 10 + generator.choice(20, 6, replace=False)
        values = generator.normal(size=6)
        x = {int(column): float(np.float32(value)) for column, value in zip(columns, values, strict=True)}
        members = {topic} if generator.random() < 0.8 else set()
        ours.learn(x, members)
        history.append((x, members))
    logits = []
    for x, _ in history[:20]:
        logits.append(ours.predict(x))
        expected = [naive.logit(history, x, label) for label in range(3)]
        np.testing.assert_allclose(logits[-1], expected, rtol=1e-4, atol=1e-4)
    assert np.min(logits) < -0.5
    assert np.max(logits) > 0.5


def test_before_any_row_and_for_an_empty_instance_the_logit_is_zero():
    ours = Kernels(2)
    assert ours.predict({0: 1.0, 3: -0.5}).tolist() == [0.0, 0.0]
    ours.learn({}, {0})
    assert ours.predict({0: 1.0}).tolist() == [0.0, 0.0]
    ours.learn({0: 1.0}, {0})
    assert ours.predict({}).tolist() == [0.0, 0.0]


def test_logits_are_clipped():
    ours = Kernels(2, columns=COLUMNS)
    for _ in range(300):
        ours.learn(dict.fromkeys(range(3), 1.0), {0})
        ours.learn(dict.fromkeys(range(3, COLUMNS), 1.0), {1})
    x = dict.fromkeys(range(3), 1.0) | {0: 40.0}
    assert ours.predict(x).tolist() == [15.0, -15.0]


def test_the_number_of_used_columns_enters_the_formula():
    ours = Kernels(2)
    history = [({0: 1.0, 1: 0.5}, {0}), ({1: 1.0}, {1})]
    for x, members in history:
        ours.learn(x, members)
    for used_columns in (2, 500):
        expected = [naive.logit(history, {0: 0.6, 2: 0.8}, label, used_columns) for label in range(2)]
        np.testing.assert_allclose(ours.predict({0: 0.6, 2: 0.8}, used_columns), expected, rtol=1e-4, atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(before=histories, after=histories)
def test_a_late_label_starts_at_zero_and_spare_capacity_changes_nothing(before, after):
    ours, roomy = Kernels(2), Kernels(2, columns=COLUMNS + 20, room=40)
    history = [(x, members & {0, 1}) for x, members in before]
    for x, members in before:
        ours.learn(x, members)
        roomy.learn(x, members)
    ours.owner.grow(COLUMNS + 3, 3)
    ours.labels = roomy.labels = 3
    for row, (x, members) in enumerate(after):
        logits = ours.predict(x)
        expected = [naive.logit(history, x, label) for label in range(3)]
        np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(logits, roomy.predict(x))
        assert row > 0 or logits[2] == 0.0
        history.append((x, members))
        ours.learn(x, members)
        roomy.learn(x, members)
    for name, array in ours.owner.arrays(COLUMNS, 3).items():
        np.testing.assert_array_equal(roomy.owner.arrays(COLUMNS, 3)[name], array, err_msg=name)


def test_small_counts_still_move_large_sums():
    ours = Kernels(1)
    ours.owner.state.pairs[0, 0] = ours.owner.state.columns[0] = 2.0**26
    ours.learn({0: 0.25}, {0})
    assert ours.owner.state.pairs[0, 0] == ours.owner.state.columns[0] == 2.0**26 + 0.25


def test_a_retired_slot_is_as_new():
    ours, fresh = Kernels(3), Kernels(3)
    for i in range(20):
        ours.learn({i % COLUMNS: 1.0}, {i % 2, 1})
        fresh.learn({i % COLUMNS: 1.0}, {i % 2, 1} - {1})
    ours.owner.retire(1)
    for name, array in fresh.owner.arrays(COLUMNS, 3).items():
        np.testing.assert_array_equal(ours.owner.arrays(COLUMNS, 3)[name], array, err_msg=name)
    assert ours.predict({0: 1.0})[1] == 0.0


def test_state_without_spare_capacity_round_trips():
    ours = Kernels(3)
    for i in range(20):
        ours.learn({i % COLUMNS: 1.0}, {i % 2, 2})
    arrays = {name: array.copy() for name, array in ours.owner.arrays(COLUMNS, 3).items()}
    again = NaiveBayes()
    again.load_arrays(arrays, COLUMNS, 3)
    for name, array in again.arrays(COLUMNS, 3).items():
        np.testing.assert_array_equal(array, arrays[name], err_msg=name)
    assert sum(array.nbytes for array in arrays.values()) <= NaiveBayes.bytes_bound(COLUMNS, 3)
    for columns, labels in ((COLUMNS, 4), (COLUMNS + 1, 3)):
        with pytest.raises(SnapshotError):
            NaiveBayes().load_arrays(arrays, columns, labels)
