"""The learned pool: learns the pooled label sets, their counts, and the weights theta of `pool_scores`.

If the true set is in the pool, theta climbs the log probability of that set within the pool by AdaGrad:
theta += .05 g / sqrt(G), g = phi(true) - E[phi], G += g^2, starting from 1. theta starts at (1, .5, .05, .3, .2): half
of the prior, because the labels' probabilities are not independent given the instance.

Source: Duchi, Hazan and Singer, *Adaptive Subgradient Methods* (JMLR 2011), the step.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from streamlearn.errors import SnapshotError
from streamlearn.kernels.compiler import kernel
from streamlearn.learner.decode.pool_scores import (
    FIRST_SLOPE,
    FIRST_SQUARED,
    FIRST_THETA,
    NUMBERS,
    POOL_FEATURES,
    RESULTS,
    LearnedPoolScratch,
    LearnedPoolState,
    PoolFeature,
    PoolNumber,
    PoolResult,
    learned_pool_rows,
    pairwise_sum,
)
from streamlearn.learner.decode.pooled_sets import (
    CAPACITY,
    HASH_BUCKETS,
    LONGEST,
    PADDED_CAPACITY,
    RECENT_CAPACITY,
    RECENT_DECAY,
    SetField,
    count_set,
    decay_recent_counts,
    derive_fields,
    empty_sets,
    find_rarest_set,
    find_set,
    insert_set,
    remove_set,
    scale_counts,
    sum_members,
)
from streamlearn.learner.decode.set_lengths import LENGTH_COUNTS_SHAPE, count_length
from streamlearn.learner.label_sets import label_set_code
from streamlearn.numerics.adagrad import adagrad_step
from streamlearn.numerics.exp_log import log32
from streamlearn.state.array_loading import load_labels, load_whole
from streamlearn.state.growth import grow

GROWTH = 1.0 / 0.9995
"""Factor of the increment per complete row: counts decay by its inverse."""

RENORMALISE_AT = 2.0**40
LEAST_RATE = np.float32(0.0005)
LARGEST_RATE = np.float32(0.999)
LEAST_POSITIVES = 5
"""Positives from which a label that joined late has a prior logit."""

ROWS_PER_REFRESH = 64.0
"""Decayed complete rows for which the prior logits are kept one row longer."""

STEP = 0.05
INITIAL_THETA = (1.0, 0.5, 0.05, 0.3, 0.2)
INITIAL_SQUARED = 1.0
_ZERO = np.float32(0.0)
_ONE = np.float32(1.0)


@kernel
def _learn_theta(state: LearnedPoolState, scratch: LearnedPoolScratch, index: int) -> None:
    """Take one AdaGrad step of theta towards the pooled set at ``index``, the true one."""
    sets = state.sets
    theta = state.numbers[FIRST_THETA:FIRST_SQUARED]
    squared = state.numbers[FIRST_SQUARED:]
    weights = scratch.weights
    total = scratch.results[PoolResult.WEIGHT_SUM]
    size = sets.at_least[0]
    products = scratch.scores
    for other in range(size):
        products[other] = weights[other] * scratch.logit_sums[other]
    slopes = scratch.results[FIRST_SLOPE:]
    slopes[PoolFeature.LOGITS] = np.float64(scratch.logit_sums[index]) - pairwise_sum(products, size) / total
    for other in range(size):
        products[other] = weights[other] * (sets.log_counts[other] - sets.prior_sums[other])
    prior = np.float64(sets.log_counts[index] - sets.prior_sums[index])
    slopes[PoolFeature.PRIOR] = prior - pairwise_sum(products, size) / total
    slopes[PoolFeature.RECENT] = 0.0
    for entry in range(sets.recent_size[0]):
        other = sets.recent_sets[entry]
        slopes[PoolFeature.RECENT] += np.float64(scratch.recency[entry]) * (
            (1.0 if other == index else 0.0) - weights[other] / total
        )
    slopes[PoolFeature.NEIGHBOURS] = 0.0
    for i in range(np.int64(scratch.results[PoolResult.VOTED_SETS])):
        other = scratch.voted[i]
        slopes[PoolFeature.NEIGHBOURS] += np.float64(scratch.agreement[i]) * (
            (1.0 if other == index else 0.0) - weights[other] / total
        )
    first = 0
    for length in range(LONGEST, -1, -1):
        for other in range(first, sets.at_least[length]):
            products[other] = weights[other] * scratch.length_evidence[length]
        first = sets.at_least[length]
    evidence = np.float64(scratch.length_evidence[sets.fields[SetField.LENGTH, index]])
    slopes[PoolFeature.LENGTH] = evidence - pairwise_sum(products, size) / total
    for feature in range(POOL_FEATURES):
        slope = slopes[feature]
        squared[feature] += slope * slope
        theta[feature] += adagrad_step(STEP, slope, squared[feature])


@kernel
def _refresh_prior_logits(state: LearnedPoolState, labels: int, positives: np.ndarray) -> None:
    """Compute the labels' prior logits, and their sums over each set, from the counts."""
    scale = 1.0 / state.numbers[PoolNumber.ROWS]
    for label in range(labels):
        rate = min(max(np.float32(state.label_counts[label] * scale), LEAST_RATE), LARGEST_RATE)
        logit = log32(rate / (_ONE - rate))
        state.prior_logits[label] = logit if positives[label] >= LEAST_POSITIVES or state.late[label] == 0 else _ZERO
    sum_members(state.sets, state.prior_logits, state.sets.prior_sums)
    state.numbers[PoolNumber.ROWS_SINCE_REFRESH] = 0.0


