"""The learned pool decode: it learns the label sets, their counts, and the weights theta of `pool_scores`.

When the true set is in the pool, theta climbs the log-probability of that set among the pooled ones by AdaGrad:
theta += .05 g / sqrt(G), g = phi(true) - E[phi], G += g^2 from 1. theta starts at (1, .5, .05, .3, .2): half of the
prior, because the labels' probabilities are not independent given the instance.

Source: Duchi, Hazan and Singer, *Adaptive Subgradient Methods* (JMLR 2011), the step.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from streamlearn.errors import SnapshotError
from streamlearn.kernels.compiler import kernel
from streamlearn.learner.decode.pool_scores import (
    BUCKET,
    BURST_ROWS,
    FEATURES,
    INCREMENT,
    NOVEL,
    NUMBERS,
    RESULTS,
    ROWS,
    SLOPES,
    SQUARED,
    THETA,
    UNREFRESHED,
    VOTED,
    WEIGHTS,
    LearnedPoolScratch,
    LearnedPoolState,
    halved_sum,
    learned_pool_rows,
)
from streamlearn.learner.decode.pooled_sets import (
    BUCKETS,
    BURST_DECAY,
    BURST_ROOM,
    CAPACITY,
    LENGTH,
    LONGEST,
    ROOM,
    count_set,
    decay_bursts,
    empty_sets,
    find_set,
    insert_set,
    link_sets,
    rarest_set,
    remove_set,
    scale_counts,
    sum_members,
)
from streamlearn.learner.decode.set_lengths import LENGTH_COUNTS, count_length
from streamlearn.learner.label_sets import label_set_code
from streamlearn.numerics.adagrad import adagrad_step
from streamlearn.numerics.exp_log import log32
from streamlearn.state.array_loading import load_labels, load_whole
from streamlearn.state.growth import grow

GROWTH = 1.0 / 0.9995
RENORMALISE_AT = 2.0**40
LEAST_RATE = np.float32(0.0005)
LARGEST_RATE = np.float32(0.999)
LEAST_POSITIVES = 5
ROWS_A_REFRESH = 64.0
STEP = 0.05
START = (1.0, 0.5, 0.05, 0.3, 0.2)
_ZERO = np.float32(0.0)
_ONE = np.float32(1.0)


@kernel
def _learn_weights(state: LearnedPoolState, scratch: LearnedPoolScratch, place: int) -> None:
    """Move theta towards the pooled set at ``place``."""
    sets = state.sets
    numbers = state.numbers
    weights = scratch.weights
    total = scratch.results[WEIGHTS]
    size = sets.longer[0]
    products = scratch.scores
    for other in range(size):
        products[other] = weights[other] * scratch.sums[other]
    slopes = scratch.results[SLOPES:]
    slopes[0] = np.float64(scratch.sums[place]) - halved_sum(products, size) / total
    for other in range(size):
        products[other] = weights[other] * (sets.log_counts[other] - sets.prior_sums[other])
    slopes[1] = np.float64(sets.log_counts[place] - sets.prior_sums[place]) - halved_sum(products, size) / total
    slopes[2] = 0.0
    for at in range(sets.burst_size[0]):
        other = sets.burst_places[at]
        slopes[2] += np.float64(scratch.bursts[at]) * ((1.0 if other == place else 0.0) - weights[other] / total)
    slopes[3] = 0.0
    for at in range(np.int64(scratch.results[VOTED])):
        other = scratch.voted[at]
        slopes[3] += np.float64(scratch.agreement[at]) * ((1.0 if other == place else 0.0) - weights[other] / total)
    first = 0
    for length in range(LONGEST, -1, -1):
        for other in range(first, sets.longer[length]):
            products[other] = weights[other] * scratch.lengths[length]
        first = sets.longer[length]
    slopes[4] = np.float64(scratch.lengths[sets.links[LENGTH, place]]) - halved_sum(products, size) / total
    for feature in range(FEATURES):
        slope = slopes[feature]
        numbers[SQUARED + feature] += slope * slope
        numbers[THETA + feature] += adagrad_step(STEP, slope, numbers[SQUARED + feature])


@kernel
def _refresh(state: LearnedPoolState, labels: int, positives: np.ndarray) -> None:
    """Take the labels' prior logits, and their sums over each set, from the counts."""
    scale = 1.0 / state.numbers[ROWS]
    for label in range(labels):
        rate = min(max(np.float32(state.label_counts[label] * scale), LEAST_RATE), LARGEST_RATE)
        logit = log32(rate / (_ONE - rate))
        state.prior_logits[label] = logit if positives[label] >= LEAST_POSITIVES or state.late[label] == 0 else _ZERO
    sum_members(state.sets, state.prior_logits, state.sets.prior_sums)
    state.numbers[UNREFRESHED] = 0.0


