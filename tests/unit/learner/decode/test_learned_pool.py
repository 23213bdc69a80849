"""The learned pool equals its naive twin."""

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
    FIRST_SQUARED,
    FIRST_THETA,
    PoolFeature,
    PoolNumber,
    PoolResult,
    learned_pool_marginals,
    learned_pool_posterior,
    learned_pool_rows,
    learned_pool_score_row,
)
from streamlearn.learner.decode.pooled_sets import CAPACITY, LONGEST, SetField
from streamlearn.learner.decode.set_lengths import ALL_BUCKETS, ALL_LENGTHS, LENGTH_BUCKETS
from streamlearn.learner.label_sets import label_set_code
from tests.naive.learner.decode.learned_pool import LearnedPool as NaiveLearnedPool

LABELS = 6
Neighbours = list[tuple[frozenset[int], float]]


def pack(neighbours: Neighbours) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the neighbours as the arrays that `learned_pool_score_row` takes."""
    sets = [np.array(sorted(members), np.int32) for members, _ in neighbours]
    return (
        np.array([label_set_code(members, 0, members.size) for members in sets], np.int64),
        np.array([weight for _, weight in neighbours], np.float32),
        np.array([0, *np.cumsum([members.size for members in sets])], np.int64),
        np.concatenate([np.zeros(0, np.int32), *sets]),
    )


class PoolDriver:
    """A pool, called as the step kernel calls it."""

    def __init__(self, labels: int = LABELS, max_sets: int = CAPACITY) -> None:
        self.max_sets = max_sets
        self.owner = LearnedPool(max_sets)
        self.owner.grow(labels)
        self.labels = labels
        self.positives = np.zeros(labels, np.int64)

    def score(self, logits: Sequence[float], neighbours: Neighbours) -> frozenset[int] | None:
        best = learned_pool_score_row(
            self.owner.state, self.owner.scratch, np.array(logits, np.float32), self.labels, *pack(neighbours)
        )
        return None if best < 0 else self.members(best)

    def theta(self, feature: PoolFeature) -> float:
        return float(self.owner.state.numbers[FIRST_THETA + feature])

    def learn(self, row: set[int]) -> None:
        members = np.array(sorted(row), np.int32)
        self.positives[members] += 1
        learned_pool_learn_row(self.owner.state, self.owner.scratch, members, self.labels, self.positives)

    def members(self, index: int) -> frozenset[int]:
        sets = self.owner.state.sets
        return frozenset(sets.members[: sets.fields[SetField.LENGTH, index], index].tolist())

    def join(self) -> None:
        self.labels += 1
        self.owner.grow(self.labels)
        learned_pool_begin_label(self.owner.state, self.labels - 1)
        self.positives = np.append(self.positives, 0)

    def retire(self, label: int) -> None:
        self.owner.retire(label)
        self.positives[label] = 0

    def restore(self) -> PoolDriver:
        """Return a pool that has loaded the arrays of this one."""
        restored = PoolDriver(0, self.max_sets)
        arrays = {name: array.copy() for name, array in self.owner.arrays(self.labels).items()}
        restored.owner.load_arrays(arrays, self.labels)
        restored.labels, restored.positives = self.labels, self.positives.copy()
        return restored

    def approach_renormalisation(self) -> None:
        """Scale all counts so that they are renormalised at the next row."""
        state = self.owner.state
        factor = RENORMALISE_AT * 0.9999 / state.numbers[PoolNumber.INCREMENT]
        state.sets.counts[:] *= factor
        state.sets.log_counts[: state.sets.at_least[0]] += np.float32(np.log(factor))
        state.label_counts[:] *= factor
        state.lengths[:] *= factor
        state.numbers[[PoolNumber.INCREMENT, PoolNumber.ROWS, PoolNumber.NOVEL]] *= factor


def assert_equal_state(ours: PoolDriver, twin: NaiveLearnedPool) -> None:
    state = ours.owner.state
    sets, numbers = state.sets, state.numbers
    increment = numbers[PoolNumber.INCREMENT]
    size = int(sets.at_least[0])
    indices = {ours.members(index): index for index in range(size)}
    assert len(indices) == size
    assert learned_pool_rows(state) == pytest.approx(twin.rows, rel=1e-9)
    assert {s: sets.counts[index] / increment for s, index in indices.items()} == pytest.approx(twin.sets, rel=1e-9)
    lengths = state.lengths / increment
    cells = [(b, k) for b in range(LENGTH_BUCKETS) for k in range(LONGEST + 1)]
    nonzero = {(b, k): lengths[b, k] for b, k in cells if lengths[b, k] > 0.0}
    assert nonzero == pytest.approx(twin.lengths, rel=1e-9)
    by_bucket = lengths[:LENGTH_BUCKETS, :ALL_LENGTHS]
    np.testing.assert_allclose(lengths[ALL_BUCKETS, :ALL_LENGTHS], by_bucket.sum(0), rtol=1e-9)
    np.testing.assert_allclose(lengths[:LENGTH_BUCKETS, ALL_LENGTHS], by_bucket.sum(1), rtol=1e-9)
    entries = range(int(sets.recent_size[0]))
    recent = {ours.members(int(sets.recent_sets[i])): float(sets.recent_counts[i]) for i in entries}
    assert recent == pytest.approx(twin.recent, rel=1e-9)
    sizes = [len(s) for s in indices]
    assert sizes == sorted(sizes, reverse=True)
    assert [int(n) for n in sets.at_least] == [sum(n >= k for n in sizes) for k in range(LONGEST + 2)]
    np.testing.assert_allclose(sets.log_counts[:size], np.log(sets.counts[:size]), rtol=1e-6, atol=1e-6)
    prior = [twin.prior_logits.get(label, 0.0) for label in range(ours.labels)]
    np.testing.assert_allclose(state.prior_logits[: ours.labels], prior, rtol=1e-5, atol=1e-6)
    prior_sums = [sum(prior[label] for label in s) for s in indices]
    np.testing.assert_allclose(sets.prior_sums[:size], prior_sums, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(numbers[FIRST_THETA:FIRST_SQUARED], twin.theta, rtol=1e-3, atol=1e-3)


def assert_equal_scores(
    ours: PoolDriver, twin: NaiveLearnedPool, best: frozenset[int] | None, scores: dict[frozenset[int], float]
) -> None:
    results = ours.owner.scratch.results
    escape = twin.escape()
    assert results[PoolResult.LOG_POOLED] == pytest.approx(np.log(1.0 - escape), rel=1e-9)
    assert results[PoolResult.LOG_NOVEL] == pytest.approx(np.log(escape), rel=1e-9)
    if not scores:
        assert best is None
        assert results[PoolResult.BEST_POSTERIOR] == 0.0
        assert results[PoolResult.EMPTY_POSTERIOR] == 0.0
        assert results[PoolResult.LOG_SUM] == -np.inf
        return
    assert best is not None
    posterior = twin.posterior(scores)
    assert scores[best] == pytest.approx(max(scores.values()), abs=2e-3)
    assert results[PoolResult.BEST_POSTERIOR] == pytest.approx(posterior[best], abs=2e-3)
    assert results[PoolResult.LOG_SUM] == pytest.approx(twin.log_sum(scores), abs=2e-3, rel=1e-4)
    assert results[PoolResult.EMPTY_POSTERIOR] == pytest.approx(posterior.get(frozenset(), 0.0), abs=2e-3)
    for members in (*list(scores)[:3], frozenset(range(ours.labels)), frozenset(range(LONGEST + 1))):
        found = learned_pool_posterior(ours.owner.state, ours.owner.scratch, np.array(sorted(members), np.int32))
        assert found == pytest.approx(posterior.get(members, 0.0), abs=2e-3)
    marginals = np.zeros(ours.labels, np.float32)
    learned_pool_marginals(ours.owner.state, ours.owner.scratch, ours.labels, marginals)
    expected = [sum(p for s, p in posterior.items() if label in s) for label in range(ours.labels)]
    np.testing.assert_allclose(marginals, expected, atol=2e-3)


def example_row(
    rng: np.random.Generator, labels: int, neighbours: int, noise: float
) -> tuple[set[int], np.ndarray, Neighbours]:
    """Return a label set that recurs, and logits and neighbours' label sets that resemble it."""
    topics = np.random.default_rng(1).random((5, labels)) < 0.4
    truth = topics[rng.integers(5)] ^ (rng.random(labels) < noise)
    logits = rng.normal(2.0, 3.0, labels) * (2.0 * truth - 1.0)
    around: Neighbours = []
    for _ in range(rng.integers(neighbours + 1)):
        other = truth ^ (rng.random(labels) < noise)
        around.append((frozenset(np.flatnonzero(other).tolist()), float(np.float32(rng.integers(4)))))
    return set(np.flatnonzero(truth).tolist()), logits, around


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    labels=st.sampled_from([1, 3, LABELS]),
    neighbours=st.sampled_from([0, 5]),
    noise=st.sampled_from([0.0, 0.05, 0.3]),
    rows=st.integers(0, 90),
    partial=st.sampled_from([0.0, 0.3]),
    joins_after=st.integers(0, 90),
    retires_after=st.integers(0, 90),
    restored_after=st.integers(0, 90),
    renormalises_after=st.integers(0, 90),
    max_sets=st.sampled_from([20, CAPACITY]),
)
def test_kernels_equal_twin(
    seed,
    labels,
    neighbours,
    noise,
    rows,
    partial,
    joins_after,
    retires_after,
    restored_after,
    renormalises_after,
    max_sets,
):
    rng = np.random.default_rng(seed)
    ours, twin = PoolDriver(labels, max_sets), NaiveLearnedPool(labels, max_sets)
    for i in range(rows):
        if i == joins_after:
            twin.join(ours.labels)
            ours.join()
        if i == retires_after:
            ours.retire(0)
            twin.retire(0)
        if i == restored_after:
            ours = ours.restore()
        if i == renormalises_after:
            ours.approach_renormalisation()
        row, logits, around = example_row(rng, ours.labels, neighbours, noise)
        best = ours.score(logits.tolist(), around)
        scores = twin.score(logits.astype(np.float32).tolist(), around)
        assert_equal_scores(ours, twin, best, scores)
        if rng.random() >= partial:
            ours.learn(row)
            twin.learn(row, scores)
        assert_equal_state(ours, twin)
    assert ours.owner.state.numbers[PoolNumber.INCREMENT] <= RENORMALISE_AT


