"""Exact inference in the cluster tree: the best label set, the sum over all label sets and the labels' marginals.

A label set's score is the log of a product over the active nodes, each a remembered pattern or independent children
(`decode.tree_prior`), plus the sum of its labels' values  w_l = logit p_l - a logit r_l. Given the results of its
children, a node's best pattern and its sum over patterns depend on its own patterns alone. So one pass from the labels
to the root finds the best set (for which the better of the two codings counts at each node) and the sum over all sets,
and one pass back finds the probability of each label in the posterior  exp(score) / sum.

A pattern's weight is a product over the node's children of exp(value) if active and 1 if not. The weights are divided
by the largest such product, so that nothing overflows, and are read from tables for four children each, so a pattern
takes three multiplications, whatever its size.

Source: the sum-product and max-product algorithms on a tree, J. Pearl, *Probabilistic Reasoning in Intelligent Systems*
(1988), chapters 4 and 5.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.learner.decode.tree_prior import Scale, TreePriorState
from streamlearn.learner.partition.cluster_tree import MAXIMUM_CHILDREN, NODES, ROOT, TreeState, node_capacity
from streamlearn.learner.partition.code_length import MAXIMUM_PATTERNS
from streamlearn.numerics.exp_log import exp32, exp64, log64

PRIOR_POWER = 0.5
"""The power a of the prior; the roots of `decode.tree_prior` hold for one half only."""


class Aggregate(IntEnum):
    """How the label sets below a node are aggregated; first axis of `TreeScratch.node`."""

    SUM = 0  # sum over all label sets
    BEST = 1  # best label set


class LogValue(IntEnum):
    """The log of a weight and the exponential needed of it; rows of `TreeScratch.label`."""

    VALUE = 0  # x, the log
    EXP_MINUS_ABS = 1  # exp(-|x|)


class Activity(IntEnum):
    """Rows of `TreeScratch.factor`."""

    INACTIVE = 0  # factor of a child that is not active
    ACTIVE = 1  # factor of a child that is active


class TreeResult(IntEnum):
    """Fields of `TreeScratch.result`, in nats."""

    LOG_SUM = 0  # log of the sum of exp(score) over all label sets
    LOG_BEST = 1  # score of the best label set, with the better coding of each node


_QUARTER = 4
"""Children per table."""

_QUARTERS = MAXIMUM_CHILDREN // _QUARTER
_COMBINATIONS = 16
_PARTS = _QUARTERS * _COMBINATIONS

# Mask and shifts that take four children out of a pattern, and the offsets of their tables. Unsigned indices need no
# check for a negative value.
_MASK = np.uint32(15)
_FOUR, _SIX, _EIGHT, _TWELVE = np.uint32(4), np.uint32(6), np.uint32(8), np.uint32(12)
_SECOND, _THIRD, _FOURTH = np.uint32(16), np.uint32(32), np.uint32(48)


class TreeScratch(NamedTuple):
    """Scratch of one row, never state; results are valid until the next row.

    Attributes
    ----------
    label
        float64[2, labels], w_l, rows `LogValue`.
    node
        float64[2, 2, nodes], log weight of the label sets below a node, axes `Aggregate` and `LogValue`.
    share
        float64[nodes, MAXIMUM_CHILDREN], probability that a child is active given that the node is.
    reach
        float64[nodes], probability that a node is active.
    best_mask
        int32[nodes], the active children of the node in its best pattern, as a bit mask.
    taken
        uint8[nodes], 1 if the best label set has labels below the node; 1 for the root.
    table
        float64[4 * 16], four tables: the product over four children for each combination of active ones.
    part
        float64[2 * 4 * 16], four tables for the even patterns and four for the odd ones: the sum of the weights of the
        patterns with each combination of four active children.
    weight
        float64[MAXIMUM_PATTERNS], weights of a node's patterns.
    factor
        float64[2, MAXIMUM_CHILDREN], factors of a node's children, rows `Activity`.
    result
        float64[2], fields `TreeResult`.
    """

    label: np.ndarray
    node: np.ndarray
    share: np.ndarray
    reach: np.ndarray
    best_mask: np.ndarray
    taken: np.ndarray
    table: np.ndarray
    part: np.ndarray
    weight: np.ndarray
    factor: np.ndarray
    result: np.ndarray


def tree_scratch(labels: int) -> TreeScratch:
    """Return scratch for a tree of ``labels`` label slots."""
    nodes = node_capacity(labels)
    return TreeScratch(
        np.zeros((len(LogValue), labels)),
        np.zeros((len(Aggregate), len(LogValue), nodes)),
        np.zeros((nodes, MAXIMUM_CHILDREN)),
        np.zeros(nodes),
        np.zeros(nodes, np.int32),
        np.zeros(nodes, np.uint8),
        np.zeros(_PARTS),
        np.zeros(2 * _PARTS),
        np.zeros(MAXIMUM_PATTERNS),
        np.zeros((len(Activity), MAXIMUM_CHILDREN)),
        np.zeros(len(TreeResult)),
    )


@kernel
def _load_children(
    children: np.ndarray, count: int, values: np.ndarray, factor: np.ndarray, table: np.ndarray
) -> float:
    """Fill ``factor`` and ``table`` from the values (float64[2, n], rows `LogValue`) of ``count`` children (int32[]).

    Returns
    -------
    float
        The log of the scale that both are divided by.
    """
    shift = 0.0
    for b in range(count):
        value = values[LogValue.VALUE, children[b]]
        small = values[LogValue.EXP_MINUS_ABS, children[b]]
        shift += max(value, 0.0)
        factor[Activity.INACTIVE, b] = small if value > 0.0 else 1.0
        factor[Activity.ACTIVE, b] = 1.0 if value > 0.0 else small
    for quarter in range(_QUARTERS):
        first = quarter * _COMBINATIONS
        table[first] = 1.0
        size = 1
        for b in range(_QUARTER * quarter, min(_QUARTER * quarter + _QUARTER, count)):
            on = factor[Activity.ACTIVE, b]
            off = factor[Activity.INACTIVE, b]
            for m in range(first, first + size):
                table[m + size] = table[m] * on
                table[m] *= off
            size *= 2
    return shift


@kernel
def _weigh_patterns(
    pattern: np.ndarray, pattern_root: np.ndarray, patterns: int, table: np.ndarray, weight: np.ndarray
) -> int:
    """Fill ``weight`` of a node's patterns, without the node's scale; return the index of the largest, -1 for none."""
    largest = -1.0
    for k in range(patterns):
        mask = np.uint32(pattern[k])
        low = table[mask & _MASK] * table[(mask >> _FOUR & _MASK) + _SECOND]
        high = table[(mask >> _EIGHT & _MASK) + _THIRD] * table[(mask >> _TWELVE) + _FOURTH]
        weight[k] = pattern_root[k] * (low * high)
        largest = weight[k] if weight[k] > largest else largest
    best = patterns
    for k in range(patterns):
        best = min(best, k if weight[k] == largest else patterns)
    return best if patterns > 0 else -1


@kernel
def _best_independent(factor: np.ndarray, odds_root: np.ndarray, count: int, root: bool) -> tuple[float, np.int32]:
    """Return the weight, without the node's scale, and the mask of the best pattern as independent children."""
    weight = 1.0
    mask = np.int32(0)
    nearest = 0
    ratio = 0.0
    for b in range(count):
        on = odds_root[b] * factor[Activity.ACTIVE, b]
        off = factor[Activity.INACTIVE, b]
        if on > off:
            mask |= np.int32(1) << np.int32(b)
            weight *= on
        else:
            weight *= off
            if on > ratio * off:
                ratio = on / off
                nearest = b
    if mask == 0 and not root:
        mask = np.int32(1) << np.int32(nearest)
        weight *= ratio
    return weight, mask


