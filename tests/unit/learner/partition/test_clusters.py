"""The partition equals its plain twin: its trees, its tests and its switches, with known and with late labels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamlearn.errors import SnapshotError, UsageError
from streamlearn.learner.partition.clusters import Partition, partition_due, partition_know, partition_learn_row
from streamlearn.state.arrays import state_hash
from tests.naive.learner.partition.clusters import Partition as NaivePartition
from tests.unit.learner.partition.trees import assert_sound, nested


def pairs_stream(seed: int, rows: int, labels: int, change: int) -> list[list[int]]:
    """Return rows of label pairs that occur together; from row ``change`` on each label has another partner."""
    rng = np.random.default_rng(seed)
    found = []
    for i in range(rows):
        row: set[int] = set()
        for _ in range(rng.integers(0, 3)):
            a = int(rng.integers(0, labels // 2))
            row |= {a, (a + labels // 2 if i < change else labels - 1 - a)}
        found.append(sorted(row))
    return found


def learn(partition: Partition, row: list[int]) -> None:
    known = max(row, default=-1) + 1
    partition.grow(known)
    partition_know(partition.state, known)
    partition_learn_row(partition.state, np.array(row, np.int32))


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    labels=st.sampled_from([1, 2, 5, 12, 20, 40]),
    declared=st.booleans(),
    alarm_rows=st.sets(st.integers(0, 700), max_size=6),
)
def test_partition_equals_twin(seed, labels, declared, alarm_rows):
    known = labels if declared else 0
    ours, theirs = Partition(known), NaivePartition()
    theirs.know(known)
    rows = pairs_stream(seed, 700, labels, 400) if labels > 1 else [[0] * (i % 2) for i in range(700)]
    for i, row in enumerate(rows):
        if not declared:
            row = [label for label in row if label < 1 + labels * i // 600]
        learn(ours, row)
        theirs.learn(row)
        assert partition_due(ours.state) == (theirs.since >= theirs.period)
        if partition_due(ours.state) or i in alarm_rows:
            forced = not partition_due(ours.state)
            event, expected = ours.run_test(forced), theirs.test(forced)
            assert (event is None) == (expected is None)
            if event is not None and expected is not None:
                assert event.gain == pytest.approx(expected[0], abs=1e-9)
                assert event.standard_error == pytest.approx(expected[1], abs=1e-9)
                assert (event.rows, event.switched, event.forced) == (*expected[2:], forced)
                assert event.clusters_after == ours.cluster_count
            assert theirs.candidate is None or nested(ours._candidate) == theirs.candidate
        assert ours.known == theirs.known
    assert nested(ours.state.tree) == theirs.tree
    assert ours.cluster_of.tolist() == theirs.clusters()
    assert_sound(ours.state.tree)


def test_a_change_of_correlations_switches_the_tree():
    partition = Partition(40)
    rows = pairs_stream(3, 4_000, 40, 2_000)
    switched = []
    for i, row in enumerate(rows):
        learn(partition, row)
        if partition_due(partition.state):
            event = partition.run_test()
            if event is not None and event.switched:
                switched.append(i)
                assert event.gain > 3 * event.standard_error > 0
    assert any(i < 1_000 for i in switched), "the first tree does not group these pairs"
    assert any(i >= 2_000 for i in switched)
    assert partition.switches == len(switched)
    assert partition.tests == 12 - 1
    cluster_of = partition.cluster_of
    assert all(cluster_of[a] == cluster_of[39 - a] for a in range(20))


def test_independent_labels_never_switch_the_tree():
    rng = np.random.default_rng(11)
    partition = Partition(24)
    for _ in range(3_000):
        learn(partition, np.flatnonzero(rng.random(24) < 0.08).tolist())
        if partition_due(partition.state):
            partition.run_test()
    assert partition.tests == 9
    assert partition.switches == 0


def test_periods():
    partition = Partition(4)
    ended = []
    for i in range(1, 2_101):
        learn(partition, [i % 4])
        if partition_due(partition.state):
            partition.run_test()
            ended.append(i)
    assert ended == [100, 200, 300, 400, 500, 1_000, 1_500, 2_000]


def test_a_forced_test_before_30_rows_does_nothing():
    partition = Partition(4)
    for i in range(129):
        learn(partition, [i % 4])
        if partition_due(partition.state):
            assert partition.run_test() is None, "the first period has no candidate to test"
    before = state_hash(partition.arrays())
    assert partition.run_test(forced=True) is None
    assert state_hash(partition.arrays()) == before
    learn(partition, [1])
    event = partition.run_test(forced=True)
    assert event is not None
    assert event.forced
    assert event.rows == 30


def test_no_labels_and_empty_sets():
    partition = Partition()
    for _ in range(600):
        learn(partition, [])
        if partition_due(partition.state):
            partition.run_test()
    assert partition.cluster_count == 0
    assert partition.cluster_of.tolist() == []
    assert partition.switches == 0
    learn(partition, [0])
    assert partition.cluster_count == 1


def test_known_labels_join_the_tree_at_once():
    partition = Partition(3)
    partition.grow(50)
    assert partition.known == 3
    partition_know(partition.state, 17)
    assert partition.known == 17
    assert partition.cluster_of.tolist() == [0] * 16 + [1]
    partition_know(partition.state, 5)
    assert partition.known == 17


@pytest.mark.parametrize("spare", [0, 7, 100])
def test_capacity_is_not_state(spare):
    exact, larger = Partition(5), Partition(5)
    larger.grow(5 + spare)
    for row in pairs_stream(2, 450, 20, 200):
        learn(exact, row)
        learn(larger, row)
        if partition_due(exact.state):
            assert exact.run_test() == larger.run_test()
    assert state_hash(exact.arrays()) == state_hash(larger.arrays())


@pytest.mark.parametrize("stop", [0, 1, 150, 640])
def test_restoring_a_snapshot_changes_nothing(stop):
    rows = pairs_stream(5, 1_200, 30, 300)
    whole, resumed = Partition(), Partition()
    for i, row in enumerate(rows):
        if i == stop:
            restored = Partition(2)
            restored.load_arrays({name: array.copy() for name, array in resumed.arrays().items()})
            resumed = restored
        learn(whole, row)
        learn(resumed, row)
        if i == 700:
            whole.retire(3)
            resumed.retire(3)
        if partition_due(whole.state):
            assert whole.run_test() == resumed.run_test()
    assert state_hash(whole.arrays()) == state_hash(resumed.arrays())
    assert whole.cluster_of.tolist() == resumed.cluster_of.tolist()


def test_a_retired_label_leaves_no_trace():
    retired, never = Partition(20), Partition(20)
    rows = pairs_stream(8, 150, 20, 150)
    for row in rows:
        learn(retired, row)
        learn(never, [label for label in row if label != 7])
        if partition_due(retired.state):
            retired.run_test()
            never.run_test()
    retired.retire(7)
    ours, theirs = retired.arrays(), never.arrays()
    for name in ours:
        if not name.startswith("candidate"):
            np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)


@pytest.mark.parametrize("name", ["clock", "replay.members", "counts.increment", "tree.parent", "candidate.size"])
def test_a_snapshot_that_does_not_fit_is_rejected(name):
    partition = Partition(20)
    for row in pairs_stream(1, 120, 20, 60):
        learn(partition, row)
    arrays = partition.arrays()
    with pytest.raises(SnapshotError):
        Partition().load_arrays({**arrays, name: arrays[name][:-1]})
    del arrays[name]
    with pytest.raises(SnapshotError, match=name.split(".")[-1]):
        Partition().load_arrays(arrays)


def test_a_snapshot_whose_parts_disagree_is_rejected():
    arrays = Partition(20).arrays()
    small = Partition(10).arrays()
    with pytest.raises(SnapshotError, match="20 labels"):
        Partition().load_arrays(arrays | {name: small[name] for name in small if name.startswith("tree")})
    strange = {"replay.offsets": np.array([0, 1], np.int64), "replay.members": np.array([20], np.int32)}
    with pytest.raises(SnapshotError, match="slot 20"):
        Partition().load_arrays(arrays | strange)


def test_too_many_labels_are_rejected():
    with pytest.raises(UsageError, match=r"labels\.maximum"):
        Partition(maximum=5_000)


def test_size_in_bytes_is_bounded():
    partition = Partition(300, maximum=300)
    for row in pairs_stream(1, 3_000, 300, 60):
        learn(partition, row)
    state = partition.state
    held = [*state.counts, *state.recent_sets, *state.tree, state.cluster_of, state.clock]
    assert sum(array.nbytes for array in held) < Partition.bytes_bound(300)
