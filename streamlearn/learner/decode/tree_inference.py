"""The tree's best label set, the sum over all label sets and the labels' probabilities, exactly, in one pass each way.

A label set's score is the log of a product over the active nodes, each a remembered pattern or independent children
(`decode.tree_prior`), plus the sum of its labels' values  w_l = logit p_l - a logit r_l. Given the children's results
a node's best pattern and sum over patterns follow from its own patterns alone, so one pass from the labels to the root
has the best set (the better way of each node counts) and the sum over all sets, and one pass back has the probability
of each label in the posterior  exp(score) / sum.

A node's weights are products over its children of exp(value) where active and 1 elsewhere. They are divided by the
largest such product, so that nothing overflows, and come from tables of four children each, so that a pattern costs
three multiplications whatever its size.

Source: the sum-product and max-product algorithms on a tree, J. Pearl, *Probabilistic Reasoning in Intelligent Systems*
(1988), chapters 4 and 5.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.learner.decode.tree_prior import INDEPENDENT, POOLED, TreePriorState
from streamlearn.learner.partition.cluster_tree import MAXIMUM_CHILDREN, TreeSize, TreeState, node_capacity
from streamlearn.learner.partition.code_length import MAXIMUM_PATTERNS
from streamlearn.numerics.exp_log import exp32, exp64, log64

PRIOR_POWER = 0.5
"""The power a of the prior; the roots of `decode.tree_prior` are made for one half."""

SUM, BEST = 0, 1
VALUE, SMALL = 0, 1
LOG_SUM, LOG_BEST = 0, 1

_QUARTER = 4
_QUARTERS = MAXIMUM_CHILDREN // _QUARTER
_COMBINATIONS = 16
_PARTS = _QUARTERS * _COMBINATIONS
_FIRST, _FOUR, _SIX, _EIGHT, _TWELVE = np.uint32(15), np.uint32(4), np.uint32(6), np.uint32(8), np.uint32(12)
_SECOND, _THIRD, _FOURTH = np.uint32(16), np.uint32(32), np.uint32(48)


class TreeScratch(NamedTuple):
    """Memory of one row, never state; the results of a row stay until the next one.

    Attributes
    ----------
    label
        float64[2, labels]: VALUE w_l and SMALL exp(-|w_l|).
    node
        float64[2, 2, nodes]: VALUE and SMALL of the log of the SUM over the label sets below a node and of the BEST.
    share
        float64[nodes, MAXIMUM_CHILDREN], probability of each child given that the node is active.
    reach
        float64[nodes], probability that a node is active.
    best_mask
        int32[nodes], the active children of the best label set below the node.
    taken
        uint8[nodes], whether the best label set has labels below the node; the root always.
    table
        float64[4 * 16], products over four children each, by which of them are active.
    part
        float64[2, 4, 16] flat, weights of every other pattern, by which of four children are active.
    weight
        float64[MAXIMUM_PATTERNS].
    factor
        float64[2, MAXIMUM_CHILDREN], what a child counts where it is not active and where it is.
    result
        float64[2]: LOG_SUM and LOG_BEST of the root, in nats.
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
    """Return the memory for trees of this many label slots."""
    nodes = node_capacity(labels)
    return TreeScratch(
        np.zeros((2, labels)),
        np.zeros((2, 2, nodes)),
        np.zeros((nodes, MAXIMUM_CHILDREN)),
        np.zeros(nodes),
        np.zeros(nodes, np.int32),
        np.zeros(nodes, np.uint8),
        np.zeros(_PARTS),
        np.zeros(2 * _PARTS),
        np.zeros(MAXIMUM_PATTERNS),
        np.zeros((2, MAXIMUM_CHILDREN)),
        np.zeros(2),
    )


@kernel
def _load_children(
    children: np.ndarray, count: int, values: np.ndarray, factor: np.ndarray, table: np.ndarray
) -> float:
    """Fill ``factor`` and ``table`` from the VALUE and SMALL (float64[2, n]) of ``count`` children (int32[]).

    Returns
    -------
    float
        The log of the scale that both are divided by.
    """
    shift = 0.0
    for b in range(count):
        value = values[VALUE, children[b]]
        small = values[SMALL, children[b]]
        shift += max(value, 0.0)
        factor[0, b] = small if value > 0.0 else 1.0
        factor[1, b] = 1.0 if value > 0.0 else small
    for quarter in range(_QUARTERS):
        first = quarter * _COMBINATIONS
        table[first] = 1.0
        size = 1
        for b in range(_QUARTER * quarter, min(_QUARTER * quarter + _QUARTER, count)):
            on = factor[1, b]
            off = factor[0, b]
            for m in range(first, first + size):
                table[m + size] = table[m] * on
                table[m] *= off
            size *= 2
    return shift