@kernel
def _count_row(state: LearnedPoolState, members: np.ndarray, novel: bool) -> None:
    """Let one complete row pass over the counts of rows, novel sets and labels."""
    numbers = state.numbers
    increment = numbers[INCREMENT] * GROWTH
    if increment > RENORMALISE_AT:
        factor = 1.0 / RENORMALISE_AT
        increment *= factor
        numbers[ROWS] *= factor
        numbers[NOVEL] *= factor
        for label in range(state.label_counts.size):
            state.label_counts[label] *= factor
        scale_counts(state.sets, factor)
        for bucket in range(state.lengths.shape[0]):
            for length in range(state.lengths.shape[1]):
                state.lengths[bucket, length] *= factor
    numbers[INCREMENT] = increment
    numbers[ROWS] += increment
    if novel:
        numbers[NOVEL] += increment
    for at in range(members.size):
        state.label_counts[members[at]] += increment
    numbers[BURST_ROWS] = numbers[BURST_ROWS] * BURST_DECAY + 1.0


@kernel
def learned_pool_learn_row(
    state: LearnedPoolState,
    scratch: LearnedPoolScratch,
    members: np.ndarray,
    labels: int,
    positives: np.ndarray,
) -> None:
    """Learn one complete row, right after `learned_pool_score_row` has scored it.

    When the pool is full, the set with the least count leaves for a new one. A set beyond LONGEST members counts only
    for its labels and as novel.

    Parameters
    ----------
    members:
        int32[k], the slots of the row's label set, ascending.
    labels:
        Labels as of the row.
    positives:
        int64[labels], the rows in which each label was learnt as true.
    """
    sets = state.sets
    code = label_set_code(members, np.int64(0), members.size)
    place = -1
    if members.size <= LONGEST:
        place = find_set(sets, members, np.int64(0), members.size, code)
    if place >= 0:
        _learn_weights(state, scratch, place)
    _count_row(state, members, place < 0)
    decay_bursts(sets)
    if members.size <= LONGEST:
        if place < 0:
            if sets.longer[0] == state.most_sets[0]:
                remove_set(sets, rarest_set(sets))
            place = insert_set(sets, members, code)
            sets.counts[place] = 0.0
            prior = _ZERO
            for at in range(members.size):
                prior += state.prior_logits[members[at]]
            sets.prior_sums[place] = prior
        count_set(sets, place, state.numbers[INCREMENT])
        bucket = np.int64(scratch.results[BUCKET])
        count_length(state.lengths, bucket, members.size, state.numbers[INCREMENT])
    state.numbers[UNREFRESHED] += 1.0
    if state.numbers[UNREFRESHED] >= 1.0 + np.floor(learned_pool_rows(state) / ROWS_A_REFRESH):
        _refresh(state, labels, positives)


@kernel
def learned_pool_begin_label(state: LearnedPoolState, label: int) -> None:
    """Let a label join late: without positives of its own it has no prior."""
    state.late[label] = 1


@kernel
def learned_pool_retire(state: LearnedPoolState, slot: int) -> None:
    """Forget a label: its count, and every pooled set that holds it."""
    state.label_counts[slot] = 0.0
    state.prior_logits[slot] = _ZERO
    sets = state.sets
    for place in range(sets.longer[0] - 1, -1, -1):
        for at in range(sets.links[LENGTH, place]):
            if sets.members[at, place] == slot:
                remove_set(sets, place)
                break


@kernel
def _link(state: LearnedPoolState) -> None:
    link_sets(state.sets)
    sum_members(state.sets, state.prior_logits, state.sets.prior_sums)


