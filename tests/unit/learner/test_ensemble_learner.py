"""The learner as a whole equals its plain twin, and does not depend on how rows are cut into walks."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from streamlearn.learner.decode.label_set_choice import RuleCode
from streamlearn.learner.drift.adwin import WIDTH
from streamlearn.learner.ensemble_learner import EnsembleLearner
from streamlearn.learner.entries import Entries
from streamlearn.learner.operations import LEARN, PREDICT, Operations
from streamlearn.learner.partition.clusters import PERIOD, SINCE
from streamlearn.state.arrays import state_hash
from tests.naive.learner.ensemble_learner import EnsembleLearner as NaiveLearner

COLUMNS = 8


@dataclass
class Row:
    """An instance, its truth over ``labels`` known labels (-1 where unknown) and what to do with it."""

    x: dict[int, float]
    truth: list[int]
    complete: bool
    kind: int = PREDICT | LEARN


def operations_of(rows: list[Row]) -> Operations:
    """Return rows as the arrays that a walk takes."""
    lengths = [len(row.x) for row in rows]
    last = np.cumsum(lengths, dtype=np.int64)
    columns = np.array([column for row in rows for column in sorted(row.x)], np.int32)
    values = np.array([row.x[column] for row in rows for column in sorted(row.x)], np.float32)
    known = [[(s, y) for s, y in enumerate(row.truth) if y == 1 or (y == 0 and not row.complete)] for row in rows]
    starts = np.concatenate([[0], np.cumsum([len(pairs) for pairs in known])]).astype(np.int64)
    return Operations(
        np.array([row.kind for row in rows], np.uint8),
        last - np.array(lengths, np.int64),
        last,
        Entries(columns, values, values, (values > 0).astype(np.uint8)),
        starts,
        np.array([slot for pairs in known for slot, _ in pairs], np.int32),
        np.array([sign for pairs in known for _, sign in pairs], np.int8),
        np.array([row.complete for row in rows], np.uint8),
        np.full(len(rows), RuleCode.SUBSET, np.int64),
        np.zeros(len(rows), np.int64),
        np.zeros(len(rows)),
        np.full(len(rows), -1, np.int64),
        np.zeros(len(rows) + 1, np.int64),
        np.zeros(0, np.int32),
        np.zeros(0, np.float32),
    )


def stream(seed: int, rows: int, labels: int, partial: float, empty: float) -> list[Row]:
    """Rows whose labels hang on one column each; some are empty, some only partly known."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(rows):
        truth = (rng.random(labels) < 0.3).astype(int)
        x = {label % COLUMNS: 0.9 for label in range(labels) if truth[label]}
        x |= {int(rng.integers(0, COLUMNS)): float(np.float32(rng.normal(0.0, 0.4)))}
        complete = rng.random() >= partial
        if not complete:
            truth[rng.random(labels) < 0.5] = -1
        found.append(Row({} if rng.random() < empty else x, truth.tolist(), complete))
    return found


def new_learner(labels: int, maximum: int) -> EnsembleLearner:
    learner = EnsembleLearner(labels, scores_top=maximum, minimum_support=0)
    learner.grow_features(COLUMNS)
    return learner


def linear_learner(labels: int, maximum: int) -> EnsembleLearner:
    """Return one with the four experts that the whole learner's twin has."""
    experts = ("slow_linear", "fast_linear")
    learner = EnsembleLearner(labels, scores_top=maximum, minimum_support=0, experts=experts)
    learner.grow_features(COLUMNS)
    return learner


def assert_same(logits: np.ndarray, theirs: NaiveLearner, x: dict[int, float]) -> None:
    """Compare with the twin's logits; an example in which rounding has decided the places of labels is another one."""
    expected = np.array(theirs.predict(x))
    differing = set(np.flatnonzero(~np.isclose(logits, expected, rtol=5e-3, atol=5e-3)).tolist())
    assume(not differing or not differing <= theirs.tied(x))
    np.testing.assert_allclose(logits, expected, rtol=5e-3, atol=5e-3)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    labels=st.sampled_from([1, 3, 20]),
    late=st.sampled_from([0, 2]),
    joins_at=st.integers(0, 90),
    partial=st.sampled_from([0.0, 0.5, 1.0]),
    empty=st.sampled_from([0.0, 0.3, 1.0]),
)
def test_learner_equals_twin(seed, labels, late, joins_at, partial, empty):
    total = labels + late
    ours, theirs = linear_learner(labels, total), NaiveLearner(labels)
    for i, row in enumerate(stream(seed, 90, total, partial, empty)):
        if i == joins_at:
            ours.join_labels(total)
            for _ in range(late):
                theirs.join()
        row.truth = row.truth[: ours.labels]
        answers, _ = ours.walk(operations_of([row]))
        count = int(answers.starts[1])
        logits = np.full(ours.labels, np.nan)
        logits[answers.slots[:count]] = answers.logits[:count]
        assert_same(logits, theirs, row.x)
        if theirs.complete_rows < 10:
            chosen = set(answers.slots[: answers.chosen[0]].tolist())
            assert chosen == {label for label in range(ours.labels) if logits[label] > 0.0}
        theirs.learn(row.x, [None if y < 0 else y for y in row.truth], row.complete)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**31), cuts=st.sets(st.integers(1, 349), max_size=12), partial=st.sampled_from([0.0, 0.2]))
