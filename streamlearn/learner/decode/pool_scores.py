"""Scores of the learned pool: each label set seen so far has five features, weighted by theta learned from the stream.

The score of a pooled set S is theta . phi(S), with

- phi_0 = sum over S of z_l, the mixed logits clipped to plus or minus 7;
- phi_1 = ln pi_S - sum over S of logit r_l, where pi_S = c_S / N and r_l = m_l / N (clipped to [.0005, .999]) are the
  shares of the set and of the label in the complete rows, decayed .9995 per row;
- phi_2 = ln[(f_S + pi_S) / ((N_f + 1) pi_S)] = ln(1 + f_S / pi_S) - ln(N_f + 1), where f_S and N_f are the recent
  counts of the set and of the rows, decayed .8 per row;
- phi_3 = ln(1 + k_S / pi_S) - ln(k + 1), where k_S is the weight of the neighbours whose label set is exactly S and k
  that of all neighbours, weights divided by their mean;
- phi_4 = the evidence for the set's length, given how many labels are expected (`set_lengths`).

phi_2 needs a logarithm only for sets with a recent count, phi_3 only for sets of neighbours. ln pi_S = ln c_S - ln N
changes by the same amount for all sets that a row does not count, so ln N is left to the common terms. The labels'
prior logits change slowly: they, and their sums over each set, are recomputed after 1 + floor(N / 64) complete rows. A
label that joined late has prior logit 0 until it has 5 positives. Left out, as common to all sets, are the sums over
all labels of -ln(1 - r_l) and of ln(1 - p_l).
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.learner.decode.pooled_sets import LONGEST, PooledSets, find_set, sum_members
from streamlearn.learner.decode.set_lengths import common_length_term, expected_bucket, score_lengths
from streamlearn.learner.label_sets import label_set_code
from streamlearn.numerics.exp_log import exp32, log32, log64

LOGIT_CLIP = np.float32(7.0)
LEAST_ESCAPE = 1e-4
LARGEST_ESCAPE = 0.999
LEAST_WEIGHT = np.float32(1e-4)
"""Pooled sets below this multiple of the best set's probability do not count for the marginals."""

LEAST_ROWS = 10.0
"""Decayed number of complete rows from which label sets are used."""

_ZERO = np.float32(0.0)


class PoolFeature(IntEnum):
    """Features of a pooled set: the index in theta, in its sums of squared slopes and in its slopes."""

    LOGITS = 0  # phi_0, sum of the members' mixed logits
    PRIOR = 1  # phi_1, log share of the set less the prior logits of its members
    RECENT = 2  # phi_2, log of its share of the recent rows over its share of all rows
    NEIGHBOURS = 3  # phi_3, log of its share of the neighbours over its share of all rows
    LENGTH = 4  # phi_4, evidence for its length


POOL_FEATURES = len(PoolFeature)


class PoolNumber(IntEnum):
    """Fields of `LearnedPoolState.numbers`, followed by theta and its sums of squared slopes."""

    INCREMENT = 0  # what the last row added to a count; counts are in units of it
    ROWS = 1  # N, decayed number of complete rows, in units of the increment
    NOVEL = 2  # decayed number of complete rows whose set was not in the pool, in units of the increment
    RECENT_ROWS = 3  # N_f, number of complete rows decayed by RECENT_DECAY per row
    ROWS_SINCE_REFRESH = 4  # complete rows since the prior logits were computed


FIRST_THETA = len(PoolNumber)
FIRST_SQUARED = FIRST_THETA + POOL_FEATURES
"""First of the sums of squared slopes of theta, the G of AdaGrad."""

NUMBERS = FIRST_SQUARED + POOL_FEATURES


class PoolResult(IntEnum):
    """Fields of `LearnedPoolScratch.results`, followed by the slopes of theta at the row learned last."""

    BEST_POSTERIOR = 0  # probability of the best set within the pool
    LOG_SUM = 1  # log of the sum of exp(score) over the pool, common terms included
    LOG_POOLED = 2  # ln(1 - e), e the escape probability
    LOG_NOVEL = 3  # ln e
    WEIGHT_SUM = 4  # sum of `weights`
    VOTED_SETS = 5  # number of sets that neighbours voted for
    EMPTY_POSTERIOR = 6  # probability of the empty set within the pool
    LENGTH_BUCKET = 7  # bucket of the expected number of labels, of `set_lengths`