class LearnedPool:
    """Owns the pool of label sets and the weights of its decode.

    Parameters
    ----------
    most_sets:
        How many label sets it takes, at most CAPACITY.
    """

    def __init__(self, most_sets: int = CAPACITY) -> None:
        numbers = np.zeros(NUMBERS)
        numbers[INCREMENT] = 1.0
        numbers[THETA:SQUARED] = START
        numbers[SQUARED:] = 1.0
        self.state = LearnedPoolState(
            empty_sets(),
            np.zeros(0),
            np.zeros(0, np.float32),
            numbers,
            np.zeros(0, np.uint8),
            np.zeros(LENGTH_COUNTS),
            np.array([most_sets], np.int64),
        )
        self.scratch = self._scratch(0)

    @staticmethod
    def _scratch(labels: int) -> LearnedPoolScratch:
        return LearnedPoolScratch(
            np.zeros(labels, np.float32),
            np.zeros(ROOM, np.float32),
            np.zeros(ROOM, np.float32),
            np.zeros(ROOM, np.float32),
            np.zeros(BURST_ROOM, np.float32),
            np.zeros(ROOM),
            np.zeros(ROOM, np.int64),
            np.zeros(ROOM, np.float32),
            np.zeros(RESULTS),
            np.zeros(ROOM, np.int32),
            np.zeros(labels, np.float32),
            np.zeros(LONGEST + 1, np.float32),
        )

    def grow(self, labels: int) -> None:
        """Make room for ``labels`` labels."""
        counts = grow(self.state.label_counts, labels)
        if counts is not self.state.label_counts:
            self.state = self.state._replace(
                label_counts=counts,
                prior_logits=grow(self.state.prior_logits, labels),
                late=grow(self.state.late, labels),
            )
            self.scratch = self._scratch(counts.size)

    def retire(self, slot: int) -> None:
        """Forget the label of a slot."""
        learned_pool_retire(self.state, slot)

    def arrays(self, labels: int) -> dict[str, np.ndarray]:
        """Return the sets, counts and weights in use, by name; ``members`` holds the sets' first members, then the
        second members of those that have one, and so on."""
        sets = self.state.sets
        size, bursts = int(sets.longer[0]), int(sets.burst_size[0])
        return {
            "members": np.concatenate([sets.members[at, : sets.longer[at + 1]] for at in range(LONGEST)]),
            "longer": sets.longer,
            "counts": sets.counts[:size],
            "burst_places": sets.burst_places[:bursts],
            "burst_counts": sets.burst_counts[:bursts],
            "label_counts": self.state.label_counts[:labels],
            "prior_logits": self.state.prior_logits[:labels],
            "late": self.state.late[:labels],
            "numbers": self.state.numbers,
            "lengths": self.state.lengths,
        }

    def load_arrays(self, arrays: Mapping[str, np.ndarray], labels: int) -> None:
        """Take the pool over; raises `SnapshotError` when a shape differs."""
        self.grow(labels)
        sets = self.state.sets
        load_whole(sets.longer, arrays["longer"])
        sizes = [int(size) for size in sets.longer]
        bursts = arrays["burst_places"].size
        most = int(self.state.most_sets[0])
        if (
            not most >= sizes[0] >= bursts
            or bursts > BURST_ROOM
            or sizes != sorted(sizes, reverse=True)
            or sizes[-1] != 0
            or arrays["members"].shape != (sum(int(size) for size in sizes[1:]),)
            or (arrays["members"].size > 0 and not 0 <= arrays["members"].min() <= arrays["members"].max() < labels)
            or (bursts > 0 and not 0 <= arrays["burst_places"].min() <= arrays["burst_places"].max() < sizes[0])
        ):
            raise SnapshotError(
                f"the pool of label sets in the snapshot has {sizes[0]} sets with {arrays['members'].size} members: it "
                f"does not fit at most {most} sets of at most {LONGEST} of {labels} labels"
            )
        first = 0
        for at, size in enumerate(sizes[1:]):
            sets.members[min(at, LONGEST - 1), :size] = arrays["members"][first : first + size]
            first += size
        load_labels(sets.counts[: sizes[0]], arrays["counts"], sizes[0])
        load_labels(sets.burst_places[:bursts], arrays["burst_places"], bursts)
        load_labels(sets.burst_counts[:bursts], arrays["burst_counts"], bursts)
        sets.burst_size[0] = bursts
        load_labels(self.state.label_counts, arrays["label_counts"], labels)
        load_labels(self.state.prior_logits, arrays["prior_logits"], labels)
        load_labels(self.state.late, arrays["late"], labels)
        load_whole(self.state.numbers, arrays["numbers"])
        load_whole(self.state.lengths, arrays["lengths"])
        _link(self.state)

    @staticmethod
    def bytes_bound(labels: int) -> int:
        """Return the largest size in bytes with that many labels."""
        return (
            ROOM * (4 * LONGEST + 72)
            + 32 * BURST_ROOM
            + 8 * BUCKETS
            + 8 * LENGTH_COUNTS[0] * LENGTH_COUNTS[1]
            + 1024
            + 17 * labels
        )