def test_walks_may_be_cut_anywhere(seed, cuts, partial):
    rows = stream(seed, 350, 20, partial, 0.1)
    whole, cut = new_learner(20, 20), new_learner(20, 20)
    answers, events = whole.walk(operations_of(rows))
    cut_events, slots, scores = [], [], []
    edges = [0, *sorted(cuts), len(rows)]
    for start, stop in pairwise(edges):
        part, happened = cut.walk(operations_of(rows[start:stop]))
        cut_events += [event._replace(operation=event.operation + start) for event in happened]
        slots += part.slots[: part.starts[stop - start]].tolist()
        scores += part.scores[: part.starts[stop - start]].tolist()
    assert state_hash(whole.arrays()) == state_hash(cut.arrays())
    assert slots == answers.slots[: answers.starts[len(rows)]].tolist()
    assert scores == answers.scores[: answers.starts[len(rows)]].tolist()
    assert cut_events == events


def test_drift_is_noted_and_retested_at_the_same_row_however_rows_are_cut():
    rows = stream(5, 1_500, 3, 0.0, 0.0)
    for row in rows[700:]:
        row.x = {COLUMNS - 1 - column: value for column, value in row.x.items()}
    whole, cut = new_learner(3, 3), new_learner(3, 3)
    _, events = whole.walk(operations_of(rows))
    cut_events = []
    for start in range(0, len(rows), 7):
        _, happened = cut.walk(operations_of(rows[start : start + 7]))
        cut_events += [event._replace(operation=event.operation + start) for event in happened]
    assert cut_events == events
    assert state_hash(whole.arrays()) == state_hash(cut.arrays())
    worse = [event for event in events if event.kind == "drift" and event.direction == "worse"]
    assert any(700 <= event.row < 900 and event.action == "retest" for event in worse)
    assert all(event.after > event.before for event in worse)
    last = max(event.row for event in worse)
    assert whole.partition.state.clock[SINCE] == (len(rows) - 1 - last) % PERIOD, "an alarm ends the test period"


def test_a_tree_that_went_wrong_is_reset_with_an_event():
    rng = np.random.default_rng(8)
    truths = (rng.random((1_200, 2)) < 0.5).astype(int)
    turned = [row >= 600 for row in range(1_200)]
    rows = [
        Row({label: 0.9 for label in range(2) if truth[label] != turn} | {5: 0.4}, truth.tolist(), True)
        for truth, turn in zip(truths, turned, strict=True)
    ]
    learner = new_learner(2, 2)
    _, events = learner.walk(operations_of(rows))
    resets = [event for event in events if event.kind == "tree"]
    assert {event.slot for event in resets} == {0, 1}
    for event in resets:
        assert event.row >= 600
        assert (event.scope, event.action, event.direction) == ("label", "reset", "worse")
        assert event.after > event.before + 5.0


def test_clusters_that_are_renumbered_start_with_empty_detectors():
    learner = new_learner(256, 257)
    learner.walk(operations_of(stream(5, 40, 256, 0.0, 0.0)))
    assert learner.watch.state.adwin.window[:, WIDTH].tolist() == [40] * 16
    learner.join_labels(257)
    assert learner.partition.cluster_count == 2
    assert learner.watch.state.adwin.window[:, WIDTH].tolist() == [0, 0]


def test_a_new_cluster_leaves_the_other_detectors_alone():
    learner = new_learner(32, 33)
    learner.walk(operations_of(stream(5, 40, 32, 0.0, 0.0)))
    learner.join_labels(33)
    assert learner.watch.state.adwin.window[:, WIDTH].tolist() == [40, 40, 0]


def test_predicting_changes_nothing():
    learner = new_learner(20, 20)
    rows = stream(3, 250, 20, 0.2, 0.1)
    learner.walk(operations_of(rows))
    before = state_hash(learner.arrays())
    for row in rows:
        row.kind = PREDICT
    learner.walk(operations_of(rows))
    assert state_hash(learner.arrays()) == before


def test_a_partial_row_does_not_tick_what_needs_complete_ones():
    learner = new_learner(5, 5)
    learner.walk(operations_of(stream(1, 40, 5, 0.0, 0.0)))
    before = {name: array.copy() for name, array in learner.arrays().items()}
    learner.walk(operations_of(stream(2, 40, 5, 1.0, 0.0)))
    after = learner.arrays()
    for name in before:
        if name.startswith(("decision.pool.", "decision.tree.", "decision.utility.", "partition.")):
            np.testing.assert_array_equal(after[name], before[name], err_msg=name)
    assert learner.learned == 80


def test_resuming_equals_never_stopping():
    rows = stream(9, 700, 20, 0.1, 0.1)
    whole, first = new_learner(18, 20), new_learner(18, 20)
    for row in rows[:300]:
        row.truth = row.truth[:18]
    for learner in (whole, first):
        learner.walk(operations_of(rows[:300]))
    resumed = EnsembleLearner(0, scores_top=20, minimum_support=0)
    resumed.load_arrays({name: array.copy() for name, array in first.arrays().items()})
    for learner in (whole, resumed):
        learner.join_labels(20)
        learner.walk(operations_of(rows[300:]))
    assert state_hash(whole.arrays()) == state_hash(resumed.arrays())
