"""Divisive-agglomerative clustering equals its plain twin through splits, merges and labels that join late."""

from __future__ import annotations

import numpy as np
import pytest

from streamlearn.errors import SnapshotError, UsageError
from streamlearn.learner.ihomer.dissimilarity import dissimilarities, hoeffding_bound, should_split
from streamlearn.learner.ihomer.divisive import (
    PERIOD,
    Divisive,
    DivisiveEvent,
    Mode,
    divisive_due,
    divisive_know,
    divisive_learn_row,
)
from streamlearn.learner.ihomer.divisive_nodes import MERGES, SPLITS
from streamlearn.learner.partition.pair_counts import PairCounts, pair_counts_update
from streamlearn.state.arrays import state_hash
from tests.naive.learner.ihomer import divisive as naive

LABELS = 8


ROWS = 6600


def stream(seed: int) -> list[list[int]]:
    """Return label sets of seven labels that go together and one that does not, then single labels, then two groups."""
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


def learn(owner: Divisive, sets: list[list[int]]) -> list[DivisiveEvent]:
    events = []
    for members in sets:
        divisive_learn_row(owner.state, np.array(members, np.int32))
        if divisive_due(owner.state):
            events += owner.run_test()
    return events


def made(mode: Mode = "jaccard", labels: int = LABELS, **kind: int) -> Divisive:
    owner = Divisive(mode, **kind)
    owner.grow(labels)
    divisive_know(owner.state, labels)
    return owner


def clusters(owner: Divisive) -> dict[int, list[int]]:
    return {number: np.flatnonzero(owner.cluster_of == number).tolist() for number in set(owner.cluster_of.tolist())}


@pytest.mark.parametrize("seed", range(2))
def test_clusters_equal_the_twin(seed):
    owner = made(labels=LABELS - 1)
    twin = naive.Divisive()
    twin.know(LABELS - 1)
    sets = stream(seed)
    found, expected = [], []
    for row, members in enumerate(sets):
        if row < 100:
            members = [label for label in members if label < LABELS - 1]
        elif row == 100:
            owner.grow(LABELS)
            divisive_know(owner.state, LABELS)
            twin.know(LABELS)
        divisive_learn_row(owner.state, np.array(members, np.int32))
        twin.rows.append(members)
        if divisive_due(owner.state):
            events = owner.run_test()
            assert all(event.rows == row + 1 for event in events)
            found += [(event.kind, event.cluster, event.other) for event in events]
            expected += twin.test()
            assert found == expected
            assert clusters(owner) == twin.clusters()
    assert owner.state.clock[SPLITS] > 0
    assert owner.state.clock[MERGES] > 0


@pytest.mark.parametrize("seed", range(3))
def test_dissimilarities_equal_the_twin(seed):
    generator = np.random.default_rng(seed)
    counts = PairCounts(6)
    twin = naive.Divisive()
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
        assert should_split(found, bound) == twin.splits(len(members), d1, d2, d0, mean, bound)


def test_groups_that_never_meet_are_told_apart():
    generator = np.random.default_rng(1)
    owner = made(labels=6)
    sets = [[0, 1, 2] if generator.random() < 0.5 else [3, 4, 5] for _ in range(2 * PERIOD)]
    events = learn(owner, sets)
    assert [(event.kind, event.cluster, event.other) for event in events] == [("split", 0, 1)]
    assert owner.cluster_of.tolist() == [0, 0, 0, 1, 1, 1]
    assert owner.state.changed[:2].tolist() == [1, 1]


def test_random_clusters_have_the_sizes_of_the_others_and_depend_on_the_seed():
    sets = stream(0)
    plain, first, again, other = (made(), made("random", seed=1), made("random", seed=1), made("random", seed=2))
    for start in range(0, ROWS, PERIOD):
        for owner in (plain, first, again, other):
            learn(owner, sets[start : start + PERIOD])
        sizes = np.bincount(plain.cluster_of, minlength=LABELS).tolist()
        assert np.bincount(first.cluster_of, minlength=LABELS).tolist() == sizes
        assert np.bincount(other.cluster_of, minlength=LABELS).tolist() == sizes
        np.testing.assert_array_equal(first.cluster_of, again.cluster_of)
    assert plain.state.clock[SPLITS] == first.state.clock[SPLITS] > 0
    assert state_hash(first.arrays(LABELS)) == state_hash(again.arrays(LABELS))
    assert state_hash(first.arrays(LABELS)) != state_hash(other.arrays(LABELS))


@pytest.mark.parametrize(("mode", "expected"), [("whole", [0] * LABELS), ("singletons", list(range(LABELS)))])
def test_other_modes_never_change(mode, expected):
    owner = made(mode)
    assert learn(owner, stream(0)[:1200]) == []
    assert owner.cluster_of.tolist() == expected


def test_room_and_snapshots_change_nothing():
    sets = stream(2)
    straight, roomy, cut = made(), made(), made()
    roomy.grow(50)
    learn(straight, sets)
    learn(roomy, sets)
    learn(cut, sets[:2150])
    restored = Divisive()
    restored.load_arrays({name: array.copy() for name, array in cut.arrays(LABELS).items()}, LABELS)
    learn(restored, sets[2150:])
    hashes = {state_hash(owner.arrays(LABELS)) for owner in (straight, roomy, restored)}
    assert len(hashes) == 1


def test_a_retired_label_is_as_if_it_had_never_been():
    owner = made(labels=4)
    learn(owner, [[0, 1], [1, 2], [1]])
    owner.retire(1)
    without = made(labels=4)
    learn(without, [[0], [2], []])
    assert state_hash(owner.arrays(4)) == state_hash(without.arrays(4))


def test_no_label_and_one_label():
    owner = Divisive()
    owner.grow(0)
    assert owner.run_test() == []
    owner = made(labels=1)
    assert learn(owner, [[0], []] * PERIOD) == []
    assert owner.cluster_of.tolist() == [0]


def test_what_does_not_fit_is_refused():
    with pytest.raises(UsageError, match="partition is 'trees'"):
        Divisive("trees")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"labels\.maximum is 5000"):
        Divisive(maximum=5000)
    owner = made()
    arrays = owner.arrays(LABELS)
    with pytest.raises(SnapshotError, match="mode"):
        Divisive("whole").load_arrays(arrays, LABELS)
    with pytest.raises(SnapshotError, match="other settings"):
        Divisive().load_arrays(arrays, LABELS + 1)
    del arrays["nodes"]
    with pytest.raises(SnapshotError, match="'nodes' is missing"):
        Divisive().load_arrays(arrays, LABELS)


def test_bytes_are_bounded():
    owner = made(labels=16)
    assert sum(array.nbytes for array in owner.arrays(16).values()) == Divisive.bytes_bound(16)
