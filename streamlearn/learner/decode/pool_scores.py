"""The scores of the learned pool decode: label sets seen so far, five features, weights learnt from the stream.

The score of a pooled set S is theta . phi(S), with

- phi_0 = sum over S of z_l, the mixed logits clipped to plus or minus 7;
- phi_1 = ln pi_S - sum over S of logit r_l, pi_S = c_S / N the set's and r_l = m_l / N (clipped to [.0005, .999]) the
  labels' decayed share of the complete rows, decay .9995 a row;
- phi_2 = ln[(f_S + pi_S) / ((N_f + 1) pi_S)] = ln(1 + f_S / pi_S) - ln(N_f + 1), f_S and N_f counts decayed .8;
- phi_3 = ln(1 + k_S / pi_S) - ln(k + 1), k_S the weight of the neighbours whose label set is exactly S, k of all of
  them, weights divided by their mean;
- phi_4 = the evidence for the set's length, given how many labels are expected (`set_lengths`).

A set without a burst and without neighbours has no logarithm in phi_2 and phi_3, and ln pi_S = ln c_S - ln N changes
for all sets alike but for those counted. The labels' prior logits move slowly: they are taken anew, with their sums
over each set, after 1 + floor(N / 64) complete rows. A label that joined late has prior logit 0 until it has 5
positives. The term -sum over all labels of ln(1 - r_l), common to all sets, is left out, as sum over all labels of
ln(1 - p_l) is.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.learner.decode.pooled_sets import LONGEST, PooledSets, find_set, sum_members
from streamlearn.learner.decode.set_lengths import common_length_term, expected_bucket, weigh_lengths
from streamlearn.learner.label_sets import label_set_code
from streamlearn.numerics.exp_log import exp32, log32, log64

LOGIT_CLIP = np.float32(7.0)
LEAST_ESCAPE = 1e-4
LARGEST_ESCAPE = 0.999
LEAST_ROWS = 10.0
FEATURES = 5

INCREMENT = 0
ROWS = 1
NOVEL = 2
BURST_ROWS = 3
UNREFRESHED = 4
THETA = 5
SQUARED = THETA + FEATURES
NUMBERS = SQUARED + FEATURES

POSTERIOR = 0
LOG_SUM = 1
LOG_POOLED = 2
LOG_NOVEL = 3
WEIGHTS = 4
VOTED = 5
EMPTY = 6
BUCKET = 7
SLOPES = 8
RESULTS = SLOPES + FEATURES

LEAST_WEIGHT = np.float32(1e-4)
_ZERO = np.float32(0.0)


class LearnedPoolState(NamedTuple):
    """``sets``: the pooled sets; ``label_counts`` float64, ``prior_logits`` float32 and ``late`` uint8 (1: joined after
    rows were learnt) [labels]; ``numbers`` float64[NUMBERS]: the increment of the last row, N, U (the complete rows
    whose set was not in the pool), N_f, the complete rows since the prior logits were taken, theta and G. N, U, counts
    are in units of the increment. ``lengths`` float64[LENGTH_COUNTS] is of `set_lengths`, likewise. ``most_sets``
    int64[1]: how many sets the pool takes, set once.
    """

    sets: PooledSets
    label_counts: np.ndarray
    prior_logits: np.ndarray
    numbers: np.ndarray
    late: np.ndarray
    lengths: np.ndarray
    most_sets: np.ndarray


class LearnedPoolScratch(NamedTuple):
    """What scoring one row leaves: ``values`` float32[labels], the clipped logits; ``sums`` float32[ROOM], phi_0 of
    each set; ``scores`` float32[ROOM], overwritten; ``weights`` float32[ROOM], exp(theta . phi) relative to the best
    set's; ``bursts`` float32[BURST_ROOM], ln(1 + f_S / pi_S) of the sets in the burst list; ``votes`` float64[ROOM];
    ``voted`` int64[ROOM] and ``agreement`` float32[ROOM], the sets that neighbours voted for and their
    ln(1 + k_S / pi_S); ``results`` float64[RESULTS]: the best set's posterior within the pool, the log-sum of the
    scores with their common terms, ln(1 - e), ln e, the sum of ``weights``, how many sets were voted for, the empty
    set's posterior within the pool, the bucket of the expected length, and, of the row learnt last, the slope of each
    feature's weight; ``places`` int32[ROOM] and ``partial`` float32[labels], overwritten by scores and marginals;
    ``lengths`` float32[LONGEST + 1], the evidence for each length without its common term.
    """

    values: np.ndarray
    sums: np.ndarray
    scores: np.ndarray
    weights: np.ndarray
    bursts: np.ndarray
    votes: np.ndarray
    voted: np.ndarray
    agreement: np.ndarray
    results: np.ndarray
    places: np.ndarray
    partial: np.ndarray
    lengths: np.ndarray


@kernel
def learned_pool_rows(state: LearnedPoolState) -> float:
    """Return the decayed number of complete rows learnt."""
    return state.numbers[ROWS] / state.numbers[INCREMENT]


@kernel
def halved_sum(values: np.ndarray, size: int) -> float:
    """Return the sum of the first ``size`` float32 values, halves added to halves; the values are overwritten."""
    while size > 1:
        half = (size + 1) // 2
        for place in range(size - half):
            values[place] += values[place + half]
        size = half
    return np.float64(values[0])


@kernel
def _largest(values: np.ndarray, size: int) -> int:
    """Return the first place of the largest of ``size`` float32 values, at least one."""
    a = values[0]
    b = a
    c = a
    d = a
    for place in range(0, size - 3, 4):
        a = values[place] if values[place] > a else a
        b = values[place + 1] if values[place + 1] > b else b
        c = values[place + 2] if values[place + 2] > c else c
        d = values[place + 3] if values[place + 3] > d else d
    for place in range(size // 4 * 4, size):
        a = values[place] if values[place] > a else a
    largest = max(max(a, b), max(c, d))
    for place in range(size):
        if values[place] == largest:
            return place
    return 0


@kernel
def _vote(
    state: LearnedPoolState,
    scratch: LearnedPoolScratch,
    neighbour_code: np.ndarray,
    neighbour_weight: np.ndarray,
    neighbour_starts: np.ndarray,
    neighbour_members: np.ndarray,
) -> float:
    """Add the neighbours' weights to the sets they have; return their total over the mean."""
    sets = state.sets
    total = 0.0
    for neighbour in range(neighbour_code.size):
        total += np.float64(neighbour_weight[neighbour])
    voted = 0
    if total > 0.0:
        factor = neighbour_code.size / total
        for neighbour in range(neighbour_code.size):
            weight = np.float64(neighbour_weight[neighbour]) * factor
            if weight <= 0.0:
                continue
            place = find_set(
                sets,
                neighbour_members,
                neighbour_starts[neighbour],
                neighbour_starts[neighbour + 1],
                neighbour_code[neighbour],
            )
            if place < 0:
                continue
            if scratch.votes[place] == 0.0:
                scratch.voted[voted] = place
                voted += 1
            scratch.votes[place] += weight
    for at in range(voted):
        place = scratch.voted[at]
        scratch.agreement[at] = np.float32(1.0 + scratch.votes[place] * state.numbers[ROWS] / sets.counts[place])
        scratch.votes[place] = 0.0
    for at in range(voted):
        scratch.agreement[at] = log32(scratch.agreement[at])
    scratch.results[VOTED] = voted
    return neighbour_code.size if total > 0.0 else 0.0


