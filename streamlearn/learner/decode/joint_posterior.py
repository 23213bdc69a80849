"""The joint posterior over label sets, a mixture of the learned pool and the cluster tree.

A label set is drawn from the pool, by its scores, with probability 1 - e, and from all label sets, by the tree, with
the pool's escape probability e. So the posterior has two parts. Their weights are (1 - e) times the sum over the pooled
sets and e times the sum over the tree's sets, and a label's marginal is the weighted mean of its marginals in both.
Both sums contain the prior to the power 1/2; the escape is not raised, or the posterior would lose its calibration.

The posterior yields the candidates of `decode.utility`, and the marginals for the rules that decide label by label.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.learner.decode.pool_scores import (
    LearnedPoolScratch,
    LearnedPoolState,
    PoolResult,
    learned_pool_marginals,
    learned_pool_posterior,
)
from streamlearn.learner.decode.pooled_sets import SetField
from streamlearn.learner.decode.tree_inference import (
    TreeResult,
    TreeScratch,
    tree_infer_row,
    tree_log_score,
    tree_scratch,
)
from streamlearn.learner.decode.tree_prior import TreePriorState, tree_prior_log_prior
from streamlearn.learner.decode.utility import (
    CANDIDATES,
    Candidate,
    Candidates,
    Measure,
    candidates_scratch,
    find_f1_set,
    sum_marginals,
    utility_predict_set,
)
from streamlearn.learner.partition.cluster_tree import TreeState
from streamlearn.numerics.exp_log import exp64
from streamlearn.numerics.logistic import sigmoid32

_ONE = np.float32(1.0)


class PosteriorParts(IntEnum):
    """What the posterior is made of; one part alone is for comparisons."""

    BOTH = 0
    POOL_ALONE = 1  # the tree replaces the pool while the pool is empty
    TREE_ALONE = 2


class JointResult(IntEnum):
    """Fields of `JointScratch.result`."""

    TREE_SHARE = 0  # weight of the tree's part, the probability that the label set is not drawn from the pool
    EMPTY = 1  # probability of the empty set
    EXPECTED_SIZE = 2  # sum of the marginals


class JointScratch(NamedTuple):
    """Results of one row, valid until the next row; never state.

    Attributes
    ----------
    tree
        Scratch of the tree's inference.
    pool_marginals
        float32[labels], the labels' marginals within the pool.
    marginals
        float32[labels], the labels' joint marginals q.
    probabilities
        float32[labels], the labels' own probabilities p, from the mixed logits.
    candidates
        The candidates of the utility decision.
    result
        float64[3], fields `JointResult`.
    parts
        int64[1], a `PosteriorParts`; constant.
    """

    tree: TreeScratch
    pool_marginals: np.ndarray
    marginals: np.ndarray
    probabilities: np.ndarray
    candidates: Candidates
    result: np.ndarray
    parts: np.ndarray


def joint_scratch(labels: int, parts: int = PosteriorParts.BOTH) -> JointScratch:
    """Return scratch for ``labels`` label slots."""
    return JointScratch(
        tree_scratch(labels),
        np.zeros(labels, np.float32),
        np.zeros(labels, np.float32),
        np.zeros(labels, np.float32),
        candidates_scratch(labels),
        np.zeros(len(JointResult)),
        np.array([parts], np.int64),
    )


@kernel
def _posterior(
    pool: LearnedPoolState,
    pooled: LearnedPoolScratch,
    state: TreePriorState,
    tree: TreeState,
    scratch: JointScratch,
    members: np.ndarray,
) -> float:
    """Return the joint probability of a label set, ``members`` int32[k] ascending."""
    size = members.size
    score = tree_log_score(scratch.tree, tree_prior_log_prior(state, tree, members), members, size)
    share = scratch.result[JointResult.TREE_SHARE]
    probability = share * exp64(score - scratch.tree.result[TreeResult.LOG_SUM])
    return probability + (1.0 - share) * learned_pool_posterior(pool, pooled, members)


@kernel
def _keep_allowed(proposed: Candidates, candidate: int, allowed: np.ndarray) -> None:
    """Remove the labels that are not allowed from a candidate."""
    kept = 0
    for i in range(proposed.size[candidate]):
        member = proposed.members[candidate, i]
        if allowed[member]:
            proposed.members[candidate, kept] = member
            kept += 1
    proposed.size[candidate] = kept


@kernel
def _find_equal(proposed: Candidates, candidate: int) -> int:
    """Return the first candidate before this one that is the same label set, -1 if there is none."""
    for other in range(candidate):
        size = proposed.size[other]
        if size != proposed.size[candidate]:
            continue
        same = 0
        while same < size and proposed.members[other, same] == proposed.members[candidate, same]:
            same += 1
        if same == size:
            return other
    return -1


@kernel
def _predict_candidate(
    pool: LearnedPoolState,
    pooled: LearnedPoolScratch,
    state: TreePriorState,
    tree: TreeState,
    scratch: JointScratch,
    candidate: int,
    allowed: np.ndarray,
) -> None:
    """Remove what is not allowed from a candidate and write its predictions; an equal candidate's posterior is used."""
    proposed = scratch.candidates
    result = scratch.result
    _keep_allowed(proposed, candidate, allowed)
    equal = _find_equal(proposed, candidate)
    if equal >= 0:
        posterior = proposed.predicted[equal, Measure.POSTERIOR]
    else:
        members = proposed.members[candidate, : proposed.size[candidate]]
        posterior = _posterior(pool, pooled, state, tree, scratch, members)
    expected_size, empty = result[JointResult.EXPECTED_SIZE], result[JointResult.EMPTY]
    utility_predict_set(proposed, candidate, scratch.marginals, expected_size, empty, posterior)


