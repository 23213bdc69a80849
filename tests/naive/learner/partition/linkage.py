"""Plain twin of average linkage, at most 16 children per group: compares all pairs of groups at every step.

A group is (children, labels, similarity sums, frequency); a tree is a nested tuple whose innermost items are labels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

MOST = 16


class Group:
    """A group of items of one level: its first item, its children, its number of labels and its frequency."""

    def __init__(self, order: int, item: Any, labels: int, frequency: float) -> None:
        self.order = order
        self.children = {order: item}
        self.labels = labels
        self.frequency = frequency
        self.sums: dict[int, float] = {}


def merge(groups: list[Group], a: Group, b: Group) -> None:
    """Merge b into a; the summed similarities of the merged group are the sums of those of a and b."""
    a.children |= b.children
    a.labels += b.labels
    a.frequency += b.frequency
    groups.remove(b)
    for c in groups:
        if c is not a:
            a.sums[id(c)] += b.sums[id(c)]
            c.sums[id(a)] = a.sums[id(c)]


def link(groups: list[Group], most: int) -> None:
    """Merge the most similar pair of groups, the first on a tie, until no pair may merge."""
    while True:
        best, pair = 0.0, None
        for i, a in enumerate(groups):
            for b in groups[i + 1 :]:
                similarity = a.sums[id(b)] / (a.labels * b.labels)
                if len(a.children) + len(b.children) <= most and similarity > best:
                    best, pair = similarity, (a, b)
        if pair is None:
            return
        merge(groups, *pair)


def pack(groups: list[Group]) -> None:
    """Merge groups of at most 8 children, the most frequent first, into groups of at most 16."""
    small = sorted((g for g in groups if len(g.children) <= MOST // 2), key=lambda g: (-g.frequency, g.order))
    target: Group | None = None
    for g in small:
        if target is not None and len(target.children) + len(g.children) <= MOST:
            merge(groups, target, g)
        else:
            target = g


def tree(frequency: Sequence[float], similarity: Callable[[int, int], float]) -> Any:
    """Return the tree over the labels: nested tuples whose innermost items are labels."""
    n = len(frequency)
    groups = [Group(i, i, 1, frequency[i]) for i in range(n)]
    for a in groups:
        for b in groups:
            if a is not b:
                a.sums[id(b)] = similarity(a.order, b.order)
    if 4 <= n <= MOST:
        link(groups, n // 2)
        return tuple(items(groups))
    while len(groups) > MOST:
        link(groups, MOST)
        pack(groups)
        groups.sort(key=lambda g: min(g.children))
        for order, (g, item) in enumerate(zip(groups, items(groups), strict=True)):
            g.order = order
            g.children = {order: item}
    return tuple(g.children[g.order] for g in groups)


def items(groups: list[Group]) -> list[Any]:
    """Return the children of each group in their order; groups are ordered by their first child."""
    ordered = sorted(groups, key=lambda g: min(g.children))
    return [tuple(g.children[order] for order in sorted(g.children)) for g in ordered]
