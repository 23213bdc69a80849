"""Prequential code length of label sets under a cluster tree, and the test that compares two trees by it.

A child of a node is active if a label of the row lies below it. The root, and every node with an active child, codes
which of its children are active: with probability 1 - e as one of up to 128 remembered patterns, by their counts, and
with the escape probability e as independent children. Other nodes cost nothing. For a comparison both trees start
without counts, learn the same earlier rows and then code the same later rows, each row before they learn it. The gain
of one tree over the other is the mean difference of the rows' log probabilities, judged by its standard error.

Source: prequential code length, A. P. Dawid, "Present position and potential developments: some personal views:
statistical theory: the prequential approach", Journal of the Royal Statistical Society A 147 (1984); escape by novelty,
J. G. Cleary and I. H. Witten, "Data compression using adaptive coding and partial string matching", IEEE Transactions
on Communications 32 (1984). In contrast to both, all counts of a node decay by .9995 per visit of the node.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.learner.partition.cluster_tree import MAXIMUM_CHILDREN, TreeSize, TreeState
from streamlearn.learner.partition.pair_counts import RENORMALISE_ABOVE
from streamlearn.numerics.exp_log import log64

MAXIMUM_PATTERNS = 128
"""Most patterns that a node remembers; a new one replaces the one with the smallest count."""

VISIT_DECAY = 0.9995
"""Factor of a node's counts per visit."""

ESCAPE_HIGHEST = 0.999
RATE_LOWEST = 0.0005
RATE_HIGHEST = 0.9995


class NodeStates(NamedTuple):
    """Counts of the nodes of one tree, in units of the node's increment.

    Attributes
    ----------
    pattern
        int32[nodes, MAXIMUM_PATTERNS], bit b is set if child b is active.
    pattern_weight
        float64[nodes, MAXIMUM_PATTERNS], weight of the visits with this pattern.
    pattern_count
        int32[nodes], patterns in use.
    pattern_total
        float64[nodes], sum of the pattern weights in use.
    visits
        float64[nodes], weight of all visits.
    novel
        float64[nodes], weight of the visits with a new pattern.
    child_weight
        float64[nodes, MAXIMUM_CHILDREN], weight of the visits with this child active.
    increment
        float64[nodes], the weight of the last visit.
    mask
        int32[nodes], scratch: the active children in the current row, else 0.
    active
        int32[nodes], scratch: the nodes that code the current row, the root first.
    """

    pattern: np.ndarray
    pattern_weight: np.ndarray
    pattern_count: np.ndarray
    pattern_total: np.ndarray
    visits: np.ndarray
    novel: np.ndarray
    child_weight: np.ndarray
    increment: np.ndarray
    mask: np.ndarray
    active: np.ndarray


def fresh_states(nodes: int) -> NodeStates:
    """Return the states of this many nodes without counts."""
    return NodeStates(
        np.zeros((nodes, MAXIMUM_PATTERNS), np.int32),
        np.zeros((nodes, MAXIMUM_PATTERNS)),
        np.zeros(nodes, np.int32),
        np.zeros(nodes),
        np.zeros(nodes),
        np.zeros(nodes),
        np.zeros((nodes, MAXIMUM_CHILDREN)),
        np.ones(nodes),
        np.zeros(nodes, np.int32),
        np.zeros(nodes, np.int32),
    )


@kernel
def activate_row(tree: TreeState, states: NodeStates, members: np.ndarray) -> int:
    """Set the masks of the nodes above a label set int32[k], list the nodes in ``active`` and return their number."""
    root = tree.size[TreeSize.ROOT]
    states.active[0] = root
    count = 1
    for i in range(len(members)):
        node = tree.leaf_parent[members[i]]
        bit = np.int32(1) << tree.leaf_position[members[i]]
        while True:
            seen = node == root or states.mask[node] != 0
            states.mask[node] |= bit
            if seen:
                break
            states.active[count] = node
            count += 1
            bit = np.int32(1) << tree.position[node]
            node = tree.parent[node]
    return count


@kernel
def find_pattern(states: NodeStates, node: int | np.int64) -> int | np.int64:
    """Return the index of the node's current mask among its patterns, -1 if it is new."""
    mask = states.mask[node]
    patterns = states.pattern[node]
    found = np.int32(-1)
    # Patterns are distinct, and a loop without an early exit is vectorised.
    for k in range(states.pattern_count[node]):
        found = max(found, np.int32(k) if patterns[k] == mask else np.int32(-1))
    return np.int64(found)


@kernel
def child_rate(states: NodeStates, node: int | np.int64, child: int, children: int | np.int64) -> float:
    """Return the decayed share of the node's visits with this child active, clipped to its bounds."""
    increment = states.increment[node]
    count = states.child_weight[node, child] / increment
    rate = (count + 0.5 / np.float64(children)) / (states.visits[node] / increment + 1.0)
    return min(max(rate, RATE_LOWEST), RATE_HIGHEST)


@kernel
def node_escape(states: NodeStates, node: int | np.int64) -> float:
    """Return the escape probability e of the node, 1 while it has no pattern."""
    if states.pattern_count[node] == 0:
        return 1.0
    increment = states.increment[node]
    return min(ESCAPE_HIGHEST, (states.novel[node] / increment + 0.5) / (states.visits[node] / increment + 1.0))


