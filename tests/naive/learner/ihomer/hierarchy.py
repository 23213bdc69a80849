"""The trees of iHOMER one row at a time: leaves keep their rows, nothing is counted before it is needed.

float32 where the learner uses float32, in the same order of operations, so that predictions are exactly equal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from river.drift import ADWIN

BAGS = 10
STEP = np.float32(3.0)
NEIGHBOURS = 4
WINDOW = 170
LEAVES = 4
MASK = 2**64 - 1
ONE = np.float32(1.0)

Row = dict[int, tuple[float, int]]


def random_bits(seed: int, row: int, use: int) -> int:
    """Return SplitMix64's mix of a counter."""
    bits = ((seed + 1) * 0xBF58476D1CE4E5B9 + (row * 16 + use) * 0x9E3779B97F4A7C15) & MASK
    bits = ((bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    bits = ((bits ^ (bits >> 27)) * 0x94D049BB133111EB) & MASK
    return bits ^ (bits >> 31)


def poisson(seed: int, row: int, use: int) -> int:
    """Return a Poisson number of mean 1 by inversion of its distribution function."""
    uniform = (random_bits(seed, row, use) >> 32) / 2**32
    number, total = 0, 0.0
    while number < 8:
        total += math.exp(-1) / math.factorial(number)
        if uniform < round(total * 2**32) / 2**32:
            break
        number += 1
    return number


def sigmoid(z: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp -z) in float32: exp by a power of two and the Taylor polynomial of degree 7."""
    x = -z
    k = np.floor(x * np.float32(1 / math.log(2)) + np.float32(0.5))
    r = (x - k * np.float32("0.693359375")) - k * np.float32("-2.12194440e-4")
    value = np.full_like(x, 1 / math.factorial(7))
    for n in reversed(range(7)):
        value = value * r + np.float32(1 / math.factorial(n))
    return ONE / (ONE + np.ldexp(value, k.astype(np.int32)))


@dataclass
class LearntRow:
    """A complete row that was learnt."""

    number: int
    x: Row
    labels: frozenset[int]
    weight: int


@dataclass
class Node:
    """A leaf, or a branch on ``column``: bins above ``edge`` go right."""

    background: bool = False
    parent: Node | None = None
    column: int = -1
    edge: int = 0
    children: list[Node] = field(default_factory=list)
    alternate: Node | None = None
    detector: Any = None
    loss: float = 0.0
    loss_rows: float = 0.0
    rows: list[LearntRow] = field(default_factory=list)
    window: list[LearntRow] = field(default_factory=list)
    weights: dict[int, np.ndarray] = field(default_factory=dict)
    bias: Any = None
    tested: float = 0.0

    weight: float = 0.0
    on: dict[int, float] = field(default_factory=dict)

    def add_row(self, row: LearntRow) -> None:
        self.rows.append(row)
        self.window = [*self.window, row][-WINDOW:]
        self.weight += row.weight
        for label in row.labels:
            self.on[label] = self.on.get(label, 0.0) + row.weight

    def below(self) -> list[Node]:
        parts = [*self.children, *([self.alternate] if self.alternate else [])]
        return [self, *(node for part in parts for node in part.below())]


def entropy(positives: list[float], weight: float) -> float:
    """Return the sum of the labels' entropies in bits."""
    total = 0.0
    for on in positives:
        for p in (on / weight, 1 - on / weight):
            total -= p * math.log2(p) if 0 < p < 1 else 0.0
    return total


class Tree:
    """The tree of one cluster, whose labels are ``labels``."""

    def __init__(self, labels: list[int], seed: int, recent: list[LearntRow]) -> None:
        self.labels = labels
        self.seed = seed
        self.root = self.leaf()
        self.root.window = recent[-WINDOW:]
        self.events: list[str] = []

    def leaf(self, **kind: Any) -> Node:
        shape = (len(self.labels), BAGS)
        return Node(bias=np.zeros(shape, np.float32), **kind)

    def leaves_used(self) -> int:
        return sum(node.column < 0 for node in self.root.below())

    def reach(self, x: Row) -> list[Node]:
        """Return the leaf, then those of the alternate subtrees on its path."""
        others = []
        node = self.root
        while node.column >= 0:
            if node.alternate is not None:
                other = node.alternate
                while other.column >= 0:
                    other = other.children[x.get(other.column, (0, 0))[1] > other.edge]
                others.append(other)
            node = node.children[x.get(node.column, (0, 0))[1] > node.edge]
        return [node, *others]

    def regress(self, node: Node, x: Row) -> tuple[np.ndarray, np.ndarray]:
        z = node.bias.copy()
        for column in sorted(x):
            if column in node.weights:
                z += np.float32(x[column][0]) * node.weights[column]
        z = np.clip(z, np.float32(-15), np.float32(15))
        p = sigmoid(z)
        total = np.zeros(len(self.labels), np.float32)
        for bag in range(BAGS):
            total += p[:, bag]
        return z, total / np.float32(BAGS)

    def predict_leaf(self, node: Node, x: Row, kept: set[int]) -> tuple[list[int], list[np.float32]]:
        """Return what a leaf predicts and its probabilities."""
        weight = node.weight
        positives = [node.on.get(label, 0.0) for label in self.labels]
        if weight and all(on in (0.0, weight) for on in positives):
            chosen = [int(on > 0) for on in positives]
            return chosen, [np.float32(on) for on in chosen]
        voters = [row for row in node.window if row.number in kept]
        if voters and (weight < 750 or entropy(positives, weight) < 0.3):
            return self.vote(voters, x)
        probability = self.regress(node, x)[1]
        return [int(p > 0.5) for p in probability], list(probability)

    def vote(self, rows: list[LearntRow], x: Row) -> tuple[list[int], list[np.float32]]:
        def square(row: Row) -> np.float32:
            total = np.float32(0)
            for column in sorted(row):
                total += np.float32(row[column][0]) * np.float32(row[column][0])
            return total

        def distance(row: Row) -> np.float32:
            dot = np.float32(0)
            for column in sorted(row):
                if column in x:
                    dot += np.float32(x[column][0]) * np.float32(row[column][0])
            return np.sqrt(max(square(x) + square(row) - np.float32(2) * dot, np.float32(0)))

        near = sorted(((distance(row.x), -row.number, row) for row in rows), key=lambda found: found[:2])[:NEIGHBOURS]
        weights = [ONE / max(far, np.float32(1e-3)) for far, _, _ in near]
        sets = [row.labels & frozenset(self.labels) for _, _, row in near]
        totals = []
        for own in sets:
            votes = np.float32(0)
            for other, weight in zip(sets, weights, strict=True):
                if own == other:
                    votes += weight
            totals.append(votes)
        winner = sets[totals.index(max(totals))]
        everything = np.float32(0)
        shares = [np.float32(0)] * len(self.labels)
        for own, weight in zip(sets, weights, strict=True):
            everything += weight
            for i, label in enumerate(self.labels):
                if label in own:
                    shares[i] += weight
        return [int(label in winner) for label in self.labels], [share / everything for share in shares]

    def add_label(self, label: int, learned: int) -> None:
        """Add a label to all leaves; the rows so far count as rows without it."""
        self.labels.append(label)
        for node in self.root.below():
            node.bias = np.vstack([node.bias, np.full((1, BAGS), -math.log(learned + 1), np.float32)])
            for column, weights in node.weights.items():
                node.weights[column] = np.vstack([weights, np.zeros((1, BAGS), np.float32)])

    def predict(self, x: Row, kept: set[int]) -> tuple[list[int], list[np.float32]]:
        """Return the predicted label set and the probability of each label."""
        total = np.float32(0)
        votes = [np.float32(0)] * len(self.labels)
        mean = [np.float32(0)] * len(self.labels)
        self.reached = [(node, *self.predict_leaf(node, x, kept)) for node in self.reach(x)]
        for path, (node, chosen, probability) in enumerate(self.reached):
            if path and node.weight <= 200:
                continue
            loss = max(node.loss / max(node.loss_rows, 1.0), 1e-3)
            weight = np.float32(1.0 / (loss * loss))
            total += weight
            for i in range(len(self.labels)):
                votes[i] += weight * np.float32(chosen[i])
                mean[i] += weight * probability[i]
        first = self.reached[0][1]
        shares = [vote / total for vote in votes]
        decided = [int(share > 0.5 or (share == 0.5 and first[i])) for i, share in enumerate(shares)]
        return decided, [min(max(p / total, np.float32(1e-4)), np.float32(1 - 1e-4)) for p in mean]

    def learn_regressions(self, x: Row, truth: list[int], row: int) -> None:
        draws = np.array([poisson(self.seed, row, bag) for bag in range(BAGS)], np.float32)
        known = [i for i, label in enumerate(self.labels) if truth[label] >= 0]
        y = np.array([truth[label] for label in self.labels], np.float32)[:, None]
        for node in self.reach(x):
            z = self.regress(node, x)[0]
            slope = STEP * draws * (sigmoid(z) - y)
            node.bias[known] -= slope[known]
            for column, (value, _) in x.items():
                weights = node.weights.setdefault(column, np.zeros_like(node.bias))
                weights[known] -= np.float32(value) * slope[known]

    def learn(self, row: LearntRow, kept: set[int]) -> None:
        for node, _, _ in self.reached:
            node.add_row(row)
        for node, chosen, _ in self.reached:
            wrong = sum(chosen[i] != (label in row.labels) for i, label in enumerate(self.labels))
            self.add_loss(node, wrong / len(self.labels), row.weight)
        main = self.reached[0][0]
        for node, _, _ in self.reached:
            if node.weight - node.tested >= 200:
                self.test(node, kept)
        self.compare(main)

    def add_loss(self, node: Node, loss: float, weight: int) -> None:
        current: Node | None = node
        while current is not None and current.background == node.background:
            current.loss += weight * loss
            current.loss_rows += weight
            if current.column >= 0 and not current.background:
                mean = (current.detector.total + loss) / (current.detector.width + 1)
                current.detector.update(loss)
                if current.detector.drift_detected:
                    if current.detector.estimation < mean:
                        current.loss = current.loss_rows = 0.0
                    elif current.alternate is None and self.leaves_used() < LEAVES:
                        current.alternate = self.leaf(background=True, parent=current)
                        current.loss = current.loss_rows = 0.0
                        self.events.append("alternate")
            current = current.parent

    def compare(self, node: Node) -> None:
        current: Node | None = node
        while current is not None:
            above, other = current.parent, current.alternate
            if other is not None and min(current.loss_rows, other.loss_rows) > 200:
                old, new = current.loss / current.loss_rows, other.loss / other.loss_rows
                spread = 2 * old * (1 - old) * math.log(2 / 0.05)
                bound = math.sqrt(spread * (1 / current.loss_rows + 1 / other.loss_rows))
                if old - new > bound:
                    self.events.append("switch")
                    for part in other.below():
                        part.background = False
                    other.parent = above
                    if above is None:
                        self.root = other
                    else:
                        above.children[above.children.index(current)] = other
                elif new - old > bound:
                    self.events.append("prune")
                    current.alternate = None
            current = above

    def test(self, node: Node, kept: set[int]) -> None:
        weight = node.weight
        node.tested = weight
        positives = [node.on.get(label, 0.0) for label in self.labels]
        if all(on in (0.0, weight) for on in positives) or self.leaves_used() >= LEAVES:
            return
        parent = entropy(positives, weight)
        found: list[tuple[float, int, int]] = []
        for column in sorted({column for row in node.rows for column in row.x}):
            gains = []
            for edge in (2, 1, 0):
                sides = [[], []]
                for row in node.rows:
                    sides[row.x.get(column, (0, 0))[1] > edge].append(row)
                masses = [float(sum(row.weight for row in side)) for side in sides]
                if min(masses) < max(0.01 * weight, 1.0):
                    continue
                after = 0.0
                for side, mass in zip(sides, masses, strict=True):
                    on = [float(sum(row.weight for row in side if label in row.labels)) for label in self.labels]
                    after += mass * entropy(on, mass)
                gains.append((parent - after / weight, edge))
            best = max(gains, default=(0.0, 0), key=lambda gain: (round(gain[0], 12), gain[1]))
            found.append((max(best[0], 0.0), column, best[1]))
        found.sort(key=lambda gain: (-round(gain[0], 12), gain[1]))
        if not found or round(found[0][0], 12) <= 0:
            return
        second = found[1][0] if len(found) > 1 else 0.0
        sets = {row.labels & frozenset(self.labels) for row in node.window if row.number in kept}
        bound = math.log2(max(len(sets), 2)) * math.sqrt(-math.log(1.6587784772850855e-7) / (2 * weight))
        if found[0][0] - second > bound or bound < 0.05:
            node.column, node.edge = found[0][1], found[0][2]
            self.events.append(f"split {node.column} {node.edge}")
            node.detector = ADWIN()
            node.children = [self.leaf(background=node.background, parent=node) for _ in range(2)]
            for row in node.window:
                if row.number in kept:
                    node.children[row.x.get(node.column, (0, 0))[1] > node.edge].window.append(row)


class Hierarchy:
    """The trees of clusters that the caller chooses; the last ``kept`` rows are those that the learner keeps."""

    def __init__(self, seed: int, kept: int = 1024) -> None:
        self.seed = seed
        self.keep = kept
        self.trees: dict[int, Tree] = {}
        self.detectors: dict[int, Any] = {}
        self.alarmed: set[int] = set()
        self.rows: list[LearntRow] = []
        self.learned = 0

    def begin(self, cluster: int, labels: list[int]) -> None:
        self.trees[cluster] = Tree(labels, self.seed, self.rows[-self.keep :])
        self.detectors[cluster] = ADWIN()

    def predict(self, x: Row, labels: int) -> tuple[list[int], list[float]]:
        chosen, probability = [0] * labels, [0.0] * labels
        kept = {row.number for row in self.rows[-self.keep :]}
        for tree in self.trees.values():
            for label, on, p in zip(tree.labels, *tree.predict(x, kept), strict=True):
                chosen[label], probability[label] = on, float(p)
        self.chosen = chosen
        return chosen, probability

    def learn(self, x: Row, truth: list[int]) -> None:
        for tree in self.trees.values():
            tree.learn_regressions(x, truth, self.learned)
        if min(truth, default=0) < 0:
            return
        weight = max(1, poisson(self.seed, self.learned, BAGS))
        self.learned += 1
        row = LearntRow(len(self.rows), x, frozenset(label for label, on in enumerate(truth) if on), weight)
        self.rows.append(row)
        kept = {row.number for row in self.rows[-self.keep :]}
        for cluster, tree in self.trees.items():
            tree.learn(row, kept)
            wrong = float(any(self.chosen[label] != truth[label] for label in tree.labels))
            detector = self.detectors[cluster]
            mean = (detector.total + wrong) / (detector.width + 1)
            detector.update(wrong)
            if detector.drift_detected and detector.estimation > mean:
                self.alarmed.add(cluster)