@kernel
def joint_predict_row(
    pool: LearnedPoolState,
    pooled: LearnedPoolScratch,
    best: int,
    state: TreePriorState,
    tree: TreeState,
    scratch: JointScratch,
    logits: np.ndarray,
    labels: int,
    allowed: np.ndarray,
) -> None:
    """Compute the joint posterior of one row: fill ``scratch``.

    Parameters
    ----------
    pool, pooled, best
        The learned pool; its scratch and the index returned by `learned_pool_score_row` for this row.
    state, tree
        The counts of the tree's nodes; the partition's current tree, which contains all ``labels``.
    scratch
        For at least ``labels`` label slots.
    logits
        float32[labels], the mixed logits.
    labels
        Labels as of the row.
    allowed
        uint8[labels], 1 for a label that may be predicted; the others are removed from every candidate.
    """
    proposed = scratch.candidates
    result = scratch.result
    marginals = scratch.marginals
    parts = scratch.parts[0]
    proposed.size[Candidate.TREE_SET] = tree_infer_row(
        state, tree, scratch.tree, logits, pool.prior_logits, labels, marginals, proposed.members[Candidate.TREE_SET]
    )
    tree_log_sum = scratch.tree.result[TreeResult.LOG_SUM]
    learned_pool_marginals(pool, pooled, labels, scratch.pool_marginals)
    pool_log_sum = pooled.results[PoolResult.LOG_SUM] + pooled.results[PoolResult.LOG_POOLED]
    log_odds = pool_log_sum - pooled.results[PoolResult.LOG_NOVEL] - tree_log_sum
    result[JointResult.TREE_SHARE] = 1.0 / (1.0 + exp64(log_odds))
    if parts == PosteriorParts.POOL_ALONE:
        result[JointResult.TREE_SHARE] = 0.0
    if best < 0 or parts == PosteriorParts.TREE_ALONE:
        result[JointResult.TREE_SHARE] = 1.0
    share = np.float32(result[JointResult.TREE_SHARE])
    for label in range(labels):
        marginals[label] = share * marginals[label] + (_ONE - share) * scratch.pool_marginals[label]
        scratch.probabilities[label] = sigmoid32(logits[label])
    expected_size = sum_marginals(marginals, labels)
    result[JointResult.EXPECTED_SIZE] = expected_size
    proposed.size[Candidate.POOL_SET] = -1
    if best >= 0 and parts == PosteriorParts.POOL_ALONE:
        proposed.size[Candidate.TREE_SET] = -1
    if best >= 0 and parts != PosteriorParts.TREE_ALONE:
        proposed.size[Candidate.POOL_SET] = pool.sets.fields[SetField.LENGTH, best]
        for i in range(proposed.size[Candidate.POOL_SET]):
            proposed.members[Candidate.POOL_SET, i] = pool.sets.members[i, best]
    f1_members = proposed.members[Candidate.F1_SET]
    empty = _posterior(pool, pooled, state, tree, scratch, f1_members[:0])
    result[JointResult.EMPTY] = empty
    proposed.size[Candidate.F1_SET] = find_f1_set(marginals, labels, expected_size, empty, allowed, f1_members)
    for candidate in range(CANDIDATES):
        if proposed.size[candidate] >= 0:
            _predict_candidate(pool, pooled, state, tree, scratch, candidate, allowed)
