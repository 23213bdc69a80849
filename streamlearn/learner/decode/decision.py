"""Facade over the decision rules: inference, learning and the state of everything they use.

For each row, inference turns mixed logits into what the rules choose from. The learned pool and the cluster tree give
one posterior over label sets (`decode.joint_posterior`), with the labels' joint marginals, the probability of the empty
set and three candidates (`decode.utility`). The rules that decide label by label use a mix of the labels' own
probabilities and their joint marginals (`decode.fixed_share`). `decode.label_set_choice` then applies a rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.learner.decode.fixed_share import (
    FixedShare,
    FixedShareState,
    fixed_share_learn_row,
    fixed_share_predict_row,
)
from streamlearn.learner.decode.joint_posterior import (
    JointScratch,
    PosteriorParts,
    joint_predict_row,
    joint_scratch,
)
from streamlearn.learner.decode.learned_pool import LearnedPool, learned_pool_learn_row
from streamlearn.learner.decode.pool_scores import (
    LEAST_ROWS,
    LearnedPoolScratch,
    LearnedPoolState,
    learned_pool_rows,
    learned_pool_score_row,
)
from streamlearn.learner.decode.pooled_sets import CAPACITY
from streamlearn.learner.decode.thresholds import Thresholds, ThresholdsState, thresholds_learn_row
from streamlearn.learner.decode.tree_prior import TreePrior, TreePriorState, tree_prior_learn_row
from streamlearn.learner.decode.utility import Utility, UtilityState, utility_learn_row
from streamlearn.learner.partition.cluster_tree import TreeState
from streamlearn.learner.partition.clusters import Partition
from streamlearn.state.array_names import DecisionPart, join_parts
from streamlearn.state.lazy_arrays import load_all, split_parts


class DecisionState(NamedTuple):
    """State of the decision rules: what learning changes."""

    pool: LearnedPoolState
    tree: TreePriorState
    utility: UtilityState
    share: FixedShareState
    thresholds: ThresholdsState


class DecisionScratch(NamedTuple):
    """Results of one row's inference, valid until the next row; never state.

    ``mixed`` float32[labels] is the mix of the labels' own probabilities and their joint marginals.
    """

    pool: LearnedPoolScratch
    joint: JointScratch
    mixed: np.ndarray


@kernel
def decision_rows(state: DecisionState) -> float:
    """Return the decayed number of complete rows learned."""
    return learned_pool_rows(state.pool)


@kernel
def decision_infer_row(
    state: DecisionState,
    tree: TreeState,
    scratch: DecisionScratch,
    logits: np.ndarray,
    labels: int,
    allowed: np.ndarray,
    neighbour_code: np.ndarray,
    neighbour_weight: np.ndarray,
    neighbour_starts: np.ndarray,
    neighbour_members: np.ndarray,
) -> None:
    """Fill ``scratch`` for one row.

    Parameters
    ----------
    state, scratch
        The decision; the results of inference.
    tree
        The partition's current tree, of exactly ``labels`` labels.
    logits
        float32[labels], the mixed logits.
    labels
        Labels as of the row.
    allowed
        uint8[labels], 1 for a label that may be predicted.
    neighbour_code, neighbour_weight, neighbour_starts, neighbour_members
        The neighbours' label sets, as for `learned_pool_score_row`.
    """
    best = learned_pool_score_row(
        state.pool,
        scratch.pool,
        logits,
        labels,
        neighbour_code,
        neighbour_weight,
        neighbour_starts,
        neighbour_members,
    )
    joint = scratch.joint
    joint_predict_row(state.pool, scratch.pool, best, state.tree, tree, joint, logits, labels, allowed)
    if decision_rows(state) < LEAST_ROWS:
        for label in range(labels):
            joint.marginals[label] = joint.probabilities[label]
    fixed_share_predict_row(state.share, joint.probabilities, joint.marginals, labels, scratch.mixed)


@kernel
def decision_learn_row(
    state: DecisionState,
    tree: TreeState,
    scratch: DecisionScratch,
    truth: np.ndarray,
    members: np.ndarray,
    complete: bool,
    labels: int,
    positives: np.ndarray,
) -> None:
    """Learn from the row whose inference results are in ``scratch``; label sets are learned from complete rows only.

    Parameters
    ----------
    state, scratch
        The decision; the results of inference.
    tree
        The partition's current tree.
    truth
        int8[labels]: 1, 0 or -1 (unknown).
    members
        int32[k], the slots of the known positives, ascending.
    complete
        Whether the truth of all labels is known.
    labels
        Labels as of the row.
    positives
        int64[labels], the rows in which each label was learned as true.
    """
    thresholds_learn_row(state.thresholds, scratch.mixed, truth, labels)
    ready = decision_rows(state) >= LEAST_ROWS
    if ready:
        fixed_share_learn_row(state.share, scratch.joint.probabilities, scratch.joint.marginals, truth, labels)
    if not complete:
        return
    if ready:
        utility_learn_row(state.utility, scratch.joint.candidates, truth, members.size)
    learned_pool_learn_row(state.pool, scratch.pool, members, labels, positives)
    tree_prior_learn_row(state.tree, tree, members)


class Decision:
    """Owns the state and scratch of the decision rules.

    Parameters
    ----------
    parts
        A `PosteriorParts`: what the posterior over label sets is made of.
    pooled_sets
        Largest number of label sets in the pool, at most `pooled_sets.CAPACITY`.
    """

    def __init__(self, parts: int = PosteriorParts.BOTH, pooled_sets: int = CAPACITY) -> None:
        self._parts = parts
        self.pool = LearnedPool(pooled_sets)
        self.tree = TreePrior()
        self.utility = Utility()
        self.share = FixedShare()
        self.thresholds = Thresholds()
        self._allocate_scratch(0)

    def _allocate_scratch(self, labels: int) -> None:
        self._joint = joint_scratch(labels, self._parts)
        self._mixed = np.zeros(labels, np.float32)

    def grow(self, labels: int) -> None:
        """Make room for ``labels`` label slots."""
        self.pool.grow(labels)
        self.tree.grow(labels)
        self.share.grow(labels)
        self.thresholds.grow(labels)
        if labels > self._mixed.size:
            self._allocate_scratch(labels)

    @property
    def state(self) -> DecisionState:
        """The state as kernels take it; valid until the next `grow`."""
        return DecisionState(
            self.pool.state, self.tree.state, self.utility.state, self.share.state, self.thresholds.state
        )

    @property
    def scratch(self) -> DecisionScratch:
        """The scratch as kernels take it; valid until the next `grow`."""
        return DecisionScratch(self.pool.scratch, self._joint, self._mixed)

    def follow(self, partition: Partition) -> None:
        """Follow the partition after labels joined it or its tree was tested."""
        self.tree.follow(partition)

    def retire(self, slot: int, partition: Partition) -> None:
        """Remove the label of a slot; the partition has removed it already."""
        self.pool.retire(slot)
        self.share.retire(slot)
        self.thresholds.retire(slot)
        self.tree.refill(partition)

    def arrays(self, labels: int, partition: Partition) -> dict[str, np.ndarray]:
        """Return the state of the labels in use, by array name."""
        return join_parts(
            {
                DecisionPart.POOL: self.pool.arrays(labels),
                DecisionPart.TREE_PRIOR: self.tree.arrays(partition),
                DecisionPart.UTILITY: self.utility.arrays(),
                DecisionPart.FIXED_SHARE: self.share.arrays(labels),
                DecisionPart.THRESHOLDS: self.thresholds.arrays(labels),
            }
        )

    def load_arrays(self, arrays: Mapping[str, np.ndarray], labels: int, partition: Partition) -> None:
        """Load the state that `arrays` returned; ``partition`` has loaded its own.

        Raises `SnapshotError` if an array does not fit.
        """
        # Some arrays are accessed several times, and each access may read from a file: each is read once.
        parts = split_parts(load_all(arrays))
        self.pool.load_arrays(parts[DecisionPart.POOL], labels)
        self.tree.load_arrays(parts[DecisionPart.TREE_PRIOR], partition)
        self.utility.load_arrays(parts[DecisionPart.UTILITY])
        self.share.load_arrays(parts[DecisionPart.FIXED_SHARE], labels)
        self.thresholds.load_arrays(parts[DecisionPart.THRESHOLDS], labels)
        self.grow(labels)

    @staticmethod
    def bytes_bound(labels: int) -> int:
        """Return the largest size in bytes with that many labels."""
        return (
            LearnedPool.bytes_bound(labels)
            + TreePrior.bytes_bound(labels)
            + Utility.bytes_bound()
            + FixedShare.bytes_bound(labels)
            + Thresholds.bytes_bound(labels)
        )
