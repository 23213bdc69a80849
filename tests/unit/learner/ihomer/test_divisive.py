"""Divisive-agglomerative clustering equals its naive twin through splits, merges and labels that are added late."""

from __future__ import annotations

import numpy as np
import pytest

from streamlearn.errors import SnapshotError, UsageError
from streamlearn.learner.ihomer.dissimilarity import dissimilarities, hoeffding_bound, should_split
from streamlearn.learner.ihomer.divisive import (
    TEST_PERIOD,
    DivisiveClustering,
    DivisiveEvent,
    Mode,
    divisive_add_labels,
    divisive_due,
    divisive_learn_row,
)
from streamlearn.learner.ihomer.divisive_nodes import ClusterCounter
from streamlearn.learner.partition.pair_counts import PairCounts, pair_counts_update
from streamlearn.state.arrays import state_hash
from tests.naive.learner.ihomer import divisive as naive

LABELS = 8
ROWS = 6600


def stream(seed: int) -> list[list[int]]:
    """Return label sets of seven labels that co-occur and one that does not, then single labels, then two groups."""
    generator = np.random.default_rng(seed)
    sets = []
    for row in range(ROWS):
        share = np.zeros(LABELS)
        if row < 1600:
            share[:-1] = 0.85 * generator.integers(2)
            share[-1] = 0.4
        elif row < 5600:
            share[generator.integers(LABELS)] = 1.0
        else:
            share[generator.integers(2) :: 2] = 0.8
        sets.append(np.flatnonzero(generator.random(LABELS) < share).tolist())
    return sets


def learn(clustering: DivisiveClustering, sets: list[list[int]]) -> list[DivisiveEvent]:
    events = []
    for members in sets:
        divisive_learn_row(clustering.state, np.array(members, np.int32))
        if divisive_due(clustering.state):
            events += clustering.run_test()
    return events


def new_clustering(mode: Mode = "jaccard", labels: int = LABELS, **kind: int) -> DivisiveClustering:
    clustering = DivisiveClustering(mode, **kind)
    clustering.grow(labels)
    divisive_add_labels(clustering.state, labels)
    return clustering


def clusters(clustering: DivisiveClustering) -> dict[int, list[int]]:
    of = clustering.cluster_of
    return {number: np.flatnonzero(of == number).tolist() for number in set(of.tolist())}


@pytest.mark.parametrize("seed", range(2))
def test_clusters_equal_the_twin(seed):
    clustering = new_clustering(labels=LABELS - 1)
    twin = naive.DivisiveClustering()
    twin.add_labels(LABELS - 1)
    sets = stream(seed)
    found, expected = [], []
    for row, members in enumerate(sets):
        if row < 100:
            members = [label for label in members if label < LABELS - 1]
        elif row == 100:
            clustering.grow(LABELS)
            divisive_add_labels(clustering.state, LABELS)
            twin.add_labels(LABELS)
        divisive_learn_row(clustering.state, np.array(members, np.int32))
        twin.rows.append(members)
        if divisive_due(clustering.state):
            events = clustering.run_test()
            assert all(event.rows == row + 1 for event in events)
            found += [(event.kind, event.cluster, event.other) for event in events]
            expected += twin.test()
            assert found == expected
            assert clusters(clustering) == twin.clusters()
    assert clustering.state.counters[ClusterCounter.SPLITS] > 0
    assert clustering.state.counters[ClusterCounter.MERGES] > 0


@pytest.mark.parametrize("seed", range(3))
def test_dissimilarities_equal_the_twin(seed):
    generator = np.random.default_rng(seed)
    counts = PairCounts(6)
    twin = naive.DivisiveClustering()
    weight = 1.0
    for _ in range(60):
        members = np.flatnonzero(generator.random(6) < 0.3)
        pair_counts_update(counts.state, members.astype(np.int32))
        twin.rows.append(members.tolist())
        weight /= naive.DECAY
        twin.weights.append(weight)
        twin.last = weight
    for members in ([0, 1], [0, 2, 5], [1, 2, 3, 4], list(range(6))):
        found = dissimilarities(counts.state, np.array(members, np.int32), len(members))
        d1, d2, d0, mean, bound, pivots = twin.measure(members)
        assert (found.largest, found.second, found.smallest, found.mean) == (d1, d2, d0, mean)
        assert (found.first_label, found.second_label) == pivots
        assert hoeffding_bound(found.rows) == pytest.approx(bound, rel=1e-12)
        assert should_split(found, bound) == twin.should_split(len(members), d1, d2, d0, mean, bound)


