"""Divisive-agglomerative clustering from all label sets so far: clusters are lists of labels, recounted at each test.

Row i counts for 1 / decay ** i, powers by repeated division: which pair is furthest apart may depend on the last bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

DECAY = 0.9995
CHANCE = 0.05
TIE = 0.1


@dataclass
class Cluster:
    """A node of the tree of clusters; ``number`` is None once it is split."""

    number: int | None
    labels: list[int]
    parent: Cluster | None = None
    children: list[Cluster] = field(default_factory=list)
    diameter: float = 0.0
    bound: float = 0.0

    def leaves(self) -> list[Cluster]:
        return [self] if not self.children else [leaf for child in self.children for leaf in child.leaves()]


class DivisiveClustering:
    """All clusters; ``root`` has every label."""

    def __init__(self) -> None:
        self.root = Cluster(0, [])
        self.known = 0
        self.rows: list[list[int]] = []
        self.weights: list[float] = []
        self.last = 1.0
        self.counted: dict[frozenset[int], float] = {}

    def add_labels(self, known: int) -> None:
        """Add labels to the cluster with the most labels, the lowest number on a tie."""
        for label in range(self.known, known):
            largest = min(self.root.leaves(), key=lambda leaf: (-len(leaf.labels), leaf.number))
            current: Cluster | None = largest
            while current is not None:
                current.labels.append(label)
                current = current.parent
        self.known = known

    def clusters(self) -> dict[int, list[int]]:
        return {leaf.number: sorted(leaf.labels) for leaf in self.root.leaves() if leaf.number is not None}

    def test(self) -> list[tuple[str, int, int]]:
        """Test each cluster once, by number; return (kind, cluster, other)."""
        weights = []
        weight = 1.0
        for _ in self.rows:
            weight /= DECAY
            weights.append(weight)
        self.weights, self.last = weights, weight
        self.counted = {}
        events: list[tuple[str, int, int]] = []
        done: set[int] = set()
        for number in sorted(self.clusters()):
            leaf = next((leaf for leaf in self.root.leaves() if leaf.number == number), None)
            if leaf is None or number in done or len(leaf.labels) < 2:
                continue
            found = self.measure(sorted(leaf.labels))
            leaf.diameter, leaf.bound = found[0], found[4]
            parent = leaf.parent
            if parent is not None and leaf.diameter - parent.diameter > max(leaf.bound, parent.bound):
                events += self.merge(parent)
                done.add(parent.number or 0)
            elif self.should_split(len(leaf.labels), *found[:5]):
                other = self.split(leaf, *found[5])
                events.append(("split", number, other))
                done.add(other)
        return events

    def measure(self, labels: list[int]) -> tuple[float, float, float, float, float, tuple[int, int]]:
        """Return d1, d2, d0, the mean, e and the two labels at d1."""
        pairs = []
        for i, a in enumerate(labels):
            for b in labels[i + 1 :]:
                both = self.weight({a, b})
                either = self.weight({a}) + self.weight({b}) - both
                pairs.append((1.0 - (both / either if either > 0 else 0.0), either / self.last, a, b))
        first = min(range(len(pairs)), key=lambda i: (-pairs[i][0], -pairs[i][1], i))
        d1, n, a, b = pairs[first]
        second = max((pair[0] for i, pair in enumerate(pairs) if i != first), default=-1.0)
        mean = 0.0
        for pair in pairs:
            mean += pair[0]
        bound = math.sqrt(math.log(1 / CHANCE) / (2 * max(n, 1e-9)))
        return d1, second, min(pair[0] for pair in pairs), mean / len(pairs), bound, (a, b)

    def weight(self, labels: set[int]) -> float:
        """Return the weight of the rows with all these labels."""
        key = frozenset(labels)
        if key not in self.counted:
            total = 0.0
            for row, weight in zip(self.rows, self.weights, strict=True):
                if key.issubset(row):
                    total += weight
            self.counted[key] = total
        return self.counted[key]

    @staticmethod
    def should_split(size: int, d1: float, d2: float, d0: float, mean: float, bound: float) -> bool:
        if size < 3:
            return False
        return (d1 - d2 > bound or bound < TIE) and (d1 - d0) * abs((d1 - mean) - (mean - d0)) > bound

    def split(self, leaf: Cluster, a: int, b: int) -> int:
        """Split a cluster at its pivots; the part of the second pivot gets the lowest free number."""

        def similarity(label: int, pivot: int) -> float:
            both = self.weight({label, pivot})
            either = self.weight({label}) + self.weight({pivot}) - both
            return both / either if either > 0 else 0.0

        second = [x for x in leaf.labels if x == b or (x != a and similarity(x, b) > similarity(x, a))]
        taken = set(self.clusters())
        other = next(number for number in range(len(taken) + 1) if number not in taken)
        leaf.children = [
            Cluster(leaf.number, [x for x in leaf.labels if x not in second], leaf),
            Cluster(other, second, leaf),
        ]
        leaf.number = None
        return other

    @staticmethod
    def merge(above: Cluster) -> list[tuple[str, int, int]]:
        """Merge all clusters below a node under the lowest number below it."""
        numbers = sorted(leaf.number for leaf in above.leaves() if leaf.number is not None)
        above.children = []
        above.number = numbers[0]
        return [("merge", numbers[0], merged) for merged in numbers[1:]]
