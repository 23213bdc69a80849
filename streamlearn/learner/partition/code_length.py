"""How well a tree of label clusters codes label sets, and the test that compares two trees by it.

Every node that has an active label below it codes which of its children are active: with probability 1 - e as one of
up to 128 patterns it has seen, by their counts, with the escape probability e as independent children. Nodes without an
active label cost nothing; the root always codes. Two trees start from nothing, are refilled from the same earlier rows
and then code the same later rows, each row before it is learnt from; the gain of one over the other is a sample of
log probabilities in nats, whose mean is judged by its standard error.

Source: prequential code length, A. P. Dawid, "Present position and potential developments: some personal views:
statistical theory: the prequential approach", Journal of the Royal Statistical Society A 147 (1984); escape by novelty,
J. G. Cleary and I. H. Witten, "Data compression using adaptive coding and partial string matching", IEEE Transactions
on Communications 32 (1984). We depart from both in letting everything decay by .9995 a visit of the node.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.learner.partition.cluster_tree import MAXIMUM_CHILDREN, NODES, ROOT, TreeState
from streamlearn.learner.partition.pair_counts import RENORMALISE_ABOVE
from streamlearn.numerics.exp_log import log64

MAXIMUM_PATTERNS = 128
"""Patterns that a node remembers; the one with the smallest count leaves first."""

VISIT_DECAY = 0.9995
"""What a node's counts are multiplied by at every visit."""

ESCAPE_HIGHEST = 0.999
RATE_LOWEST = 0.0005
RATE_HIGHEST = 0.9995


class NodeStates(NamedTuple):
    """What the nodes of one tree have seen; counts are in units of the node's increment.

    Attributes
    ----------
    pattern
        int32[nodes, MAXIMUM_PATTERNS], bit b set: child b is active.
    pattern_weight
        float64[nodes, MAXIMUM_PATTERNS].
    pattern_count
        int32[nodes], patterns in use.
    pattern_total, visits, novel
        float64[nodes]: sum of the pattern weights in use, weight of all visits, weight of visits with a new pattern.
    child_weight
        float64[nodes, MAXIMUM_CHILDREN], weight of the visits with this child active.
    increment
        float64[nodes], what a visit adds.
    mask
        int32[nodes], scratch: the active children of the row at hand, else 0.
    active
        int32[nodes], scratch: the active nodes of the row at hand, the root first.
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
    """Return the states of this many nodes that have seen nothing."""
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
    """Set the masks of the nodes above a label set (int32[k]) and list these nodes; return how many."""
    root = tree.size[ROOT]
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
    """Return the place of the node's current mask among its patterns, -1 if it is new."""
    mask = states.mask[node]
    patterns = states.pattern[node]
    found = np.int32(-1)
    # No pattern is there twice, and a loop without a way out looks at eight at a time.
    for k in range(states.pattern_count[node]):
        found = max(found, np.int32(k) if patterns[k] == mask else np.int32(-1))
    return np.int64(found)


@kernel
def child_rate(states: NodeStates, node: int | np.int64, child: int, children: int | np.int64) -> float:
    """Return the decayed share of the node's visits with this one of its children active, within its bounds."""
    increment = states.increment[node]
    count = states.child_weight[node, child] / increment
    rate = (count + 0.5 / np.float64(children)) / (states.visits[node] / increment + 1.0)
    return min(max(rate, RATE_LOWEST), RATE_HIGHEST)


@kernel
def node_escape(states: NodeStates, node: int | np.int64) -> float:
    """Return the probability that the node codes by independent children: 1 while it knows no pattern."""
    if states.pattern_count[node] == 0:
        return 1.0
    increment = states.increment[node]
    return min(ESCAPE_HIGHEST, (states.novel[node] / increment + 0.5) / (states.visits[node] / increment + 1.0))


@kernel
def node_probability(tree: TreeState, states: NodeStates, node: int | np.int64) -> float:
    """Return the probability of the node's current mask: pooled patterns and independent children, by the escape.

    A node that knows no pattern codes by independent children alone. Below the root the empty mask cannot occur, and
    the independent part is divided by the chance that it is not empty.
    """
    children = np.int64(tree.child_count[node])
    mask = states.mask[node]
    independent = 1.0
    empty = 1.0
    for b in range(children):
        rate = child_rate(states, node, b, children)
        independent *= rate if (mask >> b) & 1 else 1.0 - rate
        empty *= 1.0 - rate
    if node != tree.size[ROOT]:
        independent /= 1.0 - empty
    escape = node_escape(states, node)
    k = find_pattern(states, node)
    pooled = states.pattern_weight[node, k] / states.pattern_total[node] if k >= 0 else 0.0
    return (1.0 - escape) * pooled + escape * independent


@kernel
def log_probability_row(tree: TreeState, states: NodeStates, active: int) -> float:
    """Return the log probability in nats of the label set that ``activate_row`` has set."""
    total = 0.0
    for i in range(active):
        total += log64(node_probability(tree, states, np.int64(states.active[i])))
    return total


@kernel
def renormalise_node(states: NodeStates, node: int | np.int64) -> None:
    """Divide a node's weights and increment by the bound of the increment."""
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
    """Give the node's current mask a place, that of the smallest count if all are taken, and return it."""
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
    """Learn the node's current mask, clear it, and return the place of its pattern."""
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
    """Learn from the label set that ``activate_row`` has set, and clear the masks."""
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
    """Refill from the rows before ``split``, then code each later row and learn from it.

    Parameters
    ----------
    tree, states
        The tree and its fresh states.
    offsets
        int64[rows + 1]: row i is ``members[offsets[i]:offsets[i + 1]]``.
    members
        int32, distinct label slots of the tree in each row.
    split
        The first row that is coded.
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
    """Return mean and standard error of ``candidate - current`` (float64[n] each), 0 and infinity for fewer than 2."""
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
    """The candidate's mean ``gain`` over the current tree and its ``standard_error``, the current tree's mean
    ``code_length``, all in nats a row, and the ``rows`` that were coded.
    """

    gain: float
    standard_error: float
    code_length: float
    rows: int


def compare(
    current: TreeState, candidate: TreeState, offsets: np.ndarray, members: np.ndarray, split: int
) -> Comparison:
    """Code the rows from ``split`` on with both trees, refilled from the rows before.

    Parameters
    ----------
    current, candidate
        Trees over at least the labels in the rows.
    offsets, members
        The rows, as in ``code_rows``.
    split
        The first row that is coded.
    """
    n = len(offsets) - 1 - split
    coded = []
    for tree in (candidate, current):
        log_probability = np.zeros(n)
        code_rows(tree, fresh_states(int(tree.size[NODES])), offsets, members, split, log_probability)
        coded.append(log_probability)
    mean, standard_error = mean_gain(*coded)
    code_length, _ = mean_gain(np.zeros(n), coded[1])
    return Comparison(mean, standard_error, code_length, n)
