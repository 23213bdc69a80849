"""iHOMER equals its naive twin: its predictions, its probabilities, its splits and its alternate trees."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from streamlearn.errors import SnapshotError
from streamlearn.learner.ihomer.divisive import DivisiveEvent
from streamlearn.learner.ihomer.hierarchy import Hierarchy, ihomer_begin_label
from streamlearn.learner.ihomer.learn_row import ihomer_due, ihomer_learn_row
from streamlearn.learner.ihomer.predict_row import ihomer_predict_row
from streamlearn.learner.ihomer.row_window import Cursor
from streamlearn.learner.partition.comparison_modes import Mode
from streamlearn.numerics.random import draw, draw_poisson
from streamlearn.state.arrays import state_hash
from tests.naive.learner.ihomer import hierarchy as naive

FEATURES = 14
TREE_BYTES = 2**16
Stream = Callable[[int, np.random.Generator], tuple[naive.Row, list[int]]]


class Pair:
    """The hierarchy and its twin, called as the step calls them; without ``twin`` only the hierarchy."""

    def __init__(self, labels: int, mode: Mode, *, seed: int = 0, twin: bool = True, spare: int = 0) -> None:
        self.hierarchy = Hierarchy(mode, seed=seed, tree_bytes=TREE_BYTES)
        self.hierarchy.grow(FEATURES + spare, labels + spare)
        self.labels = 0
        self.twin = naive.Hierarchy(seed) if twin else None
        self.events: list[DivisiveEvent] = []
        self.alarms = 0
        for _ in range(labels):
            self.add_label()

    def add_label(self) -> None:
        label = self.labels
        self.labels += 1
        self.hierarchy.grow(FEATURES, self.labels)
        ihomer_begin_label(self.hierarchy.state, label)
        if self.twin is not None:
            cluster = int(self.hierarchy.cluster_of[label])
            if cluster not in self.twin.trees:
                self.twin.begin(cluster, [])
            self.twin.trees[cluster].add_label(label, self.twin.learned)

    def predict(self, x: naive.Row) -> tuple[np.ndarray, np.ndarray]:
        logits, chosen = np.zeros(self.labels, np.float32), np.zeros(self.labels, np.uint8)
        entries = self.entries(x)
        ihomer_predict_row(self.hierarchy.state, self.hierarchy.scratch, *entries, self.labels, logits, chosen)
        return logits, chosen

    @staticmethod
    def entries(x: naive.Row) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        columns = sorted(x)
        return (
            np.array(columns, np.int32),
            np.array([x[column][0] for column in columns], np.float32),
            np.array([x[column][1] for column in columns], np.uint8),
        )

    def learn(self, x: naive.Row, truth: list[int]) -> None:
        """Predict and learn a row, and compare with the twin."""
        logits, chosen = self.predict(x)
        if self.twin is not None:
            expected, probability = self.twin.predict(x, self.labels)
            np.testing.assert_array_equal(chosen, expected)
            np.testing.assert_allclose(logits, [math.log(p / (1 - p)) for p in probability], rtol=1e-4, atol=1e-4)
        signs = np.array(truth, np.int8)
        members = np.flatnonzero(signs == 1).astype(np.int32)
        state = self.hierarchy.state
        complete = bool((signs >= 0).all())
        ihomer_learn_row(state, self.hierarchy.scratch, *self.entries(x), signs, members, complete, self.labels)
        assert not self.hierarchy.scratch.bins.any()
        assert not self.hierarchy.scratch.dense.any()
        if self.twin is not None:
            self.twin.learn(x, truth)
            assert set(np.flatnonzero(state.alarmed).tolist()) == self.twin.alarmed
        if ihomer_due(state):
            self.restructure()

    def restructure(self) -> None:
        alarms, events = self.hierarchy.restructure()
        self.alarms += len(alarms)
        self.events += events
        if self.twin is None:
            return
        assert {alarm.cluster for alarm in alarms} == self.twin.alarmed
        changed = self.twin.alarmed | {number for event in events for number in (event.cluster, event.other)}
        of = self.hierarchy.cluster_of
        for cluster in changed:
            self.twin.trees.pop(cluster, None)
            if cluster in of:
                self.twin.begin(cluster, np.flatnonzero(of == cluster).tolist())
        self.twin.alarmed = set()

    def learn_stream(self, stream: Stream, rows: int, seed: int, first: int = 0) -> None:
        generator = np.random.default_rng(seed)
        for row in range(rows):
            x, truth = stream(row, generator)
            if row >= first:
                self.learn(x, truth)

    def hash(self) -> str:
        return state_hash(self.hierarchy.arrays(FEATURES, self.labels))


def instance(generator: np.random.Generator, share: float = 0.5, columns: int = 8) -> naive.Row:
    """Return a random instance of unit norm, often without some columns."""
    present = np.flatnonzero(generator.random(columns) < share).tolist()
    bins = {column: int(generator.integers(1, 4 if column < 3 else 2)) for column in present}
    norm = math.sqrt(sum(bin_ * bin_ for bin_ in bins.values())) or 1.0
    return {column: (float(np.float32(bins[column] / norm)), bins[column]) for column in present}


def noise(row: int, generator: np.random.Generator) -> tuple[naive.Row, list[int]]:
    """Return rows whose labels have little to do with them, some without entries, some without labels."""
    x = instance(generator, 0.0 if row % 50 == 49 else 0.5)
    return x, (generator.random(3) < 0.3 + 0.3 * (0 in x)).astype(int).tolist()


def keyword(row: int, generator: np.random.Generator) -> tuple[naive.Row, list[int]]:
    """Return rows with one label that one column decides; after 900 rows two columns decide it."""
    x = instance(generator)
    on = (5 in x) if row < 900 else (5 in x) != (6 in x)
    return x, [int(on), int(on), 0]


def nested(row: int, generator: np.random.Generator) -> tuple[naive.Row, list[int]]:
    """Return rows where one column decides what the others mean; after 1,200 rows one meaning is reversed."""
    x = instance(generator)
    other = (4 in x) != (row >= 1200)
    return x, [int(3 in x), int(3 in x and other), int(3 not in x and 5 in x)]


def blurred(turn: int, back: int, columns: int, sure: int) -> Stream:
    """Return rows of ``sure`` labels by one column and others by none; between two rows by two columns' parity."""

    def stream(row: int, generator: np.random.Generator) -> tuple[naive.Row, list[int]]:
        x = instance(generator, 0.5, columns)
        on = int((4 in x) != (5 in x) if turn <= row < back else 3 in x)
        return x, [on] * sure + generator.integers(0, 2, 6 - sure).tolist()

    return stream