@kernel
def _count_row(state: LearnedPoolState, members: np.ndarray, novel: bool) -> None:
    """Decay the counts of rows, novel sets and labels by one complete row, and count it."""
    numbers = state.numbers
    increment = numbers[PoolNumber.INCREMENT] * GROWTH
    if increment > RENORMALISE_AT:
        factor = 1.0 / RENORMALISE_AT
        increment *= factor
        numbers[PoolNumber.ROWS] *= factor
        numbers[PoolNumber.NOVEL] *= factor
        for label in range(state.label_counts.size):
            state.label_counts[label] *= factor
        scale_counts(state.sets, factor)
        for bucket in range(state.lengths.shape[0]):
            for length in range(state.lengths.shape[1]):
                state.lengths[bucket, length] *= factor
    numbers[PoolNumber.INCREMENT] = increment
    numbers[PoolNumber.ROWS] += increment
    if novel:
        numbers[PoolNumber.NOVEL] += increment
    for i in range(members.size):
        state.label_counts[members[i]] += increment
    numbers[PoolNumber.RECENT_ROWS] = numbers[PoolNumber.RECENT_ROWS] * RECENT_DECAY + 1.0


@kernel
def learned_pool_learn_row(
    state: LearnedPoolState,
    scratch: LearnedPoolScratch,
    members: np.ndarray,
    labels: int,
    positives: np.ndarray,
) -> None:
    """Learn one complete row, directly after `learned_pool_score_row` has scored it.

    In a full pool, a new set replaces the set with the smallest count. A set with more than LONGEST members is not
    pooled: it counts for its labels and as novel only.

    Parameters
    ----------
    state, scratch
        The pool; the results of scoring the row.
    members
        int32[k], the slots of the row's label set, ascending.
    labels
        Labels as of the row.
    positives
        int64[labels], the rows in which each label was learned as true.
    """
    sets = state.sets
    numbers = state.numbers
    code = label_set_code(members, np.int64(0), members.size)
    index = -1
    if members.size <= LONGEST:
        index = find_set(sets, members, np.int64(0), members.size, code)
    if index >= 0:
        _learn_theta(state, scratch, index)
    _count_row(state, members, index < 0)
    decay_recent_counts(sets)
    if members.size <= LONGEST:
        if index < 0:
            if sets.at_least[0] == state.max_sets[0]:
                remove_set(sets, find_rarest_set(sets))
            index = insert_set(sets, members, code)
            sets.counts[index] = 0.0
            prior = _ZERO
            for i in range(members.size):
                prior += state.prior_logits[members[i]]
            sets.prior_sums[index] = prior
        count_set(sets, index, numbers[PoolNumber.INCREMENT])
        bucket = np.int64(scratch.results[PoolResult.LENGTH_BUCKET])
        count_length(state.lengths, bucket, members.size, numbers[PoolNumber.INCREMENT])
    numbers[PoolNumber.ROWS_SINCE_REFRESH] += 1.0
    if numbers[PoolNumber.ROWS_SINCE_REFRESH] >= 1.0 + np.floor(learned_pool_rows(state) / ROWS_PER_REFRESH):
        _refresh_prior_logits(state, labels, positives)


@kernel
def learned_pool_begin_label(state: LearnedPoolState, label: int) -> None:
    """Mark a label as joined late: it has no prior before it has positives of its own."""
    state.late[label] = 1


@kernel
def learned_pool_retire(state: LearnedPoolState, slot: int) -> None:
    """Remove a label: clear its count and remove every pooled set that contains it."""
    state.label_counts[slot] = 0.0
    state.prior_logits[slot] = _ZERO
    sets = state.sets
    for index in range(sets.at_least[0] - 1, -1, -1):
        for position in range(sets.fields[SetField.LENGTH, index]):
            if sets.members[position, index] == slot:
                remove_set(sets, index)
                break


@kernel
def _derive(state: LearnedPoolState) -> None:
    """Derive what snapshots do not contain from the loaded arrays."""
    derive_fields(state.sets)
    sum_members(state.sets, state.prior_logits, state.sets.prior_sums)