def test_a_new_set_replaces_the_rarest_of_a_full_pool():
    rng = np.random.default_rng(6)
    ours, twin = PoolDriver(60), NaiveLearnedPool(60)
    logits = rng.normal(-3.0, 2.0, 60).astype(np.float32).tolist()
    twin.expect(logits)
    for i in range(1_700):
        row = set(rng.choice(60, rng.integers(0, 6), replace=False).tolist())
        around: Neighbours = [(frozenset(row), 2.0), (frozenset({1, 2}), 1.0)]
        best = ours.score(logits, around)
        scores = {}
        if frozenset(row) in twin.sets or i % 100 == 99:
            scores = twin.score(logits, around)
            assert_equal_scores(ours, twin, best, scores)
        ours.learn(row)
        twin.learn(row, scores)
    assert ours.owner.state.sets.at_least[0] == CAPACITY
    assert_equal_state(ours, twin)


def test_sets_beyond_the_longest_count_for_their_labels_and_as_novel_only():
    ours, twin = PoolDriver(80), NaiveLearnedPool(80)
    for size in (LONGEST, LONGEST + 1, 80, LONGEST, 80):
        ours.score([1.0] * 80, [])
        scores = twin.score([1.0] * 80, [])
        ours.learn(set(range(size)))
        twin.learn(set(range(size)), scores)
    assert ours.owner.state.sets.at_least[0] == 1
    assert_equal_state(ours, twin)
    numbers = ours.owner.state.numbers
    assert numbers[PoolNumber.NOVEL] / numbers[PoolNumber.INCREMENT] == pytest.approx(twin.novel)