def grouped(row: int, generator: np.random.Generator) -> tuple[naive.Row, list[int]]:
    """Return rows of two groups of labels that never occur together; after 400 rows another column decides."""
    x = instance(generator)
    group = int((3 if row < 400 else 4) in x)
    return x, [int(group == 0), int(group == 0), int(group == 0), group, group, int(group and 5 in x)]


def events_of(pair: Pair) -> list[str]:
    assert pair.twin is not None
    return [event for tree in pair.twin.trees.values() for event in tree.events]


@pytest.mark.parametrize(
    ("mode", "stream", "rows"),
    [
        *(("whole", noise, 900), ("whole", keyword, 1300), ("whole", nested, 1500), ("singletons", keyword, 1300)),
        pytest.param("singletons", noise, 900, marks=pytest.mark.slow),
        pytest.param("singletons", nested, 1500, marks=pytest.mark.slow),
    ],
)
def test_predictions_and_trees_equal_the_twin(mode, stream, rows):
    pair = Pair(3, mode)
    pair.learn_stream(stream, rows, 1)
    assert (pair.hierarchy.counts["splits"] > 0) == (stream is not noise)


@pytest.mark.parametrize(
    ("turn", "back", "columns", "sure", "rows", "end"),
    [(1500, 3500, 8, 3, 2600, "switch"), (1500, 1540, 14, 5, 2000, "prune")],
)
def test_an_alternate_tree_takes_over_or_is_pruned_as_the_twin_says(turn, back, columns, sure, rows, end):
    pair = Pair(6, "whole")
    pair.learn_stream(blurred(turn, back, columns, sure), rows, 1)
    assert [event for event in events_of(pair) if not event.startswith("split")][:2] == ["alternate", end]
    counts = pair.hierarchy.counts
    assert (counts["alternates"], counts["switched"], counts["pruned"]) == (1, end == "switch", end == "prune")


@pytest.mark.parametrize("mode", ["jaccard", "random"])
def test_clusters_that_split_and_raise_alarms_equal_the_twin(mode):
    pair = Pair(6, mode, seed=3)
    pair.learn_stream(grouped, 900, 2)
    assert {event.kind for event in pair.events} == {"split"}
    assert len(set(pair.hierarchy.cluster_of.tolist())) > 1
    assert pair.alarms > 0


def test_unknown_truths_teach_the_regressions_of_known_labels_only():
    def partial(row: int, generator: np.random.Generator) -> tuple[naive.Row, list[int]]:
        x, truth = nested(row, generator)
        if row % 3 == 1:
            truth[row % 2] = -1
        return x, truth

    pair = Pair(3, "whole")
    pair.learn_stream(partial, 1200, 4)
    before = pair.hierarchy.state.counters.copy()
    weight = pair.hierarchy.state.regressions.weight.copy()
    pair.learn({0: (1.0, 1)}, [-1, 1, 0])
    np.testing.assert_array_equal(pair.hierarchy.state.counters, before)
    moved = (pair.hierarchy.state.regressions.weight != weight).any(axis=(0, 1, 3))
    assert moved[:3].tolist() == [False, True, True]
    again = pair.hash()
    pair.learn({0: (1.0, 1)}, [-1, -1, -1])
    assert pair.hash() == again