@kernel
def learned_pool_score_row(
    state: LearnedPoolState,
    scratch: LearnedPoolScratch,
    logits: np.ndarray,
    labels: int,
    neighbour_code: np.ndarray,
    neighbour_weight: np.ndarray,
    neighbour_starts: np.ndarray,
    neighbour_members: np.ndarray,
) -> int:
    """Return the place of the best pooled set, the lowest of equals, -1 for an empty pool; fill ``scratch``.

    Parameters
    ----------
    logits:
        float32[labels], the mixed logits.
    labels:
        Labels as of the row.
    neighbour_code, neighbour_weight:
        int64[n], the `label_set_code` of each neighbour's label set, and its weight, at least 0. n may be 0.
    neighbour_starts, neighbour_members:
        int64[n + 1] and int32[]: each neighbour's label set, ascending.
    """
    sets = state.sets
    numbers = state.numbers
    results = scratch.results
    novel = numbers[NOVEL] / numbers[INCREMENT]
    escape = min(max((novel + 0.5) / (learned_pool_rows(state) + 1.0), LEAST_ESCAPE), LARGEST_ESCAPE)
    results[LOG_POOLED] = log64(1.0 - escape)
    results[LOG_NOVEL] = log64(escape)
    values = scratch.values
    for label in range(labels):
        values[label] = min(max(logits[label], -LOGIT_CLIP), LOGIT_CLIP)
    bucket = expected_bucket(values, labels, scratch.partial)
    results[BUCKET] = bucket
    size = sets.longer[0]
    if size == 0:
        results[POSTERIOR] = 0.0
        results[LOG_SUM] = -np.inf
        results[WEIGHTS] = 0.0
        results[VOTED] = 0.0
        results[EMPTY] = 0.0
        return -1
    scores = scratch.scores
    sum_members(sets, values, scratch.sums)
    logit_weight = np.float32(numbers[THETA])
    prior_weight = np.float32(numbers[THETA + 1])
    weigh_lengths(state.lengths, bucket, sets.longer, numbers[ROWS], numbers[INCREMENT], scratch.lengths)
    # Longer sets stand first: those of one length follow each other.
    first = 0
    for length in range(LONGEST, -1, -1):
        last = sets.longer[length]
        if last == first:
            continue
        evidence = np.float32(numbers[THETA + 4]) * scratch.lengths[length]
        for place in range(first, last):
            prior = sets.log_counts[place] - sets.prior_sums[place]
            scores[place] = logit_weight * scratch.sums[place] + prior_weight * prior + evidence
        first = last
    burst_weight = np.float32(numbers[THETA + 2])
    for burst in range(sets.burst_size[0]):
        place = sets.burst_places[burst]
        scratch.bursts[burst] = np.float32(1.0 + sets.burst_counts[burst] * numbers[ROWS] / sets.counts[place])
    for burst in range(sets.burst_size[0]):
        scratch.bursts[burst] = log32(scratch.bursts[burst])
    for burst in range(sets.burst_size[0]):
        scores[sets.burst_places[burst]] += burst_weight * scratch.bursts[burst]
    neighbours = _vote(state, scratch, neighbour_code, neighbour_weight, neighbour_starts, neighbour_members)
    agreement_weight = np.float32(numbers[THETA + 3])
    for at in range(np.int64(results[VOTED])):
        scores[scratch.voted[at]] += agreement_weight * scratch.agreement[at]
    weights = scratch.weights
    best = _largest(scores, size)
    top = scores[best]
    for place in range(size):
        weights[place] = exp32(scores[place] - top)
        scores[place] = weights[place]
    results[WEIGHTS] = halved_sum(scores, size)
    results[POSTERIOR] = 1.0 / results[WEIGHTS]
    empty = sets.longer[1]
    results[EMPTY] = weights[empty] / results[WEIGHTS] if empty < size else 0.0
    results[LOG_SUM] = (
        np.float64(top)
        + log64(results[WEIGHTS])
        - numbers[THETA + 1] * log64(numbers[ROWS])
        - numbers[THETA + 2] * log64(numbers[BURST_ROWS] + 1.0)
        - numbers[THETA + 3] * log64(neighbours + 1.0)
        - numbers[THETA + 4] * common_length_term(state.lengths, bucket, numbers[INCREMENT])
    )
    return best