def test_small_recent_counts_are_dropped_and_prior_logits_refreshed():
    ours, twin = PoolDriver(4), NaiveLearnedPool(4)
    for i in range(300):
        row = {0, 1} if i == 0 else {i % 3}
        ours.score([0.0] * 4, [])
        scores = twin.score([0.0] * 4, [])
        ours.learn(row)
        twin.learn(row, scores)
        assert_equal_state(ours, twin)
    assert frozenset({0, 1}) not in twin.recent
    assert twin.rows_since_refresh > 0


def test_of_sets_with_equal_scores_the_first_is_returned():
    ours = PoolDriver(4)
    for row in ({0}, {1}, {2}):
        ours.learn(row)
    ours.owner.state.sets.counts[:3] = 1.0
    ours.owner.state.sets.log_counts[:3] = 0.0
    ours.owner.state.sets.prior_sums[:3] = 0.0
    ours.owner.state.sets.recent_size[0] = 0
    assert ours.score([0.0] * 4, []) == frozenset({0})
    assert ours.owner.scratch.results[PoolResult.BEST_POSTERIOR] == pytest.approx(1 / 3, rel=1e-6)


def test_sets_with_equal_codes_are_distinguished():
    ours = PoolDriver(8)
    ours.score([0.0] * 8, [])
    ours.learn({1, 3})
    ours.score([0.0] * 8, [])
    ours.learn({2, 3})
    ours.owner.state.sets.fields[SetField.CODE, :2] = 7
    ours.owner.state.sets.heads[:] = -1
    ours.owner.state.sets.heads[7] = 1
    ours.owner.state.sets.fields[SetField.NEXT, :2] = -1, 0
    code, weight, starts, members = pack([(frozenset({1, 3}), 1.0), (frozenset({1, 4}), 1.0)])
    code[:] = 7
    learned_pool_score_row(
        ours.owner.state, ours.owner.scratch, np.zeros(8, np.float32), 8, code, weight, starts, members
    )
    scratch = ours.owner.scratch
    assert scratch.results[PoolResult.VOTED_SETS] == 1
    assert ours.members(int(scratch.voted[0])) == {1, 3}


