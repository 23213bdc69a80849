"""A later truth of a row is learnt once, as by the plain twins, and changes nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamlearn.learner.ensemble_learner import EnsembleLearner
from streamlearn.learner.entries import Entries
from streamlearn.learner.experts.neighbour_window import WINDOW_ROWS, WindowCursor, WindowRow, window_find
from streamlearn.learner.operations import Correction
from tests.naive.learner.ensemble_learner import EnsembleLearner as NaiveLearner
from tests.unit.learner.test_ensemble_learner import (
    Row,
    assert_same,
    linear_learner,
    new_learner,
    operations_of,
    stream,
)


def correction_of(row: Row, after: list[int], complete: bool, number: int) -> Correction:
    columns = np.array(sorted(row.x), np.int32)
    values = np.array([row.x[column] for column in sorted(row.x)], np.float32)
    return Correction(
        Entries(columns, values, values, (values > 0).astype(np.uint8)),
        np.zeros(0, np.int32),
        np.zeros(0, np.float32),
        np.array(row.truth, np.int8),
        np.array(after, np.int8),
        row.complete,
        complete,
        number,
    )


def logits_of(learner: EnsembleLearner, x: dict[int, float]) -> np.ndarray:
    columns = np.array(sorted(x), np.int32)
    values = np.array([x[column] for column in sorted(x)], np.float32)
    p = learner.probabilities(Entries(columns, values, values, (values > 0).astype(np.uint8)))
    return np.log(p / (1.0 - p))


def later_truth(rng: np.random.Generator, row: Row) -> tuple[list[int], bool]:
    """Return a truth that corrects some labels and adds some that were unknown, or all."""
    complete = row.complete or rng.random() < 0.5
    after = [1 - y if y >= 0 and rng.random() < 0.2 else y for y in row.truth]
    after = [int(rng.random() < 0.3) if y < 0 and (complete or rng.random() < 0.5) else y for y in after]
    return after, complete


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), labels=st.sampled_from([1, 3, 20]), partial=st.sampled_from([0.0, 0.5, 1.0]))
def test_corrections_equal_twin(seed, labels, partial):
    rng = np.random.default_rng(seed)
    ours, theirs = linear_learner(labels, labels), NaiveLearner(labels)
    learned: list[tuple[int, Row]] = []
    for number, row in enumerate(stream(seed, 60, labels, partial, 0.1)):
        ours.apply(operations_of([row]))
        theirs.learn(row.x, [None if y < 0 else y for y in row.truth], row.complete)
        learned.append((number, row))
        if rng.random() < 0.4:
            number, row = learned[rng.integers(0, len(learned))]
            after, complete = later_truth(rng, row)
            ours.correct(correction_of(row, after, complete, number))
            known = [[None if y < 0 else y for y in truth] for truth in (row.truth, after)]
            theirs.correct(row.x, known[0], known[1], complete and not row.complete)
            row.truth, row.complete = after, complete
        assert_same(logits_of(ours, row.x), theirs, row.x)
    assert ours.learned == 60


def test_the_neighbours_window_holds_the_later_truth():
    ours = new_learner(3, 3)
    rows = stream(1, 30, 3, 0.0, 0.0)
    ours.apply(operations_of(rows))
    window = ours.ensemble.neighbours.state
    row = rows[10]
    after = [1 - y for y in row.truth]
    known = (window.known.copy(), window.rows.copy())
    ours.correct(correction_of(row, after, True, 10))
    number = window_find(window, 10)
    arrays = ours.ensemble.neighbours.arrays()
    starts = np.concatenate([[0], np.cumsum(arrays["rows"][:, 1])])
    for index, other in enumerate(rows):
        truth = after if index == 10 else other.truth
        expected = [label for label, y in enumerate(truth) if y == 1]
        assert arrays["known"][starts[index] : starts[index + 1]].tolist() == expected
    assert window.rows[number % WINDOW_ROWS, WindowRow.COMPLETE] == 1
    assert int(window.cursor[WindowCursor.OLDEST]) == 0
    assert not np.array_equal(known[0], window.known)


def test_a_truth_that_completes_a_row_is_learnt_by_the_parts_that_need_complete_rows():
    partly, whole = new_learner(3, 3), new_learner(3, 3)
    rows = stream(2, 30, 3, 0.0, 0.0)
    for number, row in enumerate(rows):
        whole.apply(operations_of([row]))
        first = Row(row.x, [row.truth[0], -1, -1], False)
        partly.apply(operations_of([first]))
        partly.correct(correction_of(first, row.truth, True, number))
    for name, array in whole.arrays().items():
        if name.startswith(("partition.counts", "partition.replay", "panel.rates")):
            np.testing.assert_allclose(partly.arrays()[name], array, rtol=1e-12, err_msg=name)
    assert partly.arrays()["counters"].tolist() == whole.arrays()["counters"].tolist()
    assert partly.arrays()["positives"].tolist() == whole.arrays()["positives"].tolist()


@pytest.mark.parametrize(
    "part",
    [
        "panel.rates",
        "panel.naive_bayes",
        "panel.label_tree",
        "partition",
        "decision",
        "drift",
        "panel.burst.average",
    ],
)
def test_a_correction_keeps_counts(part):
    ours = new_learner(3, 3)
    rows = stream(3, 80, 3, 0.0, 0.0)
    ours.apply(operations_of(rows))
    before = {name: array.copy() for name, array in ours.arrays().items()}
    row = rows[-5]
    ours.correct(correction_of(row, [1 - y for y in row.truth], True, len(rows) - 5))
    after = ours.arrays()
    kept = [name for name in before if name.startswith(part)]
    assert kept
    for name in kept:
        np.testing.assert_array_equal(after[name], before[name], err_msg=name)
    for name in ("panel.slow_linear.bias", "panel.softmax.bias", "panel.burst.bias", "mixer.own"):
        assert not np.array_equal(after[name], before[name]), name


def test_truths_that_complete_rows_count_toward_the_period_of_the_partition():
    partly, whole = new_learner(3, 3), new_learner(3, 3)
    rows = stream(4, 250, 3, 0.0, 0.0)
    for number, row in enumerate(rows):
        whole.apply(operations_of([row]))
        first = Row(row.x, [-1, -1, row.truth[2]], False)
        partly.apply(operations_of([first]))
        partly.correct(correction_of(first, row.truth, True, number))
    np.testing.assert_array_equal(partly.arrays()["partition.clock"], whole.arrays()["partition.clock"])