@kernel
def learned_pool_marginals(
    state: LearnedPoolState, scratch: LearnedPoolScratch, labels: int, marginals: np.ndarray
) -> None:
    """Write each label's probability within the pool to ``marginals`` float32[labels], from the row scored last.

    Sets whose probability is below LEAST_WEIGHT times the best one's do not count.
    """
    members = state.sets.members
    longer = state.sets.longer
    share = np.float32(scratch.results[POSTERIOR])
    places = scratch.places
    weights = scratch.scores
    partial = scratch.partial
    for label in range(labels):
        marginals[label] = _ZERO
        partial[label] = _ZERO
    # Longer sets stand first: those of one length follow each other.
    first = np.uint32(0)
    for length in range(LONGEST, 0, -1):
        last = np.uint32(longer[length])
        if first == last:
            continue
        # Unsigned places need no look at their sign.
        count = np.uint32(0)
        for place in range(first, last):
            places[count] = place
            weights[count] = scratch.weights[place] * share
            count += np.uint32(scratch.weights[place] >= LEAST_WEIGHT)
        places[count] = 0
        weights[count] = _ZERO
        # Two sums for each label, of every other set: an addition does not wait for the one before.
        for pair in range(0, np.int64(count), 2):
            one, two = np.uint32(places[pair]), np.uint32(places[pair + 1])
            by_one, by_two = weights[pair], weights[pair + 1]
            for at in range(length):
                marginals[np.uint32(members[at, one])] += by_one
                partial[np.uint32(members[at, two])] += by_two
        first = last
    for label in range(labels):
        marginals[label] += partial[label]


@kernel
def learned_pool_posterior(state: LearnedPoolState, scratch: LearnedPoolScratch, members: np.ndarray) -> float:
    """Return the probability within the pool of a label set, ``members`` int32 ascending, from the row scored last."""
    size = np.int64(members.size)
    if size > LONGEST:
        return 0.0
    place = find_set(state.sets, members, np.int64(0), size, label_set_code(members, np.int64(0), size))
    return scratch.weights[place] / scratch.results[WEIGHTS] if place >= 0 else 0.0
