"""Naive posterior of the cluster tree: enumerates every label set, from counts that are decayed at each visit.

The score of a label set is  sum over its labels of w_l  +  sum over the active nodes of the log of
(1 - e) (c_k / sum c)^a  [as a remembered pattern]  +  e (product of Bernoulli probabilities / probability of not being
empty)^a  [as independent children].
"""

from __future__ import annotations

import itertools
import math

from tests.naive.learner.partition.code_length import Node

POWER = 0.5


def codings(node: Node, row: set[int]) -> tuple[float, float]:
    """Return the weights of the node's pattern as a remembered pattern and as independent children."""
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
    """Return the root and the nodes with a label of the row below them."""
    found = [node]
    for below, labels in zip(node.nodes, node.below, strict=True):
        if below is not None and labels & row:
            found += active_nodes(below, row)
    return found


def log_prior(root: Node, row: set[int]) -> float:
    """Return the log weight of a label set without its labels' values."""
    return sum(math.log(sum(codings(node, row))) for node in active_nodes(root, row))


def best_coding(root: Node, row: set[int], values: list[float]) -> float:
    """Return the score of a label set with the better coding of each node."""
    log_weight = sum(math.log(max(codings(node, row))) for node in active_nodes(root, row))
    return sum(values[label] for label in row) + log_weight


def posterior(root: Node, values: list[float]) -> tuple[float, dict[frozenset[int], float]]:
    """Return the log of the sum of exp(score) over all label sets, and the probability of each."""
    labels = range(len(values))
    scores = {
        frozenset(row): sum(values[label] for label in row) + log_prior(root, set(row))
        for size in range(len(values) + 1)
        for row in itertools.combinations(labels, size)
    }
    highest = max(scores.values())
    total = highest + math.log(sum(math.exp(score - highest) for score in scores.values()))
    return total, {row: math.exp(score - total) for row, score in scores.items()}