@pytest.mark.parametrize("mode", ["whole", "singletons"])
def test_labels_that_are_added_late_equal_the_twin(mode):
    pair = Pair(1, mode)
    generator = np.random.default_rng(5)
    for row in range(1100):
        x, truth = nested(row, generator)
        if row in (30, 950):
            pair.add_label()
        pair.learn(x, truth[: pair.labels])


def test_no_label_one_label_and_empty_rows():
    pair = Pair(0, "jaccard")
    pair.learn({}, [])
    pair.learn({2: (1.0, 2)}, [])
    pair.add_label()
    for row in range(40):
        pair.learn({} if row % 2 else {1: (1.0, 1)}, [row % 2])
    assert pair.predict({})[1].tolist() == [1]
    assert pair.predict({1: (1.0, 1)})[1].tolist() == [0]


def test_capacity_and_snapshots_change_nothing_and_predicting_is_pure():
    rows, cut = 1500, 1013
    straight, roomy, first = (Pair(6, "jaccard", twin=False, spare=spare) for spare in (0, 40, 0))
    straight.learn_stream(grouped, rows, 2)
    roomy.learn_stream(grouped, rows, 2)
    first.learn_stream(grouped, cut, 2)
    second = Pair(6, "jaccard", twin=False)
    arrays = {name: array.copy() for name, array in first.hierarchy.arrays(FEATURES, 6).items()}
    second.hierarchy.load_arrays(arrays, FEATURES, 6)
    before = second.hash()
    second.predict({1: (0.6, 1), 4: (0.8, 1)})
    assert second.hash() == before == first.hash()
    second.learn_stream(grouped, rows, 2, cut)
    assert straight.hash() == roomy.hash() == second.hash()


def test_a_snapshot_that_does_not_fit_is_refused():
    pair = Pair(3, "whole", twin=False)
    pair.learn_stream(noise, 50, 1)
    arrays = pair.hierarchy.arrays(FEATURES, 3)
    with pytest.raises(SnapshotError, match="mode"):
        Hierarchy(tree_bytes=TREE_BYTES).load_arrays(arrays, FEATURES, 3)
    with pytest.raises(SnapshotError, match="other settings"):
        Hierarchy("whole", tree_bytes=256).load_arrays(arrays, FEATURES, 3)
    with pytest.raises(SnapshotError, match="other settings"):
        Hierarchy("whole", tree_bytes=TREE_BYTES).load_arrays(arrays, FEATURES + 1, 3)
    del arrays["bias"]
    with pytest.raises(SnapshotError, match="'bias' is missing"):
        Hierarchy("whole", tree_bytes=TREE_BYTES).load_arrays(arrays, FEATURES, 3)


def test_a_retired_label_leaves_nothing():
    pair = Pair(3, "whole", twin=False)
    pair.learn_stream(nested, 1000, 1)
    state = pair.hierarchy.state
    pair.hierarchy.retire(1)
    assert not state.regressions.weight[:, :, 1].any()
    assert not state.trees.positives[:, 1].any()
    assert not state.trees.positive_plane[:, 1].any()
    assert not (state.rows.members[: int(state.rows.cursor[Cursor.NEXT_MEMBER])] == 1).any()
    ihomer_begin_label(state, 1)
    assert pair.predict({3: (1.0, 1)})[1].tolist() == [1, 0, 0]


def test_without_memory_for_counters_leaves_are_not_split_and_predictions_go_on():
    pair = Pair(3, "whole", twin=False)
    pair.hierarchy = Hierarchy("whole", tree_bytes=256)
    pair.hierarchy.grow(FEATURES, 3)
    for label in range(3):
        ihomer_begin_label(pair.hierarchy.state, label)
    pair.learn_stream(keyword, 800, 1)
    assert pair.hierarchy.counts["splits"] == 0
    assert pair.predict({5: (1.0, 1)})[1].tolist() == [1, 1, 0]


def test_bytes_are_bounded():
    pair = Pair(16, "singletons", twin=False)
    pair.hierarchy.grow(16, 16)
    held = sum(array.nbytes for array in pair.hierarchy.arrays(16, 16).values())
    assert held <= Hierarchy.bytes_bound(16, 16, TREE_BYTES)


def test_draws_equal_the_twin_and_have_mean_one():
    numbers = []
    for row in range(3000):
        for use in (0, 10):
            assert int(draw(7, row, use)) == naive.random_bits(7, row, use)
            numbers.append(draw_poisson(7, row, use))
            assert numbers[-1] == naive.poisson(7, row, use)
    assert np.mean(numbers) == pytest.approx(1.0, abs=0.05)
    assert np.mean(np.array(numbers) == 0) == pytest.approx(math.exp(-1), abs=0.02)
