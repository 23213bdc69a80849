"""The joint decode: the learned pool and the cluster tree as one posterior over label sets, and the answer from it.

A label set is one of the pool's with probability 1 - e, by the pool's scores, or any set at all with probability e, by
the tree; e is the pool's escape probability. So the posterior has two parts, whose weights are (1 - e) times the sum
over the pooled sets and e times the sum over the tree's, and a label's marginal is the mean of its marginals in both.
Half of the prior is in both sums, the escape stays whole, or the posterior would lose its calibration.

From the posterior come the candidates of `decode.utility`, and the marginals for the rules that decide label by label.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.learner.decode.pool_scores import (
    LOG_NOVEL,
    LOG_POOLED,
    LearnedPoolScratch,
    LearnedPoolState,
    learned_pool_marginals,
    learned_pool_posterior,
)
from streamlearn.learner.decode.pool_scores import LOG_SUM as POOL_LOG_SUM
from streamlearn.learner.decode.pooled_sets import LENGTH
from streamlearn.learner.decode.tree_inference import LOG_SUM as TREE_LOG_SUM
from streamlearn.learner.decode.tree_inference import TreeScratch, tree_infer_row, tree_log_score, tree_scratch
from streamlearn.learner.decode.tree_prior import TreePriorState, tree_prior_log_prior
from streamlearn.learner.decode.utility import (
    CANDIDATES,
    F1_SET,
    POOL_SET,
    POSTERIOR,
    TREE_SET,
    Candidates,
    candidates,
    f1_set,
    sum_marginals,
    utility_predict_set,
)
from streamlearn.learner.partition.cluster_tree import TreeState
from streamlearn.numerics.exp_log import exp64
from streamlearn.numerics.logistic import sigmoid32

TREE_SHARE, EMPTY, EXPECTED_SIZE = 0, 1, 2
BOTH, POOL_ALONE, TREE_ALONE = range(3)
"""What the posterior is made of."""

_ONE = np.float32(1.0)


class JointScratch(NamedTuple):
    """Memory of one row, never state.

    Attributes
    ----------
    tree
        Of the pass over the tree.
    pool_marginals
        float32[labels], the labels' probabilities within the pool.
    marginals
        float32[labels], the labels' joint probabilities q.
    probabilities
        float32[labels], the labels' own probabilities p.
    candidates
        The candidates of the utility decision.
    result
        float64[3]: the probability TREE_SHARE that the set is not from the pool, the probability EMPTY of the empty
        set, and the EXPECTED_SIZE of the set.
    parts
        int64[1]: BOTH, or POOL_ALONE or TREE_ALONE to compare; the tree stands in while the pool has no set.
    """

    tree: TreeScratch
    pool_marginals: np.ndarray
    marginals: np.ndarray
    probabilities: np.ndarray
    candidates: Candidates
    result: np.ndarray
    parts: np.ndarray


def joint_scratch(labels: int, parts: int = BOTH) -> JointScratch:
    """Return the memory for ``labels`` label slots."""
    return JointScratch(
        tree_scratch(labels),
        np.zeros(labels, np.float32),
        np.zeros(labels, np.float32),
        np.zeros(labels, np.float32),
        candidates(labels),
        np.zeros(3),
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
    """Return the joint probability of a label set, int32[k] ascending."""
    size = members.size
    score = tree_log_score(scratch.tree, tree_prior_log_prior(state, tree, members), members, size)
    share = scratch.result[TREE_SHARE]
    probability = share * exp64(score - scratch.tree.result[TREE_LOG_SUM])
    return probability + (1.0 - share) * learned_pool_posterior(pool, pooled, members)


@kernel
def _keep_allowed(proposed: Candidates, candidate: int, allowed: np.ndarray) -> None:
    kept = 0
    for place in range(proposed.size[candidate]):
        member = proposed.members[candidate, place]
        if allowed[member]:
            proposed.members[candidate, kept] = member
            kept += 1
    proposed.size[candidate] = kept


@kernel
def _earlier_twin(proposed: Candidates, candidate: int) -> int:
    """Return a candidate before this one that is the same label set, -1 without one."""
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
    """Fill ``marginals``, ``probabilities``, ``candidates`` and ``result`` of ``scratch``.

    Parameters
    ----------
    pool, pooled, best
        The learned pool after `learned_pool_score_row` has scored this row and returned ``best``.
    state, tree
        The partition's current tree, which holds all ``labels``, and what its nodes know.
    scratch
        Room for at least ``labels`` label slots.
    logits
        float32[labels], the mixed logits.
    labels
        Labels as of the row.
    allowed
        uint8[labels], 1 for a label that may be predicted; the others leave every candidate.
    """
    proposed = scratch.candidates
    result = scratch.result
    marginals = scratch.marginals
    proposed.size[TREE_SET] = tree_infer_row(
        state, tree, scratch.tree, logits, pool.prior_logits, labels, marginals, proposed.members[TREE_SET]
    )
    tree_log_sum = scratch.tree.result[TREE_LOG_SUM]
    learned_pool_marginals(pool, pooled, labels, scratch.pool_marginals)
    pool_log_sum = pooled.results[POOL_LOG_SUM] + pooled.results[LOG_POOLED]
    result[TREE_SHARE] = 1.0 / (1.0 + exp64(pool_log_sum - pooled.results[LOG_NOVEL] - tree_log_sum))
    if scratch.parts[0] == POOL_ALONE:
        result[TREE_SHARE] = 0.0
    if best < 0 or scratch.parts[0] == TREE_ALONE:
        result[TREE_SHARE] = 1.0
    share = np.float32(result[TREE_SHARE])
    for label in range(labels):
        marginals[label] = share * marginals[label] + (_ONE - share) * scratch.pool_marginals[label]
        scratch.probabilities[label] = sigmoid32(logits[label])
    result[EXPECTED_SIZE] = sum_marginals(marginals, labels)
    proposed.size[POOL_SET] = -1
    if best >= 0 and scratch.parts[0] == POOL_ALONE:
        proposed.size[TREE_SET] = -1
    if best >= 0 and scratch.parts[0] != TREE_ALONE:
        proposed.size[POOL_SET] = pool.sets.links[LENGTH, best]
        for place in range(proposed.size[POOL_SET]):
            proposed.members[POOL_SET, place] = pool.sets.members[place, best]
    # The F1 set depends on the probability of the empty set, so the empty set stands in its place first.
    proposed.size[F1_SET] = 0
    for turn in range(-1, CANDIDATES):
        candidate = turn if turn >= 0 else F1_SET
        if proposed.size[candidate] < 0:
            continue
        _keep_allowed(proposed, candidate, allowed)
        members = proposed.members[candidate, : proposed.size[candidate]]
        posterior = 0.0
        twin = _earlier_twin(proposed, turn)
        if twin >= 0:
            posterior = proposed.predicted[twin, POSTERIOR]
        else:
            posterior = _posterior(pool, pooled, state, tree, scratch, members)
        if turn < 0:
            result[EMPTY] = posterior
            proposed.size[F1_SET] = f1_set(
                marginals, labels, result[EXPECTED_SIZE], posterior, allowed, proposed.members[F1_SET]
            )
        else:
            utility_predict_set(proposed, candidate, marginals, result[EXPECTED_SIZE], result[EMPTY], posterior)
