"""The tree's posterior over label sets by writing down every label set, from counts that are really decayed.

The score of a label set is  sum over its labels of w_l  +  sum over the active nodes of the log of
(1 - e) (c_k / sum c)^a  [the remembered pattern]  +  e (Bernoulli probabilities / chance of not being empty)^a.
"""

from __future__ import annotations

import itertools
import math

from tests.naive.learner.partition.code_length import Node

POWER = 0.5


def ways(node: Node, row: set[int]) -> tuple[float, float]:
    """Return the weights of the node's pattern as a remembered one and as independent children."""
    on = node.pattern(row)
    rates = [min(max((count + 0.5 / len(on)) / (node.visits + 1.0), 0.0005), 0.9995) for count in node.child]
    independent = math.prod(rate if active else 1.0 - rate for rate, active in zip(rates, on, strict=True))
    if not node.root:
        independent /= 1.0 - math.prod(1.0 - rate for rate in rates)
    if not node.patterns:
        return 0.0, independent**POWER
    escape = min(0.999, (node.novel + 0.5) / (node.visits + 1.0))
    share = node.patterns.get(on, 0.0) / sum(node.patterns.values())
    return (1.0 - escape) * share**POWER, escape * independent**POWER


def active_nodes(node: Node, row: set[int]) -> list[Node]:
    """Return the nodes that have a label of the row below them; the root always."""
    found = [node]
    for below, labels in zip(node.nodes, node.below, strict=True):
        if below is not None and labels & row:
            found += active_nodes(below, row)
    return found


def log_prior(root: Node, row: set[int]) -> float:
    """Return the log weight of a label set without its labels' values."""
    return sum(math.log(sum(ways(node, row))) for node in active_nodes(root, row))


def best_way(root: Node, row: set[int], values: list[float]) -> float:
    """Return the score of a label set by the better way of each node."""
    return sum(values[label] for label in row) + sum(math.log(max(ways(node, row))) for node in active_nodes(root, row))


def posterior(root: Node, values: list[float]) -> tuple[float, dict[frozenset[int], float]]:
    """Return the log of the sum over all label sets, and each one's probability."""
    labels = range(len(values))
    scores = {
        frozenset(row): sum(values[label] for label in row) + log_prior(root, set(row))
        for size in range(len(values) + 1)
        for row in itertools.combinations(labels, size)
    }
    highest = max(scores.values())
    total = highest + math.log(sum(math.exp(score - highest) for score in scores.values()))
    return total, {row: math.exp(score - total) for row, score in scores.items()}