def test_neighbours_of_weight_zero_change_nothing():
    ours = PoolDriver(3)
    for _ in range(6):
        ours.score([0.0] * 3, [])
        ours.learn({1})
    ours.score([0.0] * 3, [])
    alone = ours.owner.scratch.results.copy()
    ours.score([0.0] * 3, [(frozenset({1}), 0.0), (frozenset(), 0.0)])
    np.testing.assert_array_equal(ours.owner.scratch.results, alone)


def test_theta_falls_for_random_logits_and_rises_for_recent_sets():
    rng = np.random.default_rng(8)
    ours = PoolDriver(12)
    for i in range(1_200):
        ours.score(rng.normal(0.0, 2.0, 12).tolist(), [])
        ours.learn({i // 20 % 12})
    assert ours.theta(PoolFeature.LOGITS) < 0.3
    assert ours.theta(PoolFeature.RECENT) > 0.5


def test_the_length_of_the_best_set_depends_on_the_expected_number_of_labels():
    """Two likely labels come with a set of one, two unlikely labels with a set of both: only the lengths show it."""
    rng = np.random.default_rng(9)
    ours = PoolDriver(8)
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
    assert ours.theta(PoolFeature.LENGTH) > 0.5


def test_restoring_equals_never_stopping():
    rng = np.random.default_rng(3)
    ours = PoolDriver()
    restored = ours
    for i in range(500):
        row, logits, around = example_row(rng, LABELS, 5, 0.2)
        if i % 90 == 50:
            ours.retire(i % LABELS)
            if restored is not ours:
                restored.retire(i % LABELS)
        if i % 100 == 70:
            restored = ours.restore()
        for each in {id(ours): ours, id(restored): restored}.values():
            each.score(logits.tolist(), around)
            each.learn(row)
        np.testing.assert_array_equal(ours.owner.scratch.results, restored.owner.scratch.results)
    for name, array in ours.owner.arrays(LABELS).items():
        np.testing.assert_array_equal(restored.owner.arrays(LABELS)[name], array, err_msg=name)


def test_spare_label_capacity_changes_nothing():
    rng = np.random.default_rng(4)
    small, large = PoolDriver(), PoolDriver()
    large.owner.grow(500)
    large.positives = np.zeros(500, np.int64)
    for _ in range(200):
        row, logits, around = example_row(rng, LABELS, 5, 0.1)
        for each in (small, large):
            each.score(logits.tolist(), around)
            each.learn(row)
    for name, array in small.owner.arrays(LABELS).items():
        np.testing.assert_array_equal(large.owner.arrays(LABELS)[name], array, err_msg=name)


def test_size_within_bound_and_wrong_snapshots_refused():
    ours = PoolDriver()
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
            PoolDriver().owner.load_arrays({**arrays, name: array}, LABELS)
    with pytest.raises(SnapshotError, match="label sets"):
        PoolDriver().owner.load_arrays({**arrays, "members": arrays["members"] + 9}, LABELS)
