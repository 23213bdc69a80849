"""From mixed logits to a label set: everything that decides, behind one door.

For each row the learned pool and the tree of label clusters give one posterior over label sets
(`decode.joint_posterior`), with the labels' joint marginals, the probability of the empty set and three candidates
(`decode.utility`); a rule picks from them. Thresholds work on a mix of the labels' own probabilities and their joint
marginals (`decode.fixed_share`).

A rule is a pure function of what one row's inference left, so that several can be asked at once. With fewer than 10
decayed complete rows the rules that need label sets fall back on a threshold of .5.
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
from streamlearn.learner.decode.joint_posterior import JointScratch, PosteriorParts, joint_predict_row, joint_scratch
from streamlearn.learner.decode.learned_pool import LearnedPool, learned_pool_learn_row
from streamlearn.learner.decode.pool_scores import (
    LEAST_ROWS,
    LearnedPoolScratch,
    LearnedPoolState,
    learned_pool_rows,
    learned_pool_score_row,
)
from streamlearn.learner.decode.pooled_sets import CAPACITY
from streamlearn.learner.decode.thresholds import Thresholds, ThresholdsState, thresholds_choose, thresholds_learn_row
from streamlearn.learner.decode.tree_prior import TreePrior, TreePriorState, tree_prior_learn_row
from streamlearn.learner.decode.utility import (
    BALANCED,
    Candidate,
    Utility,
    UtilityState,
    utility_choose,
    utility_learn_row,
)
from streamlearn.learner.partition.cluster_tree import TreeState
from streamlearn.learner.partition.clusters import Partition
from streamlearn.state.array_names import DecisionPart, join_parts
from streamlearn.state.lazy_arrays import parts_of

BALANCED_RULE, SUBSET, F1_RULE, HAMMING, MACRO = range(5)

_HALF = np.float32(0.5)


class DecisionState(NamedTuple):
    """The states of everything that decides."""

    pool: LearnedPoolState
    tree: TreePriorState
    utility: UtilityState
    share: FixedShareState
    thresholds: ThresholdsState


class DecisionScratch(NamedTuple):
    """What the inference of one row leaves, never state; ``mixed`` float32[labels] is the mix of the labels' own
    probabilities and their joint marginals.
    """

    pool: LearnedPoolScratch
    joint: JointScratch
    mixed: np.ndarray


@kernel
def decision_rows(state: DecisionState) -> float:
    """Return the decayed number of complete rows learnt."""
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
    tree:
        The partition's current tree, of exactly ``labels`` labels.
    logits:
        float32[labels], the mixed logits.
    allowed:
        uint8[labels], 1 for a label that may be predicted.
    neighbour_code, neighbour_weight, neighbour_starts, neighbour_members:
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
def decision_choose_row(
    state: DecisionState,
    scratch: DecisionScratch,
    rule: int | np.int64,
    labels: int,
    allowed: np.ndarray,
    chosen: np.ndarray,
) -> None:
    """Set ``chosen`` uint8[labels] to 1 for the labels of the answer.

    ``rule`` is one of the five above; ``allowed`` uint8[labels] marks the labels that may be predicted.
    """
    if rule == MACRO:
        thresholds_choose(state.thresholds, scratch.mixed, labels, allowed, chosen)
        return
    for label in range(labels):
        chosen[label] = 0
    if rule == HAMMING:
        for label in range(labels):
            if allowed[label] and scratch.mixed[label] > _HALF:
                chosen[label] = 1
        return
    if decision_rows(state) < LEAST_ROWS:
        for label in range(labels):
            if allowed[label] and scratch.joint.probabilities[label] > _HALF:
                chosen[label] = 1
        return
    proposed = scratch.joint.candidates
    candidate = np.int64(Candidate.POOL_SET)
    if rule != SUBSET or proposed.size[Candidate.POOL_SET] < 0:
        candidate = utility_choose(state.utility, proposed, BALANCED if rule == BALANCED_RULE else 0.0)
    for place in range(proposed.size[candidate]):
        chosen[proposed.members[candidate, place]] = 1


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
    """Learn from the row whose inference is in ``scratch``.

    ``truth`` int8[labels] is 1, 0 or -1 (unknown); ``members`` int32 are the known positives, ascending; ``positives``
    int64[labels] counts the rows in which each label was learnt as true. Only complete rows teach about label sets.
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
    """Owns everything that decides; ``parts`` is BOTH, or one of `joint` alone, ``pooled_sets`` the pool's size."""

    def __init__(self, parts: int = PosteriorParts.BOTH, pooled_sets: int = CAPACITY) -> None:
        self._parts = parts
        self.pool = LearnedPool(pooled_sets)
        self.tree = TreePrior()
        self.utility = Utility()
        self.share = FixedShare()
        self.thresholds = Thresholds()
        self._room(0)

    def _room(self, labels: int) -> None:
        self._joint = joint_scratch(labels, self._parts)
        self._mixed = np.zeros(labels, np.float32)

    def grow(self, labels: int) -> None:
        """Make room for ``labels`` labels."""
        self.pool.grow(labels)
        self.tree.grow(labels)
        self.share.grow(labels)
        self.thresholds.grow(labels)
        if labels > self._mixed.size:
            self._room(labels)

    @property
    def state(self) -> DecisionState:
        """What the kernels take; anew after anything has grown."""
        return DecisionState(
            self.pool.state, self.tree.state, self.utility.state, self.share.state, self.thresholds.state
        )

    @property
    def scratch(self) -> DecisionScratch:
        """Memory of one row; anew after anything has grown."""
        return DecisionScratch(self.pool.scratch, self._joint, self._mixed)

    def follow(self, partition: Partition) -> None:
        """Follow the partition after labels have joined it or its tree was tested."""
        self.tree.follow(partition)

    def retire(self, slot: int, partition: Partition) -> None:
        """Forget the label of a slot, which the partition has forgotten already."""
        self.pool.retire(slot)
        self.share.retire(slot)
        self.thresholds.retire(slot)
        self.tree.refill(partition)

    def arrays(self, labels: int, partition: Partition) -> dict[str, np.ndarray]:
        """Return the state of the labels in use, by name."""
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
        """Take the state over; ``partition`` has loaded its own. Raises `SnapshotError` when a shape differs."""
        # Many are looked at several times, and they may be in a file.
        parts = parts_of(dict(arrays))
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