@kernel
def _weigh_patterns(
    pattern: np.ndarray, pattern_root: np.ndarray, patterns: int, table: np.ndarray, weight: np.ndarray
) -> int:
    """Fill ``weight`` of a node's patterns, without the node's scale; return the place of the largest, -1 for none."""
    largest = -1.0
    for k in range(patterns):
        mask = np.uint32(pattern[k])
        low = table[mask & _FIRST] * table[(mask >> _FOUR & _FIRST) + _SECOND]
        high = table[(mask >> _EIGHT & _FIRST) + _THIRD] * table[(mask >> _TWELVE) + _FOURTH]
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
        on = odds_root[b] * factor[1, b]
        off = factor[0, b]
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
    """Return the sum of the weights of all patterns, remembered and independent; set ``share`` of each child."""
    quarters = max((count + _QUARTER - 1) // _QUARTER, 1)
    for m in range(2 * _PARTS):
        part[m] = 0.0
    # Every other pattern has sums of its own: an addition does not wait for the one before.
    for k in range(patterns):
        mask = np.uint32(pattern[k])
        first = np.uint32(k & 1) << _SIX
        part[first + (mask & _FIRST)] += weight[k]
        part[first + (mask >> _FOUR & _FIRST) + _SECOND] += weight[k]
        if quarters > 2:
            part[first + (mask >> _EIGHT & _FIRST) + _THIRD] += weight[k]
            part[first + (mask >> _TWELVE) + _FOURTH] += weight[k]
    for m in range(_PARTS):
        part[m] += part[m + _PARTS]
    # Children that are not there are active in no pattern.
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
        on = odds_root[b] * factor[1, b]
        active = active * (factor[0, b] + on) + empty * on
        empty *= factor[0, b]
    every = scale[INDEPENDENT] * (active + empty)
    total = scale[POOLED] * part[0] + scale[INDEPENDENT] * (active + empty if root else active)
    inverse = 1.0 / total
    for b in range(count):
        on = odds_root[b] * factor[1, b]
        share[b] = (scale[POOLED] * share[b] + every * (on / (factor[0, b] + on))) * inverse
    return total


@kernel
def _infer_node(state: TreePriorState, tree: TreeState, node: int, scratch: TreeScratch) -> None:
    """Find the best label set below a node and the sum over all of them, from what is known of its children."""
    pattern = state.nodes.pattern[node]
    patterns = int(state.nodes.pattern_count[node])
    odds_root = state.odds_root[node]
    scale = state.scale[node]
    count = int(tree.child_count[node])
    root = node == tree.size[TreeSize.ROOT]
    shift = 0.0
    place = -1
    for kind in (BEST, SUM):
        if kind == BEST or tree.height[node] > 1:
            values = scratch.label if tree.height[node] == 1 else scratch.node[kind]
            shift = _load_children(tree.children[node], count, values, scratch.factor, scratch.table)
            place = _weigh_patterns(pattern, state.pattern_root[node], patterns, scratch.table, scratch.weight)
        if kind == BEST:
            total, mask = _best_independent(scratch.factor, odds_root, count, root)
            total *= scale[INDEPENDENT]
            if place >= 0 and scale[POOLED] * scratch.weight[place] >= total:
                total = scale[POOLED] * scratch.weight[place]
                mask = pattern[place]
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
        scratch.node[kind, VALUE, node] = value
        scratch.node[kind, SMALL, node] = exp64(-abs(value))


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
    """Fill ``result``, the labels' probabilities and the best label set; return how many labels it has.

    Parameters
    ----------
    state, tree
        The tree and what its nodes know.
    scratch
        Room for at least ``labels`` label slots.
    logits
        float32[labels], logits of the labels' probabilities.
    prior_logits
        float32[labels], logits of the labels' rates, 0 for a label too rare to have one.
    labels
        Label slots of the tree.
    marginals
        float32[labels], filled: the probability of each label in the tree's posterior.
    best
        int32[labels], filled: the slots of the best label set, ascending.
    """
    power = np.float32(PRIOR_POWER)
    for label in range(labels):
        value = logits[label] - power * prior_logits[label]
        scratch.label[VALUE, label] = value
        scratch.label[SMALL, label] = exp32(-abs(value))
    root = int(tree.size[TreeSize.ROOT])
    top = int(tree.height[root])
    for height in range(1, top + 1):
        for node in range(tree.size[TreeSize.NODES]):
            if tree.height[node] == height:
                _infer_node(state, tree, node, scratch)
    scratch.reach[root] = 1.0
    scratch.taken[root] = 1
    for height in range(top - 1, 0, -1):
        for node in range(tree.size[TreeSize.NODES]):
            if tree.height[node] == height:
                above = tree.parent[node]
                place = tree.position[node]
                scratch.reach[node] = scratch.reach[above] * scratch.share[above, place]
                scratch.taken[node] = scratch.taken[above] & ((scratch.best_mask[above] >> place) & 1)
    count = 0
    for label in range(labels):
        above = tree.leaf_parent[label]
        place = tree.leaf_position[label]
        marginals[label] = scratch.reach[above] * scratch.share[above, place]
        if scratch.taken[above] and (scratch.best_mask[above] >> place) & 1:
            best[count] = label
            count += 1
    scratch.result[LOG_SUM] = scratch.node[SUM, VALUE, root]
    scratch.result[LOG_BEST] = scratch.node[BEST, VALUE, root]
    return count


@kernel
def tree_log_score(scratch: TreeScratch, log_prior: float, members: np.ndarray, count: int) -> float:
    """Return the score of the label set ``members[:count]``, the sum of ``log_prior`` and its labels' values."""
    total = log_prior
    for i in range(count):
        total += scratch.label[VALUE, members[i]]
    return total