@kernel
def node_probability(tree: TreeState, states: NodeStates, node: int | np.int64) -> float:
    """Return the probability of the node's current mask: patterns and independent children, mixed by the escape.

    Below the root the empty mask cannot occur, so there the independent part is divided by its probability of not
    being empty.
    """
    children = np.int64(tree.child_count[node])
    mask = states.mask[node]
    independent = 1.0
    empty = 1.0
    for b in range(children):
        rate = child_rate(states, node, b, children)
        independent *= rate if (mask >> b) & 1 else 1.0 - rate
        empty *= 1.0 - rate
    if node != tree.size[TreeSize.ROOT]:
        independent /= 1.0 - empty
    escape = node_escape(states, node)
    k = find_pattern(states, node)
    pooled = states.pattern_weight[node, k] / states.pattern_total[node] if k >= 0 else 0.0
    return (1.0 - escape) * pooled + escape * independent


@kernel
def log_probability_row(tree: TreeState, states: NodeStates, active: int) -> float:
    """Return the log probability in nats of the label set given to `activate_row`."""
    total = 0.0
    for i in range(active):
        total += log64(node_probability(tree, states, np.int64(states.active[i])))
    return total


@kernel
def renormalise_node(states: NodeStates, node: int | np.int64) -> None:
    """Divide a node's weights and its increment by RENORMALISE_ABOVE."""
    states.increment[node] /= RENORMALISE_ABOVE
    states.pattern_total[node] /= RENORMALISE_ABOVE
    states.visits[node] /= RENORMALISE_ABOVE
    states.novel[node] /= RENORMALISE_ABOVE
    for k in range(MAXIMUM_PATTERNS):
        states.pattern_weight[node, k] /= RENORMALISE_ABOVE
    for b in range(MAXIMUM_CHILDREN):
        states.child_weight[node, b] /= RENORMALISE_ABOVE


@kernel
def add_pattern(states: NodeStates, node: int | np.int64) -> int:
    """Store the node's current mask, if all slots are in use over the smallest count; return its index."""
    k = states.pattern_count[node]
    if k < MAXIMUM_PATTERNS:
        states.pattern_count[node] = k + 1
    else:
        k = 0
        for other in range(1, MAXIMUM_PATTERNS):
            if states.pattern_weight[node, other] < states.pattern_weight[node, k]:
                k = other
        states.pattern_total[node] -= states.pattern_weight[node, k]
    states.pattern[node, k] = states.mask[node]
    states.pattern_weight[node, k] = 0.0
    return k


@kernel
def update_node(tree: TreeState, states: NodeStates, node: int | np.int64) -> int | np.int64:
    """Count the node's current mask, clear it, and return the index of its pattern."""
    states.increment[node] /= VISIT_DECAY
    if states.increment[node] > RENORMALISE_ABOVE:
        renormalise_node(states, node)
    increment = states.increment[node]
    k = find_pattern(states, node)
    if k < 0:
        k = add_pattern(states, node)
        states.novel[node] += increment
    states.pattern_weight[node, k] += increment
    states.pattern_total[node] += increment
    states.visits[node] += increment
    mask = states.mask[node]
    child_weight = states.child_weight[node]
    for b in range(tree.child_count[node]):
        child_weight[b] += increment if (mask >> b) & 1 else 0.0
    states.mask[node] = 0
    return k


@kernel
def update_row(tree: TreeState, states: NodeStates, active: int) -> None:
    """Count the label set given to `activate_row`, and clear the masks."""
    for i in range(active):
        update_node(tree, states, np.int64(states.active[i]))


@kernel
def code_rows(
    tree: TreeState,
    states: NodeStates,
    offsets: np.ndarray,
    members: np.ndarray,
    split: int,
    log_probability: np.ndarray,
) -> None:
    """Learn the rows before ``split``, then code each later row and learn it.

    Parameters
    ----------
    tree, states
        The tree and its states without counts.
    offsets
        int64[rows + 1]: row i is ``members[offsets[i]:offsets[i + 1]]``.
    members
        int32, label slots in the tree, distinct within a row.
    split
        The first row to code.
    log_probability
        float64[rows - split], filled, in nats.
    """
    for i in range(len(offsets) - 1):
        active = activate_row(tree, states, members[offsets[i] : offsets[i + 1]])
        if i >= split:
            log_probability[i - split] = log_probability_row(tree, states, active)
        update_row(tree, states, active)


@kernel
def mean_gain(candidate: np.ndarray, current: np.ndarray) -> tuple[float, float]:
    """Return mean and standard error of ``candidate - current``, float64[n] each; 0 and infinity for n < 2."""
    n = len(candidate)
    if n < 2:
        return 0.0, np.inf
    mean = 0.0
    squares = 0.0
    for i in range(n):
        gain = candidate[i] - current[i]
        deviation = gain - mean
        mean += deviation / (i + 1.0)
        squares += deviation * (gain - mean)
    return mean, np.sqrt(squares / (n - 1.0) / n)


class Comparison(NamedTuple):
    """Code lengths of two trees on the same rows.

    Attributes
    ----------
    gain
        Mean gain of the candidate over the current tree, nats per row.
    standard_error
        Of the gain, nats per row.
    code_length
        Mean code length of the current tree, nats per row.
    rows
        Rows coded.
    """

    gain: float
    standard_error: float
    code_length: float
    rows: int


def compare(
    current: TreeState, candidate: TreeState, offsets: np.ndarray, members: np.ndarray, split: int
) -> Comparison:
    """Code the rows from ``split`` on with both trees, after both have learnt the rows before.

    Parameters
    ----------
    current, candidate
        Trees over at least the labels in the rows.
    offsets, members
        The rows, as in `code_rows`.
    split
        The first row to code.
    """
    n = len(offsets) - 1 - split
    coded = []
    for tree in (candidate, current):
        log_probability = np.zeros(n)
        code_rows(tree, fresh_states(int(tree.size[TreeSize.NODES])), offsets, members, split, log_probability)
        coded.append(log_probability)
    mean, standard_error = mean_gain(*coded)
    code_length, _ = mean_gain(np.zeros(n), coded[1])
    return Comparison(mean, standard_error, code_length, n)
