"""A label's Bernoulli tree whose leaves keep their rows, and count them again for each test."""

from __future__ import annotations

import math

Row = dict[int, int]


def surprise(positives: int, rows: int) -> float:
    """Return rows ln rows - positives ln positives - (rows - positives) ln (rows - positives)."""
    return sum(
        sign * (count * math.log(count) if count else 0.0)
        for sign, count in ((1, rows), (-1, positives), (-1, rows - positives))
    )


def statistic(left: list[int], right: list[int]) -> float:
    """Return G of a split from the truths on each side."""
    both = left + right
    children = surprise(sum(left), len(left)) + surprise(sum(right), len(right))
    return 2.0 * (surprise(sum(both), len(both)) - children)


def threshold(column_end: int) -> float:
    """Return the value that G must exceed if the columns below ``column_end`` are tested."""
    z = math.sqrt(2.0 * math.log(3.0 * max(column_end, 1)))
    return (1.0 - 2.0 / 9.0 + z * math.sqrt(2.0 / 9.0)) ** 3


class Node:
    """A node: its decayed counts, and either its children or the rows since it became a leaf."""

    def __init__(self, positives: float = 0.0, rows: float = 0.0) -> None:
        self.positives = positives
        self.rows = rows
        self.split: tuple[int, int] | None = None
        self.children: list[Node] = []
        self.watched: list[tuple[Row, int]] = []
        self.next = 5

    def best(self, column_end: int) -> tuple[int, int] | None:
        """Return the significant split with the largest G; ties go to the lowest column, then to the lowest edge."""
        found, best = None, threshold(column_end)
        for column in range(column_end):
            for edge in range(3):
                right = [y for x, y in self.watched if x.get(column, 0) > edge]
                left = [y for x, y in self.watched if x.get(column, 0) <= edge]
                if len(left) >= 2 and len(right) >= 2 and statistic(left, right) > best:
                    found, best = (column, edge), statistic(left, right)
        return found


class LabelTree:
    """One label's tree.

    ``before`` are the rows learnt before the label joined, ``complete`` is the number of complete ones among them.
    """

    def __init__(self, before: list[Row] | None = None, complete: int = 0, most: int = 8) -> None:
        self.root = Node(0.0, sum(0.999**age for age in range(complete)))
        self.root.watched = [(x, 0) for x in before or []]
        self.leaves = 1
        self.most = most
        self.worse = 0.0
        self.age = 0
        self.splits = 0
        self.resets = 0

    def path(self, x: Row) -> list[Node]:
        """Return the nodes that a row passes, root first."""
        nodes = [self.root]
        while nodes[-1].split is not None:
            column, edge = nodes[-1].split
            nodes.append(nodes[-1].children[x.get(column, 0) > edge])
        return nodes

    def probability(self, x: Row) -> float:
        """Return the smoothed probability along the row's path, clipped to [1e-4, 1 - 1e-4]."""
        p = 0.05
        for node in self.path(x):
            p = (node.positives + p) / (node.rows + 1.0)
        return min(max(p, 1e-4), 1.0 - 1e-4)

    def learn(self, x: Row, y: int | None, slow: float, column_end: int) -> bool:
        """Learn a row; ``slow`` is the slow rate's probability. Return whether the tree was reset."""
        if y is None:
            return False
        p = self.probability(x)
        self.worse = 0.995 * self.worse + math.log((slow if y else 1.0 - slow) / (p if y else 1.0 - p))
        for node in self.path(x):
            node.positives = 0.999 * node.positives + y
            node.rows = 0.999 * node.rows + 1.0
        if self.leaves < self.most:
            self._watch(self.path(x)[-1], x, y, column_end)
        if self.age >= 100 and self.worse > 5.0 and self.leaves > 1:
            self.root, self.leaves, self.worse, self.age = Node(), 1, 0.0, 0
            self.resets += 1
            return True
        self.age += 1
        return False

    def _watch(self, leaf: Node, x: Row, y: int, column_end: int) -> None:
        leaf.watched.append((x, y))
        positives = sum(y for _, y in leaf.watched)
        least = min(positives, len(leaf.watched) - positives)
        if len(leaf.watched) < 25 or least < leaf.next:
            return
        leaf.next = max(least + 5, math.ceil(6 * least / 5))
        leaf.split = leaf.best(column_end)
        if leaf.split is not None:
            column, edge = leaf.split
            for side in (False, True):
                truths = [y for x, y in leaf.watched if (x.get(column, 0) > edge) == side]
                leaf.children.append(Node(sum(truths), len(truths)))
            leaf.watched = []
            self.leaves += 1
            self.splits += 1
