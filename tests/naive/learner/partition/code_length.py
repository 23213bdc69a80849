"""Plain twin of the code length: node by node, with counts that decay at every visit.

A tree is a nested tuple whose innermost items are labels. The probability of a node's pattern is
(1 - e) c_k / sum(c) [if the pattern is remembered] + e * (product of Bernoulli probabilities, below the root given that
the pattern is not empty). A node without patterns has the independent part alone.
"""

from __future__ import annotations

import math
from typing import Any

DECAY = 0.9995
PATTERNS = 128


def labels_of(tree: Any) -> set[int]:
    """Return the labels below a node or a label."""
    return {tree} if isinstance(tree, int) else set().union(*(labels_of(child) for child in tree), set())


class Node:
    """A node with its counts, and the nodes below it."""

    def __init__(self, tree: tuple[Any, ...], root: bool = True) -> None:
        self.root = root
        self.below = [labels_of(child) for child in tree]
        self.nodes = [None if isinstance(child, int) else Node(child, False) for child in tree]
        self.patterns: dict[tuple[bool, ...], float] = {}
        self.visits = 0.0
        self.novel = 0.0
        self.child = [0.0] * len(tree)

    def pattern(self, row: set[int]) -> tuple[bool, ...]:
        """Return which children are active."""
        return tuple(bool(below & row) for below in self.below)

    def log_probability(self, row: set[int]) -> float:
        """Return the log probability of this node's pattern and of all active nodes below."""
        on = self.pattern(row)
        if not self.root and not any(on):
            return 0.0
        rates = [min(max((count + 0.5 / len(on)) / (self.visits + 1.0), 0.0005), 0.9995) for count in self.child]
        q = math.prod(rate if active else 1.0 - rate for rate, active in zip(rates, on, strict=True))
        if not self.root:
            q /= 1.0 - math.prod(1.0 - rate for rate in rates)
        if self.patterns:
            escape = min(0.999, (self.novel + 0.5) / (self.visits + 1.0))
            pooled = self.patterns.get(on, 0.0) / sum(self.patterns.values())
            q = (1.0 - escape) * pooled + escape * q
        return math.log(q) + sum(node.log_probability(row) for node in self.nodes if node is not None)

    def update(self, row: set[int]) -> None:
        """Count a row, here and in all active nodes below."""
        on = self.pattern(row)
        if not self.root and not any(on):
            return
        self.visits = self.visits * DECAY + 1.0
        self.novel *= DECAY
        self.child = [count * DECAY + active for count, active in zip(self.child, on, strict=True)]
        self.patterns = {pattern: count * DECAY for pattern, count in self.patterns.items()}
        if on not in self.patterns:
            self.novel += 1.0
            if len(self.patterns) == PATTERNS:
                del self.patterns[min(self.patterns, key=lambda pattern: self.patterns[pattern])]
            self.patterns[on] = 0.0
        self.patterns[on] += 1.0
        for node in self.nodes:
            if node is not None:
                node.update(row)


def gains(current: Any, candidate: Any, rows: list[list[int]], split: int) -> list[float]:
    """Return the candidate's gain in log probability on each row from ``split`` on, after learning the rows before."""
    nodes = Node(current), Node(candidate)
    found = []
    for i, row in enumerate(rows):
        on = set(row)
        if i >= split:
            found.append(nodes[1].log_probability(on) - nodes[0].log_probability(on))
        for node in nodes:
            node.update(on)
    return found


def code_lengths(tree: Any, rows: list[list[int]], split: int) -> list[float]:
    """Return the code length in nats of each row from ``split`` on."""
    node = Node(tree)
    found = []
    for i, row in enumerate(rows):
        if i >= split:
            found.append(-node.log_probability(set(row)))
        node.update(set(row))
    return found