def test_groups_that_never_occur_together_are_split():
    generator = np.random.default_rng(1)
    clustering = new_clustering(labels=6)
    sets = [[0, 1, 2] if generator.random() < 0.5 else [3, 4, 5] for _ in range(2 * TEST_PERIOD)]
    events = learn(clustering, sets)
    assert [(event.kind, event.cluster, event.other) for event in events] == [("split", 0, 1)]
    assert clustering.cluster_of.tolist() == [0, 0, 0, 1, 1, 1]
    assert clustering.state.changed[:2].tolist() == [1, 1]


def test_random_clusters_have_the_sizes_of_the_others_and_depend_on_the_seed():
    sets = stream(0)
    plain = new_clustering()
    first, again, other = (new_clustering("random", seed=seed) for seed in (1, 1, 2))
    for start in range(0, ROWS, TEST_PERIOD):
        for clustering in (plain, first, again, other):
            learn(clustering, sets[start : start + TEST_PERIOD])
        sizes = np.bincount(plain.cluster_of, minlength=LABELS).tolist()
        assert np.bincount(first.cluster_of, minlength=LABELS).tolist() == sizes
        assert np.bincount(other.cluster_of, minlength=LABELS).tolist() == sizes
        np.testing.assert_array_equal(first.cluster_of, again.cluster_of)
    assert plain.state.counters[ClusterCounter.SPLITS] == first.state.counters[ClusterCounter.SPLITS] > 0
    assert state_hash(first.arrays(LABELS)) == state_hash(again.arrays(LABELS))
    assert state_hash(first.arrays(LABELS)) != state_hash(other.arrays(LABELS))


@pytest.mark.parametrize(("mode", "expected"), [("whole", [0] * LABELS), ("singletons", list(range(LABELS)))])
def test_other_modes_never_change(mode, expected):
    clustering = new_clustering(mode)
    assert learn(clustering, stream(0)[:1200]) == []
    assert clustering.cluster_of.tolist() == expected


def test_capacity_and_snapshots_change_nothing():
    sets = stream(2)
    straight, roomy, cut = (new_clustering() for _ in range(3))
    roomy.grow(50)
    learn(straight, sets)
    learn(roomy, sets)
    learn(cut, sets[:2150])
    restored = DivisiveClustering()
    restored.load_arrays({name: array.copy() for name, array in cut.arrays(LABELS).items()}, LABELS)
    learn(restored, sets[2150:])
    hashes = {state_hash(clustering.arrays(LABELS)) for clustering in (straight, roomy, restored)}
    assert len(hashes) == 1


def test_a_retired_label_leaves_no_counts():
    clustering = new_clustering(labels=4)
    learn(clustering, [[0, 1], [1, 2], [1]])
    clustering.retire(1)
    without = new_clustering(labels=4)
    learn(without, [[0], [2], []])
    assert state_hash(clustering.arrays(4)) == state_hash(without.arrays(4))


def test_no_label_and_one_label():
    clustering = DivisiveClustering()
    clustering.grow(0)
    assert clustering.run_test() == []
    clustering = new_clustering(labels=1)
    assert learn(clustering, [[0], []] * TEST_PERIOD) == []
    assert clustering.cluster_of.tolist() == [0]


def test_invalid_arguments_and_snapshots_are_refused():
    with pytest.raises(UsageError, match="partition is 'trees'"):
        DivisiveClustering("trees")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"labels\.maximum is 5000"):
        DivisiveClustering(maximum=5000)
    clustering = new_clustering()
    arrays = clustering.arrays(LABELS)
    with pytest.raises(SnapshotError, match="mode"):
        DivisiveClustering("whole").load_arrays(arrays, LABELS)
    with pytest.raises(SnapshotError, match="other settings"):
        DivisiveClustering().load_arrays(arrays, LABELS + 1)
    del arrays["nodes"]
    with pytest.raises(SnapshotError, match="'nodes' is missing"):
        DivisiveClustering().load_arrays(arrays, LABELS)


def test_bytes_bound_is_the_size_of_the_state():
    clustering = new_clustering(labels=16)
    assert sum(array.nbytes for array in clustering.arrays(16).values()) == DivisiveClustering.bytes_bound(16)