@kernel
def _sum_of_node(
    pattern: np.ndarray,
    patterns: int,
    odds_root: np.ndarray,
    scale: np.ndarray,
    count: int,
    root: bool,
    factor: np.ndarray,
    weight: np.ndarray,
    part: np.ndarray,
    share: np.ndarray,
) -> float:
    """Return the sum of the weights of all patterns, in both codings; fill ``share`` of each child."""
    quarters = max((count + _QUARTER - 1) // _QUARTER, 1)
    for m in range(2 * _PARTS):
        part[m] = 0.0
    # Two sums, of every other pattern: an addition does not wait for the one before.
    for k in range(patterns):
        mask = np.uint32(pattern[k])
        first = np.uint32(k & 1) << _SIX
        part[first + (mask & _MASK)] += weight[k]
        part[first + (mask >> _FOUR & _MASK) + _SECOND] += weight[k]
        if quarters > 2:
            part[first + (mask >> _EIGHT & _MASK) + _THIRD] += weight[k]
            part[first + (mask >> _TWELVE) + _FOURTH] += weight[k]
    for m in range(_PARTS):
        part[m] += part[m + _PARTS]
    # Children beyond the node's own are active in no pattern.
    for quarter in range(quarters):
        first = quarter * _COMBINATIONS
        size = _COMBINATIONS
        for b in range(_QUARTER - 1, -1, -1):
            size //= 2
            active = 0.0
            for m in range(first, first + size):
                active += part[m + size]
                part[m] += part[m + size]
            share[quarter * _QUARTER + b] = active
    empty = 1.0
    active = 0.0
    for b in range(count):
        on = odds_root[b] * factor[Activity.ACTIVE, b]
        active = active * (factor[Activity.INACTIVE, b] + on) + empty * on
        empty *= factor[Activity.INACTIVE, b]
    every = scale[Scale.INDEPENDENT] * (active + empty)
    total = scale[Scale.REMEMBERED] * part[0] + scale[Scale.INDEPENDENT] * (active + empty if root else active)
    inverse = 1.0 / total
    for b in range(count):
        on = odds_root[b] * factor[Activity.ACTIVE, b]
        independent = every * (on / (factor[Activity.INACTIVE, b] + on))
        share[b] = (scale[Scale.REMEMBERED] * share[b] + independent) * inverse
    return total


@kernel
def _infer_node(state: TreePriorState, tree: TreeState, node: int, scratch: TreeScratch) -> None:
    """Find the best label set below a node and the sum over all of them, from the results of its children."""
    pattern = state.nodes.pattern[node]
    patterns = int(state.nodes.pattern_count[node])
    odds_root = state.odds_root[node]
    scale = state.scale[node]
    count = int(tree.child_count[node])
    root = node == tree.size[ROOT]
    shift = 0.0
    largest = -1
    for aggregate in (Aggregate.BEST, Aggregate.SUM):
        # At height 1 both aggregates are over the labels' own values: SUM uses the table that BEST has filled.
        if aggregate == Aggregate.BEST or tree.height[node] > 1:
            values = scratch.label if tree.height[node] == 1 else scratch.node[aggregate]
            shift = _load_children(tree.children[node], count, values, scratch.factor, scratch.table)
            largest = _weigh_patterns(pattern, state.pattern_root[node], patterns, scratch.table, scratch.weight)
        if aggregate == Aggregate.BEST:
            total, mask = _best_independent(scratch.factor, odds_root, count, root)
            total *= scale[Scale.INDEPENDENT]
            if largest >= 0 and scale[Scale.REMEMBERED] * scratch.weight[largest] >= total:
                total = scale[Scale.REMEMBERED] * scratch.weight[largest]
                mask = pattern[largest]
            scratch.best_mask[node] = mask
        else:
            total = _sum_of_node(
                pattern,
                patterns,
                odds_root,
                scale,
                count,
                root,
                scratch.factor,
                scratch.weight,
                scratch.part,
                scratch.share[node],
            )
        value = shift + log64(total)
        scratch.node[aggregate, LogValue.VALUE, node] = value
        scratch.node[aggregate, LogValue.EXP_MINUS_ABS, node] = exp64(-abs(value))


@kernel
def tree_infer_row(
    state: TreePriorState,
    tree: TreeState,
    scratch: TreeScratch,
    logits: np.ndarray,
    prior_logits: np.ndarray,
    labels: int,
    marginals: np.ndarray,
    best: np.ndarray,
) -> int:
    """Fill ``scratch.result``, the labels' marginals and the best label set; return its number of members.

    Parameters
    ----------
    state, tree
        The counts of the tree's nodes; the tree.
    scratch
        For at least ``labels`` label slots.
    logits
        float32[labels], logits of the labels' probabilities.
    prior_logits
        float32[labels], logits of the labels' rates, 0 for a label too rare to have one.
    labels
        Label slots of the tree.
    marginals
        float32[labels], filled with the probability of each label in the tree's posterior.
    best
        int32[labels], filled with the slots of the best label set, ascending.
    """
    power = np.float32(PRIOR_POWER)
    for label in range(labels):
        value = logits[label] - power * prior_logits[label]
        scratch.label[LogValue.VALUE, label] = value
        scratch.label[LogValue.EXP_MINUS_ABS, label] = exp32(-abs(value))
    root = int(tree.size[ROOT])
    top = int(tree.height[root])
    for height in range(1, top + 1):
        for node in range(tree.size[NODES]):
            if tree.height[node] == height:
                _infer_node(state, tree, node, scratch)
    scratch.reach[root] = 1.0
    scratch.taken[root] = 1
    for height in range(top - 1, 0, -1):
        for node in range(tree.size[NODES]):
            if tree.height[node] == height:
                parent = tree.parent[node]
                position = tree.position[node]
                scratch.reach[node] = scratch.reach[parent] * scratch.share[parent, position]
                scratch.taken[node] = scratch.taken[parent] & ((scratch.best_mask[parent] >> position) & 1)
    count = 0
    for label in range(labels):
        parent = tree.leaf_parent[label]
        position = tree.leaf_position[label]
        marginals[label] = scratch.reach[parent] * scratch.share[parent, position]
        if scratch.taken[parent] and (scratch.best_mask[parent] >> position) & 1:
            best[count] = label
            count += 1
    scratch.result[TreeResult.LOG_SUM] = scratch.node[Aggregate.SUM, LogValue.VALUE, root]
    scratch.result[TreeResult.LOG_BEST] = scratch.node[Aggregate.BEST, LogValue.VALUE, root]
    return count


@kernel
def tree_log_score(scratch: TreeScratch, log_prior: float, members: np.ndarray, count: int) -> float:
    """Return the score of the label set ``members[:count]``: ``log_prior`` plus the sum of its labels' values."""
    total = log_prior
    for i in range(count):
        total += scratch.label[LogValue.VALUE, members[i]]
    return total
