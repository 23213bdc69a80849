"""The learned pool decode equals its plain twin."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamlearn.errors import SnapshotError
from streamlearn.learner.decode.learned_pool import (
    RENORMALISE_AT,
    LearnedPool,
    learned_pool_begin_label,
    learned_pool_learn_row,
)
from streamlearn.learner.decode.pool_scores import (
    EMPTY,
    INCREMENT,
    LOG_NOVEL,
    LOG_POOLED,
    LOG_SUM,
    NOVEL,
    POSTERIOR,
    ROWS,
    SQUARED,
    THETA,
    VOTED,
    learned_pool_marginals,
    learned_pool_posterior,
    learned_pool_rows,
    learned_pool_score_row,
)
from streamlearn.learner.decode.pooled_sets import CAPACITY, LONGEST
from streamlearn.learner.decode.set_lengths import ALL_LENGTHS, BUCKETS
from streamlearn.learner.label_sets import label_set_code
from tests.naive.learner.decode.learned_pool import LearnedPool as NaiveLearnedPool

LABELS = 6
Neighbours = list[tuple[frozenset[int], float]]


def packed(neighbours: Neighbours) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    sets = [np.array(sorted(members), np.int32) for members, _ in neighbours]
    return (
        np.array([label_set_code(members, 0, members.size) for members in sets], np.int64),
        np.array([weight for _, weight in neighbours], np.float32),
        np.array([0, *np.cumsum([members.size for members in sets])], np.int64),
        np.concatenate([np.zeros(0, np.int32), *sets]),
    )


class Kernels:
    """A pool driven the way the step kernel drives it."""

    def __init__(self, labels: int = LABELS, most_sets: int = CAPACITY) -> None:
        self.most_sets = most_sets
        self.owner = LearnedPool(most_sets)
        self.owner.grow(labels)
        self.labels = labels
        self.positives = np.zeros(labels, np.int64)

    def score(self, logits: Sequence[float], neighbours: Neighbours) -> frozenset[int] | None:
        place = learned_pool_score_row(
            self.owner.state, self.owner.scratch, np.array(logits, np.float32), self.labels, *packed(neighbours)
        )
        return None if place < 0 else self.members(place)

    def learn(self, row: set[int]) -> None:
        members = np.array(sorted(row), np.int32)
        self.positives[members] += 1
        learned_pool_learn_row(self.owner.state, self.owner.scratch, members, self.labels, self.positives)

    def members(self, place: int) -> frozenset[int]:
        sets = self.owner.state.sets
        return frozenset(sets.members[: sets.links[1, place], place].tolist())

    def join(self) -> None:
        self.labels += 1
        self.owner.grow(self.labels)
        learned_pool_begin_label(self.owner.state, self.labels - 1)
        self.positives = np.append(self.positives, 0)

    def retire(self, label: int) -> None:
        self.owner.retire(label)
        self.positives[label] = 0

    def resumed(self) -> Kernels:
        again = Kernels(0, self.most_sets)
        arrays = {name: array.copy() for name, array in self.owner.arrays(self.labels).items()}
        again.owner.load_arrays(arrays, self.labels)
        again.labels, again.positives = self.labels, self.positives.copy()
        return again

    def renormalise_soon(self) -> None:
        state = self.owner.state
        factor = RENORMALISE_AT * 0.9999 / state.numbers[INCREMENT]
        state.sets.counts[:] *= factor
        state.sets.log_counts[: state.sets.longer[0]] += np.float32(np.log(factor))
        state.label_counts[:] *= factor
        state.lengths[:] *= factor
        state.numbers[[INCREMENT, ROWS, NOVEL]] *= factor


def assert_equal_state(ours: Kernels, theirs: NaiveLearnedPool) -> None:
    state = ours.owner.state
    sets, numbers = state.sets, state.numbers
    increment = numbers[INCREMENT]
    size = int(sets.longer[0])
    places = {ours.members(place): place for place in range(size)}
    assert len(places) == size
    assert learned_pool_rows(state) == pytest.approx(theirs.rows, rel=1e-9)
    assert {s: sets.counts[place] / increment for s, place in places.items()} == pytest.approx(theirs.sets, rel=1e-9)
    lengths = state.lengths / increment
    counted = {(b, k): lengths[b, k] for b in range(BUCKETS) for k in range(LONGEST + 1) if lengths[b, k] > 0.0}
    assert counted == pytest.approx(theirs.lengths, rel=1e-9)
    np.testing.assert_allclose(lengths[BUCKETS, :-1], lengths[:BUCKETS, :-1].sum(0), rtol=1e-9)
    np.testing.assert_allclose(lengths[:BUCKETS, ALL_LENGTHS], lengths[:BUCKETS, :-1].sum(1), rtol=1e-9)
    bursts = {
        ours.members(int(sets.burst_places[i])): float(sets.burst_counts[i]) for i in range(int(sets.burst_size[0]))
    }
    assert bursts == pytest.approx(theirs.bursts, rel=1e-9)
    found = [len(s) for s in places]
    assert found == sorted(found, reverse=True)
    assert [int(n) for n in sets.longer] == [sum(n >= k for n in found) for k in range(LONGEST + 2)]
    np.testing.assert_allclose(sets.log_counts[:size], np.log(sets.counts[:size]), rtol=1e-6, atol=1e-6)
    prior = [theirs.prior_logits.get(label, 0.0) for label in range(ours.labels)]
    np.testing.assert_allclose(state.prior_logits[: ours.labels], prior, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(sets.prior_sums[:size], [sum(prior[m] for m in s) for s in places], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(numbers[THETA:SQUARED], theirs.theta, rtol=1e-3, atol=1e-3)


def assert_equal_scores(
    ours: Kernels, theirs: NaiveLearnedPool, best: frozenset[int] | None, scores: dict[frozenset[int], float]
) -> None:
    results = ours.owner.scratch.results
    escape = theirs.escape()
    assert results[LOG_POOLED] == pytest.approx(np.log(1.0 - escape), rel=1e-9)
    assert results[LOG_NOVEL] == pytest.approx(np.log(escape), rel=1e-9)
    if not scores:
        assert best is None
        assert results[POSTERIOR] == 0.0
        assert results[EMPTY] == 0.0
        assert results[LOG_SUM] == -np.inf
        return
    assert best is not None
    posterior = theirs.posterior(scores)
    assert scores[best] == pytest.approx(max(scores.values()), abs=2e-3)
    assert results[POSTERIOR] == pytest.approx(posterior[best], abs=2e-3)
    assert results[LOG_SUM] == pytest.approx(theirs.log_sum(scores), abs=2e-3, rel=1e-4)
    assert results[EMPTY] == pytest.approx(posterior.get(frozenset(), 0.0), abs=2e-3)
    asked = (*list(scores)[:3], frozenset(range(ours.labels)), frozenset(range(LONGEST + 1)))
    for members in asked:
        found = learned_pool_posterior(ours.owner.state, ours.owner.scratch, np.array(sorted(members), np.int32))
        assert found == pytest.approx(posterior.get(members, 0.0), abs=2e-3)
    marginals = np.zeros(ours.labels, np.float32)
    learned_pool_marginals(ours.owner.state, ours.owner.scratch, ours.labels, marginals)
    expected = [sum(p for s, p in posterior.items() if label in s) for label in range(ours.labels)]
    np.testing.assert_allclose(marginals, expected, atol=2e-3)


def example_row(
    rng: np.random.Generator, labels: int, neighbours: int, noise: float
) -> tuple[set[int], np.ndarray, Neighbours]:
    """Return a label set that occurs again and again, logits and neighbours that know something of it."""
    topics = np.random.default_rng(1).random((5, labels)) < 0.4
    truth = topics[rng.integers(5)] ^ (rng.random(labels) < noise)
    logits = rng.normal(2.0, 3.0, labels) * (2.0 * truth - 1.0)
    around: Neighbours = []
    for _ in range(rng.integers(neighbours + 1)):
        other = truth ^ (rng.random(labels) < noise)
        around.append((frozenset(np.flatnonzero(other).tolist()), float(np.float32(rng.integers(4)))))
    return set(np.flatnonzero(truth).tolist()), logits, around


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    labels=st.sampled_from([1, 3, LABELS]),
    neighbours=st.sampled_from([0, 5]),
    noise=st.sampled_from([0.0, 0.05, 0.3]),
    rows=st.integers(0, 90),
    partial=st.sampled_from([0.0, 0.3]),
    joins_after=st.integers(0, 90),
    retires_after=st.integers(0, 90),
    resumes_after=st.integers(0, 90),
    renormalises_after=st.integers(0, 90),
    most_sets=st.sampled_from([20, CAPACITY]),
)
def test_kernel_equals_twin(
    seed,
    labels,
    neighbours,
    noise,
    rows,
    partial,
    joins_after,
    retires_after,
    resumes_after,
    renormalises_after,
    most_sets,
):
    rng = np.random.default_rng(seed)
    ours, theirs = Kernels(labels, most_sets), NaiveLearnedPool(labels, most_sets)
    for i in range(rows):
        if i == joins_after:
            theirs.join(ours.labels)
            ours.join()
        if i == retires_after:
            ours.retire(0)
            theirs.retire(0)
        if i == resumes_after:
            ours = ours.resumed()
        if i == renormalises_after:
            ours.renormalise_soon()
        row, logits, around = example_row(rng, ours.labels, neighbours, noise)
        best = ours.score(logits.tolist(), around)
        scores = theirs.score(logits.astype(np.float32).tolist(), around)
        assert_equal_scores(ours, theirs, best, scores)
        if rng.random() >= partial:
            ours.learn(row)
            theirs.learn(row, scores)
        assert_equal_state(ours, theirs)
    assert ours.owner.state.numbers[INCREMENT] <= RENORMALISE_AT


def test_the_rarest_set_leaves_a_full_pool():
    rng = np.random.default_rng(6)
    ours, theirs = Kernels(60), NaiveLearnedPool(60)
    logits = rng.normal(-3.0, 2.0, 60).astype(np.float32).tolist()
    theirs.expect(logits)
    for i in range(1_700):
        row = set(rng.choice(60, rng.integers(0, 6), replace=False).tolist())
        around: Neighbours = [(frozenset(row), 2.0), (frozenset({1, 2}), 1.0)]
        best = ours.score(logits, around)
        scores = {}
        if frozenset(row) in theirs.sets or i % 100 == 99:
            scores = theirs.score(logits, around)
            assert_equal_scores(ours, theirs, best, scores)
        ours.learn(row)
        theirs.learn(row, scores)
    assert ours.owner.state.sets.longer[0] == CAPACITY
    assert_equal_state(ours, theirs)


def test_wide_sets_count_for_their_labels_and_as_novel_only():
    ours, theirs = Kernels(80), NaiveLearnedPool(80)
    for size in (LONGEST, LONGEST + 1, 80, LONGEST, 80):
        ours.score([1.0] * 80, [])
        scores = theirs.score([1.0] * 80, [])
        ours.learn(set(range(size)))
        theirs.learn(set(range(size)), scores)
    assert ours.owner.state.sets.longer[0] == 1
    assert_equal_state(ours, theirs)
    assert ours.owner.state.numbers[NOVEL] / ours.owner.state.numbers[INCREMENT] == pytest.approx(theirs.novel)


def test_old_bursts_are_forgotten_and_the_prior_logits_taken_anew():
    ours, theirs = Kernels(4), NaiveLearnedPool(4)
    for i in range(300):
        row = {0, 1} if i == 0 else {i % 3}
        ours.score([0.0] * 4, [])
        scores = theirs.score([0.0] * 4, [])
        ours.learn(row)
        theirs.learn(row, scores)
        assert_equal_state(ours, theirs)
    assert frozenset({0, 1}) not in theirs.bursts
    assert theirs.since > 0


def test_of_equal_sets_the_first_is_chosen():
    ours = Kernels(4)
    for row in ({0}, {1}, {2}):
        ours.learn(row)
    ours.owner.state.sets.counts[:3] = 1.0
    ours.owner.state.sets.log_counts[:3] = 0.0
    ours.owner.state.sets.prior_sums[:3] = 0.0
    ours.owner.state.sets.burst_size[0] = 0
    assert ours.score([0.0] * 4, []) == frozenset({0})
    assert ours.owner.scratch.results[POSTERIOR] == pytest.approx(1 / 3, rel=1e-6)


def test_sets_with_equal_codes_are_told_apart():
    ours = Kernels(8)
    ours.score([0.0] * 8, [])
    ours.learn({1, 3})
    ours.score([0.0] * 8, [])
    ours.learn({2, 3})
    ours.owner.state.sets.links[0, :2] = 7
    ours.owner.state.sets.heads[:] = -1
    ours.owner.state.sets.heads[7] = 1
    ours.owner.state.sets.links[2, :2] = -1, 0
    code, weight, starts, members = packed([(frozenset({1, 3}), 1.0), (frozenset({1, 4}), 1.0)])
    code[:] = 7
    learned_pool_score_row(
        ours.owner.state, ours.owner.scratch, np.zeros(8, np.float32), 8, code, weight, starts, members
    )
    scratch = ours.owner.scratch
    assert scratch.results[VOTED] == 1
    assert ours.members(int(scratch.voted[0])) == {1, 3}


def test_neighbours_without_weight_are_no_neighbours():
    ours = Kernels(3)
    for _ in range(6):
        ours.score([0.0] * 3, [])
        ours.learn({1})
    ours.score([0.0] * 3, [])
    alone = ours.owner.scratch.results.copy()
    ours.score([0.0] * 3, [(frozenset({1}), 0.0), (frozenset(), 0.0)])
    np.testing.assert_array_equal(ours.owner.scratch.results, alone)


def test_the_weight_of_useless_logits_falls_and_that_of_a_burst_rises():
    rng = np.random.default_rng(8)
    ours = Kernels(12)
    for i in range(1_200):
        ours.score(rng.normal(0.0, 2.0, 12).tolist(), [])
        ours.learn({i // 20 % 12})
    theta = ours.owner.state.numbers[THETA:SQUARED]
    assert theta[0] < 0.3
    assert theta[2] > 0.5


def test_the_length_of_a_set_follows_how_many_labels_are_expected():
    """Rows whose two labels are both likely have one, others have both: the lengths tell."""
    rng = np.random.default_rng(9)
    ours = Kernels(8)
    for i in range(600):
        members = rng.choice(8, 2, replace=False)
        both = i % 2 == 0
        logits = np.full(8, -4.0)
        logits[members] = 0.5 if both else 2.5
        ours.score(logits.tolist(), [])
        ours.learn(set(members.tolist()) if both else {int(members[0])})
    for logit, size in ((0.5, 2), (2.5, 1)):
        best = ours.score([logit, logit, *[-4.0] * 6], [])
        assert best is not None
        assert len(best) == size
    assert ours.owner.state.numbers[THETA + 4] > 0.5


def test_resuming_equals_never_stopping():
    rng = np.random.default_rng(3)
    ours = Kernels()
    again = ours
    for i in range(500):
        row, logits, around = example_row(rng, LABELS, 5, 0.2)
        if i % 90 == 50:
            ours.retire(i % LABELS)
            if again is not ours:
                again.retire(i % LABELS)
        if i % 100 == 70:
            again = ours.resumed()
        for each in {id(ours): ours, id(again): again}.values():
            each.score(logits.tolist(), around)
            each.learn(row)
        np.testing.assert_array_equal(ours.owner.scratch.results, again.owner.scratch.results)
    for name, array in ours.owner.arrays(LABELS).items():
        np.testing.assert_array_equal(again.owner.arrays(LABELS)[name], array, err_msg=name)


def test_spare_capacity_changes_nothing():
    rng = np.random.default_rng(4)
    small, large = Kernels(), Kernels()
    large.owner.grow(500)
    large.positives = np.zeros(500, np.int64)
    for _ in range(200):
        row, logits, around = example_row(rng, LABELS, 5, 0.1)
        for each in (small, large):
            each.score(logits.tolist(), around)
            each.learn(row)
    for name, array in small.owner.arrays(LABELS).items():
        np.testing.assert_array_equal(large.owner.arrays(LABELS)[name], array, err_msg=name)


def test_bounds_and_snapshots_that_do_not_fit():
    ours = Kernels()
    ours.learn({1, 2})
    ours.learn({3})
    state = ours.owner.state
    nbytes = sum(
        array.nbytes for array in (*state.sets, state.label_counts, state.prior_logits, state.numbers, state.lengths)
    )
    assert nbytes <= LearnedPool.bytes_bound(state.label_counts.size)
    arrays = ours.owner.arrays(LABELS)
    wrong = {
        "members": arrays["members"][:1],
        "longer": arrays["longer"][::-1].copy(),
        "counts": arrays["counts"][:1],
        "burst_places": arrays["burst_places"] + 7,
        "burst_counts": arrays["burst_counts"][:1],
        "label_counts": arrays["label_counts"][:2],
        "numbers": arrays["numbers"][:3],
        "lengths": arrays["lengths"][:3],
    }
    for name, array in wrong.items():
        with pytest.raises(SnapshotError):
            Kernels().owner.load_arrays({**arrays, name: array}, LABELS)
    with pytest.raises(SnapshotError, match="label sets"):
        Kernels().owner.load_arrays({**arrays, "members": arrays["members"] + 9}, LABELS)
