"""The expected utilities equal their naive twin, and the F1 set is the best of all label sets."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamlearn.errors import SnapshotError
from streamlearn.learner.decode.utility import (
    BALANCED,
    CANDIDATES,
    Candidate,
    Candidates,
    Utility,
    candidates_scratch,
    find_f1_set,
    sum_marginals,
    utility_choose,
    utility_learn_row,
    utility_predict_set,
)
from tests.naive.learner.decode import utility as naive

marginals_of_labels = st.lists(st.floats(0.0, 1.0, width=32), max_size=9)


def f1_set(marginals: list[float], allowed: list[int], empty: float) -> set[int]:
    q = np.array(marginals, np.float32)
    out = np.zeros(len(q), np.int32)
    expected = sum_marginals(q, len(q))
    size = find_f1_set(q, len(q), expected, empty, np.array(allowed, np.uint8), out)
    members = out[:size].tolist()
    assert members == sorted(set(members))
    return set(members)


@settings(max_examples=300, deadline=None)
@given(marginals=marginals_of_labels, empty=st.floats(0.0, 1.0), data=st.data())
def test_f1_set_is_the_best_of_all_label_sets(marginals, empty, data):
    allowed = data.draw(st.lists(st.integers(0, 1), min_size=len(marginals), max_size=len(marginals)))
    usable = [label for label, flag in enumerate(allowed) if flag]
    every = [set(row) for k in range(len(usable) + 1) for row in itertools.combinations(usable, k)]
    found = f1_set(marginals, allowed, empty)
    assert found <= set(usable)
    value = naive.predicted_f1(marginals, found, empty)
    assert value == pytest.approx(max(naive.predicted_f1(marginals, row, empty) for row in every), rel=1e-6)
    sorted_set = naive.f1_set(marginals, set(usable), empty)
    assert value == pytest.approx(naive.predicted_f1(marginals, sorted_set, empty), rel=1e-6)


def test_f1_set_of_many_labels_equals_twin():
    rng = np.random.default_rng(0)
    for _ in range(50):
        q = (rng.random(983) ** rng.integers(1, 60)).astype(np.float32).tolist()
        found, expected = f1_set(q, [1] * 983, 0.0), naive.f1_set(q, set(range(983)), 0.0)
        assert naive.predicted_f1(q, found, 0.0) == pytest.approx(naive.predicted_f1(q, expected, 0.0), rel=1e-6)


def propose(proposed: Candidates, sets: list[set[int] | None], q: np.ndarray, empty: float, p: list[float]) -> None:
    for candidate, members in enumerate(sets):
        if members is None:
            proposed.size[candidate] = -1
            continue
        proposed.size[candidate] = len(members)
        proposed.members[candidate, : len(members)] = sorted(members)
        utility_predict_set(proposed, candidate, q, sum_marginals(q, len(q)), empty, p[candidate])


@pytest.mark.parametrize("labels", [0, 1, 6])
@pytest.mark.parametrize("balance", [0.0, BALANCED, 1e6])
def test_choice_and_calibration_equal_twin(labels, balance):
    rng = np.random.default_rng(labels)
    owner, twins = Utility(), [naive.Calibration() for _ in range(CANDIDATES)]
    proposed = candidates_scratch(labels)
    ever_chosen = set()
    for row in range(400):
        truth = (rng.random(labels) < 0.3).astype(np.int8)
        q = np.clip(rng.normal(0.5 * truth + 0.2, 0.2), 0.0, 1.0).astype(np.float32)
        sets: list[set[int] | None] = [set(np.flatnonzero(rng.random(labels) < q + 0.1).tolist()) for _ in range(3)]
        if row % 7 == 0:
            sets[Candidate.POOL_SET] = None
        if row % 5 == 0:
            sets[Candidate.TREE_SET] = set()
        sets[Candidate.F1_SET] = set(np.flatnonzero(truth).tolist()) if row % 3 else sets[Candidate.F1_SET]
        empty, p = float(rng.random()), rng.random(3).tolist()
        propose(proposed, sets, q, empty, p)
        values = {}
        for candidate, members in enumerate(sets):
            if members is not None:
                predicted = naive.predicted_f1(q.tolist(), members, empty), p[candidate]
                assert proposed.predicted[candidate].tolist() == pytest.approx(predicted, rel=1e-6)
                values[candidate] = twins[candidate].utility(predicted, balance)
        chosen = utility_choose(owner.state, proposed, balance)
        assert values[chosen] == pytest.approx(max(values.values()), rel=1e-6)
        ever_chosen.add(chosen)
        positives = set(np.flatnonzero(truth).tolist())
        utility_learn_row(owner.state, proposed, truth, len(positives))
        for candidate, members in enumerate(sets):
            if members is not None:
                predicted = proposed.predicted[candidate].tolist()
                twins[candidate].learn((predicted[0], predicted[1]), naive.actual(members, positives))
    expected = [[[a, b] for a, b in zip(twin.predicted, twin.actual, strict=True)] for twin in twins]
    np.testing.assert_allclose(owner.state.sums, expected, rtol=1e-9)
    assert labels < 2 or len(ever_chosen) == CANDIDATES


def test_the_lowest_candidate_is_chosen_on_ties():
    proposed = candidates_scratch(3)
    q = np.array([0.5, 0.2, 0.1], np.float32)
    propose(proposed, [{0}, {0}, {0}], q, 0.1, [0.3] * 3)
    assert utility_choose(Utility().state, proposed, BALANCED) == Candidate.POOL_SET
    propose(proposed, [None, {0}, {0}], q, 0.1, [0.3] * 3)
    assert utility_choose(Utility().state, proposed, BALANCED) == Candidate.TREE_SET


def test_snapshot_round_trip_and_wrong_shape():
    owner, other = Utility(), Utility()
    proposed = candidates_scratch(3)
    propose(proposed, [{0}, set(), {2}], np.array([0.5, 0.2, 0.1], np.float32), 0.1, [0.3] * 3)
    utility_learn_row(owner.state, proposed, np.array([1, 0, 0], np.int8), 1)
    other.load_arrays(owner.arrays())
    np.testing.assert_array_equal(other.state.sums, owner.state.sums)
    assert owner.state.sums.nbytes <= Utility.bytes_bound()
    with pytest.raises(SnapshotError):
        other.load_arrays({"sums": np.zeros((2, 2, 2))})