class LearnedPool:
    """Owns the pool of label sets and the weights of its features.

    Parameters
    ----------
    max_sets
        Largest number of label sets, at most CAPACITY.
    """

    def __init__(self, max_sets: int = CAPACITY) -> None:
        numbers = np.zeros(NUMBERS)
        numbers[PoolNumber.INCREMENT] = 1.0
        numbers[FIRST_THETA:FIRST_SQUARED] = INITIAL_THETA
        numbers[FIRST_SQUARED:] = INITIAL_SQUARED
        self.state = LearnedPoolState(
            sets=empty_sets(),
            label_counts=np.zeros(0),
            prior_logits=np.zeros(0, np.float32),
            numbers=numbers,
            late=np.zeros(0, np.uint8),
            lengths=np.zeros(LENGTH_COUNTS_SHAPE),
            max_sets=np.array([max_sets], np.int64),
        )
        self.scratch = self._new_scratch(0)

    @staticmethod
    def _new_scratch(labels: int) -> LearnedPoolScratch:
        return LearnedPoolScratch(
            values=np.zeros(labels, np.float32),
            logit_sums=np.zeros(PADDED_CAPACITY, np.float32),
            scores=np.zeros(PADDED_CAPACITY, np.float32),
            weights=np.zeros(PADDED_CAPACITY, np.float32),
            recency=np.zeros(RECENT_CAPACITY, np.float32),
            votes=np.zeros(PADDED_CAPACITY),
            voted=np.zeros(PADDED_CAPACITY, np.int64),
            agreement=np.zeros(PADDED_CAPACITY, np.float32),
            results=np.zeros(RESULTS),
            indices=np.zeros(PADDED_CAPACITY, np.int32),
            partial=np.zeros(labels, np.float32),
            length_evidence=np.zeros(LONGEST + 1, np.float32),
        )

    def grow(self, labels: int) -> None:
        """Make room for ``labels`` label slots."""
        counts = grow(self.state.label_counts, labels)
        if counts is not self.state.label_counts:
            self.state = self.state._replace(
                label_counts=counts,
                prior_logits=grow(self.state.prior_logits, labels),
                late=grow(self.state.late, labels),
            )
            self.scratch = self._new_scratch(counts.size)

    def retire(self, slot: int) -> None:
        """Remove the label of a slot."""
        learned_pool_retire(self.state, slot)

    def arrays(self, labels: int) -> dict[str, np.ndarray]:
        """Return the sets, counts and weights in use, by array name.

        ``members`` is the first member of each set, then the second member of each set that has one, and so on.
        """
        sets = self.state.sets
        size, recent = int(sets.at_least[0]), int(sets.recent_size[0])
        return {
            "members": np.concatenate(
                [sets.members[position, : sets.at_least[position + 1]] for position in range(LONGEST)]
            ),
            "longer": sets.at_least,
            "counts": sets.counts[:size],
            "burst_places": sets.recent_sets[:recent],
            "burst_counts": sets.recent_counts[:recent],
            "label_counts": self.state.label_counts[:labels],
            "prior_logits": self.state.prior_logits[:labels],
            "late": self.state.late[:labels],
            "numbers": self.state.numbers,
            "lengths": self.state.lengths,
        }

    def load_arrays(self, arrays: Mapping[str, np.ndarray], labels: int) -> None:
        """Load the state that `arrays` returned; raises `SnapshotError` if an array does not fit."""
        self.grow(labels)
        sets = self.state.sets
        load_whole(sets.at_least, arrays["longer"])
        at_least = [int(size) for size in sets.at_least]
        members, recent_sets = arrays["members"], arrays["burst_places"]
        recent = recent_sets.size
        max_sets = int(self.state.max_sets[0])
        if (
            not max_sets >= at_least[0] >= recent
            or recent > RECENT_CAPACITY
            or at_least != sorted(at_least, reverse=True)
            or at_least[-1] != 0
            or members.shape != (sum(int(size) for size in at_least[1:]),)
            or (members.size > 0 and not 0 <= members.min() <= members.max() < labels)
            or (recent > 0 and not 0 <= recent_sets.min() <= recent_sets.max() < at_least[0])
        ):
            raise SnapshotError(
                f"the snapshot's pool of {at_least[0]} label sets with {members.size} members in total does not fit "
                f"this model: at most {max_sets} label sets, each with at most {LONGEST} of {labels} labels"
            )
        first = 0
        for position, size in enumerate(at_least[1:]):
            sets.members[min(position, LONGEST - 1), :size] = members[first : first + size]
            first += size
        load_labels(sets.counts[: at_least[0]], arrays["counts"], at_least[0])
        load_labels(sets.recent_sets[:recent], recent_sets, recent)
        load_labels(sets.recent_counts[:recent], arrays["burst_counts"], recent)
        sets.recent_size[0] = recent
        load_labels(self.state.label_counts, arrays["label_counts"], labels)
        load_labels(self.state.prior_logits, arrays["prior_logits"], labels)
        load_labels(self.state.late, arrays["late"], labels)
        load_whole(self.state.numbers, arrays["numbers"])
        load_whole(self.state.lengths, arrays["lengths"])
        _derive(self.state)

    @staticmethod
    def bytes_bound(labels: int) -> int:
        """Return the largest size in bytes with that many labels."""
        return (
            PADDED_CAPACITY * (4 * LONGEST + 72)
            + 32 * RECENT_CAPACITY
            + 8 * HASH_BUCKETS
            + 8 * LENGTH_COUNTS_SHAPE[0] * LENGTH_COUNTS_SHAPE[1]
            + 1024
            + 17 * labels
        )