FIRST_SLOPE = len(PoolResult)
RESULTS = FIRST_SLOPE + POOL_FEATURES


class LearnedPoolState(NamedTuple):
    """State of the learned pool.

    Attributes
    ----------
    sets
        The pooled sets.
    label_counts
        float64[labels], m_l in units of the increment.
    prior_logits
        float32[labels], logit r_l.
    numbers
        float64[NUMBERS]: fields `PoolNumber`, theta from FIRST_THETA, its sums of squared slopes from FIRST_SQUARED.
    late
        uint8[labels], 1 for a label that joined after rows had been learned.
    lengths
        float64[LENGTH_COUNTS_SHAPE], the counts of `set_lengths`.
    max_sets
        int64[1], largest number of sets in this pool; constant.
    """

    sets: PooledSets
    label_counts: np.ndarray
    prior_logits: np.ndarray
    numbers: np.ndarray
    late: np.ndarray
    lengths: np.ndarray
    max_sets: np.ndarray


class LearnedPoolScratch(NamedTuple):
    """Results of scoring one row, valid until the next row is scored; never state.

    Attributes
    ----------
    values
        float32[labels], the clipped logits z.
    logit_sums
        float32[PADDED_CAPACITY], phi_0 of each set.
    scores
        float32[PADDED_CAPACITY], overwritten.
    weights
        float32[PADDED_CAPACITY], exp(score), divided by that of the best set.
    recency
        float32[RECENT_CAPACITY], ln(1 + f_S / pi_S) of the sets with a recent count.
    votes
        float64[PADDED_CAPACITY], k_S while votes are counted, else 0.
    voted
        int64[PADDED_CAPACITY], indices of the sets that neighbours voted for.
    agreement
        float32[PADDED_CAPACITY], ln(1 + k_S / pi_S) of the sets in ``voted``.
    results
        float64[RESULTS]: fields `PoolResult`, the slopes of theta from FIRST_SLOPE.
    indices
        int32[PADDED_CAPACITY], overwritten by `learned_pool_marginals`.
    partial
        float32[labels], overwritten.
    length_evidence
        float32[LONGEST + 1], evidence for each length without the common term.
    """

    values: np.ndarray
    logit_sums: np.ndarray
    scores: np.ndarray
    weights: np.ndarray
    recency: np.ndarray
    votes: np.ndarray
    voted: np.ndarray
    agreement: np.ndarray
    results: np.ndarray
    indices: np.ndarray
    partial: np.ndarray
    length_evidence: np.ndarray


@kernel
def learned_pool_rows(state: LearnedPoolState) -> float:
    """Return the decayed number of complete rows learned."""
    return state.numbers[PoolNumber.ROWS] / state.numbers[PoolNumber.INCREMENT]


@kernel
def pairwise_sum(values: np.ndarray, size: int) -> float:
    """Return the sum of the first ``size`` float32 values by pairwise summation; the values are overwritten."""
    while size > 1:
        half = (size + 1) // 2
        for i in range(size - half):
            values[i] += values[i + half]
        size = half
    return np.float64(values[0])


@kernel
def _argmax(values: np.ndarray, size: int) -> int:
    """Return the index of the largest of the first ``size`` float32 values, at least one; the lowest on ties.

    Four partial maxima, so that a comparison does not wait for the one before.
    """
    a = values[0]
    b = a
    c = a
    d = a
    for i in range(0, size - 3, 4):
        a = values[i] if values[i] > a else a
        b = values[i + 1] if values[i + 1] > b else b
        c = values[i + 2] if values[i + 2] > c else c
        d = values[i + 3] if values[i + 3] > d else d
    for i in range(size // 4 * 4, size):
        a = values[i] if values[i] > a else a
    largest = max(max(a, b), max(c, d))
    for i in range(size):
        if values[i] == largest:
            return i
    return 0


@kernel
def _count_votes(
    state: LearnedPoolState,
    scratch: LearnedPoolScratch,
    neighbour_code: np.ndarray,
    neighbour_weight: np.ndarray,
    neighbour_starts: np.ndarray,
    neighbour_members: np.ndarray,
) -> float:
    """Add up the neighbours' weights by label set, fill ``voted`` and ``agreement``; return k, the total weight."""
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
            index = find_set(
                sets,
                neighbour_members,
                neighbour_starts[neighbour],
                neighbour_starts[neighbour + 1],
                neighbour_code[neighbour],
            )
            if index < 0:
                continue
            if scratch.votes[index] == 0.0:
                scratch.voted[voted] = index
                voted += 1
            scratch.votes[index] += weight
    rows = state.numbers[PoolNumber.ROWS]
    for i in range(voted):
        index = scratch.voted[i]
        scratch.agreement[i] = np.float32(1.0 + scratch.votes[index] * rows / sets.counts[index])
        scratch.votes[index] = 0.0
    for i in range(voted):
        scratch.agreement[i] = log32(scratch.agreement[i])
    scratch.results[PoolResult.VOTED_SETS] = voted
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
    """Fill ``scratch`` for one row; return the index of the best set, the lowest on ties, -1 for an empty pool.

    Parameters
    ----------
    state, scratch
        The pool; the results of the row.
    logits
        float32[labels], the mixed logits.
    labels
        Labels as of the row.
    neighbour_code, neighbour_weight
        int64[n], the `label_set_code` of each neighbour's label set, and its weight, at least 0. n may be 0.
    neighbour_starts, neighbour_members
        int64[n + 1] and int32[]: the label set of neighbour i is ``members[starts[i]:starts[i + 1]]``, ascending.
    """
    sets = state.sets
    numbers = state.numbers
    theta = numbers[FIRST_THETA:FIRST_SQUARED]
    results = scratch.results
    novel = numbers[PoolNumber.NOVEL] / numbers[PoolNumber.INCREMENT]
    escape = min(max((novel + 0.5) / (learned_pool_rows(state) + 1.0), LEAST_ESCAPE), LARGEST_ESCAPE)
    results[PoolResult.LOG_POOLED] = log64(1.0 - escape)
    results[PoolResult.LOG_NOVEL] = log64(escape)
    values = scratch.values
    for label in range(labels):
        values[label] = min(max(logits[label], -LOGIT_CLIP), LOGIT_CLIP)
    bucket = expected_bucket(values, labels, scratch.partial)
    results[PoolResult.LENGTH_BUCKET] = bucket
    size = sets.at_least[0]
    if size == 0:
        results[PoolResult.BEST_POSTERIOR] = 0.0
        results[PoolResult.LOG_SUM] = -np.inf
        results[PoolResult.WEIGHT_SUM] = 0.0
        results[PoolResult.VOTED_SETS] = 0.0
        results[PoolResult.EMPTY_POSTERIOR] = 0.0
        return -1
    rows = numbers[PoolNumber.ROWS]
    increment = numbers[PoolNumber.INCREMENT]
    scores = scratch.scores
    sum_members(sets, values, scratch.logit_sums)
    logit_weight = np.float32(theta[PoolFeature.LOGITS])
    prior_weight = np.float32(theta[PoolFeature.PRIOR])
    length_evidence = scratch.length_evidence
    score_lengths(state.lengths, bucket, sets.at_least, rows, increment, length_evidence)
    # Sets are sorted by length, longest first: the sets of one length are a range.
    first = 0
    for length in range(LONGEST, -1, -1):
        last = sets.at_least[length]
        if last == first:
            continue
        evidence = np.float32(theta[PoolFeature.LENGTH]) * length_evidence[length]
        for index in range(first, last):
            prior = sets.log_counts[index] - sets.prior_sums[index]
            scores[index] = logit_weight * scratch.logit_sums[index] + prior_weight * prior + evidence
        first = last
    recent_weight = np.float32(theta[PoolFeature.RECENT])
    for entry in range(sets.recent_size[0]):
        index = sets.recent_sets[entry]
        scratch.recency[entry] = np.float32(1.0 + sets.recent_counts[entry] * rows / sets.counts[index])
    for entry in range(sets.recent_size[0]):
        scratch.recency[entry] = log32(scratch.recency[entry])
    for entry in range(sets.recent_size[0]):
        scores[sets.recent_sets[entry]] += recent_weight * scratch.recency[entry]
    neighbours = _count_votes(state, scratch, neighbour_code, neighbour_weight, neighbour_starts, neighbour_members)
    agreement_weight = np.float32(theta[PoolFeature.NEIGHBOURS])
    for i in range(np.int64(results[PoolResult.VOTED_SETS])):
        scores[scratch.voted[i]] += agreement_weight * scratch.agreement[i]
    weights = scratch.weights
    best = _argmax(scores, size)
    top = scores[best]
    for index in range(size):
        weights[index] = exp32(scores[index] - top)
        scores[index] = weights[index]
    results[PoolResult.WEIGHT_SUM] = pairwise_sum(scores, size)
    results[PoolResult.BEST_POSTERIOR] = 1.0 / results[PoolResult.WEIGHT_SUM]
    empty = sets.at_least[1]
    results[PoolResult.EMPTY_POSTERIOR] = weights[empty] / results[PoolResult.WEIGHT_SUM] if empty < size else 0.0
    results[PoolResult.LOG_SUM] = (
        np.float64(top)
        + log64(results[PoolResult.WEIGHT_SUM])
        - theta[PoolFeature.PRIOR] * log64(rows)
        - theta[PoolFeature.RECENT] * log64(numbers[PoolNumber.RECENT_ROWS] + 1.0)
        - theta[PoolFeature.NEIGHBOURS] * log64(neighbours + 1.0)
        - theta[PoolFeature.LENGTH] * common_length_term(state.lengths, bucket, increment)
    )
    return best


@kernel
def learned_pool_marginals(
    state: LearnedPoolState, scratch: LearnedPoolScratch, labels: int, marginals: np.ndarray
) -> None:
    """Write each label's probability within the pool to ``marginals`` float32[labels], for the row scored last.

    Sets whose probability is below LEAST_WEIGHT times that of the best set do not count.
    """
    members = state.sets.members
    at_least = state.sets.at_least
    share = np.float32(scratch.results[PoolResult.BEST_POSTERIOR])
    indices = scratch.indices
    weights = scratch.scores
    partial = scratch.partial
    for label in range(labels):
        marginals[label] = _ZERO
        partial[label] = _ZERO
    # Sets are sorted by length, longest first: the sets of one length are a range.
    first = np.uint32(0)
    for length in range(LONGEST, 0, -1):
        last = np.uint32(at_least[length])
        if first == last:
            continue
        # Unsigned indices need no check for a negative value.
        count = np.uint32(0)
        for index in range(first, last):
            indices[count] = index
            weights[count] = scratch.weights[index] * share
            count += np.uint32(scratch.weights[index] >= LEAST_WEIGHT)
        indices[count] = 0
        weights[count] = _ZERO
        # Two sums per label, of every other set: an addition does not wait for the one before.
        for pair in range(0, np.int64(count), 2):
            one, two = np.uint32(indices[pair]), np.uint32(indices[pair + 1])
            by_one, by_two = weights[pair], weights[pair + 1]
            for position in range(length):
                marginals[np.uint32(members[position, one])] += by_one
                partial[np.uint32(members[position, two])] += by_two
        first = last
    for label in range(labels):
        marginals[label] += partial[label]


@kernel
def learned_pool_posterior(state: LearnedPoolState, scratch: LearnedPoolScratch, members: np.ndarray) -> float:
    """Return the probability within the pool of a label set, ``members`` int32 ascending, for the row scored last."""
    size = np.int64(members.size)
    if size > LONGEST:
        return 0.0
    index = find_set(state.sets, members, np.int64(0), size, label_set_code(members, np.int64(0), size))
    return scratch.weights[index] / scratch.results[PoolResult.WEIGHT_SUM] if index >= 0 else 0.0
