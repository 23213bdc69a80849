"""Plain twin of the partition: keeps all label sets; builds, tests and replaces trees.

Row i has the weight 1 / decay ** i. Its decayed weight after later rows differs by a factor that is equal for all rows,
which similarities do not depend on. Powers are computed by repeated division, because the last bit may decide which
groups merge first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from tests.naive.learner.partition import code_length, linkage

DECAY = 0.9995


def join(tree: Any, label: int) -> Any:
    """Return a tree of one or two levels with one more label, in the group with the fewest labels."""
    if not tree or isinstance(tree[0], int):
        return (*tree, label) if len(tree) < 16 else (tree, (label,))
    sizes = [len(group) for group in tree]
    index = sizes.index(min(sizes))
    if sizes[index] == 16:
        return (*tree, (label,))
    return (*tree[:index], (*tree[index], label), *tree[index + 1 :])


@dataclass
class Partition:
    """The current tree, the waiting candidate and all rows so far."""

    tree: Any = ()
    candidate: Any = None
    known: int = 0
    candidate_known: int = 0
    rows: list[list[int]] = field(default_factory=list)
    since: int = 0
    period: int = 100

    def know(self, known: int) -> None:
        """Add the labels below ``known`` to the current tree."""
        while self.known < known:
            self.tree = join(self.tree, self.known)
            self.known += 1

    def learn(self, row: list[int]) -> None:
        """Learn one complete label set."""
        self.know(max([self.known, *(label + 1 for label in row)]))
        self.rows.append(list(row))
        self.since += 1

    def test(self, forced: bool = False) -> tuple[float, float, int, bool] | None:
        """Return gain, standard error, rows and whether the candidate won, or None if there was no test."""
        if forced and self.since < 30:
            return None
        result = None
        if self.candidate is not None and self.since >= 30:
            while self.candidate_known < self.known:
                self.candidate = join(self.candidate, self.candidate_known)
                self.candidate_known += 1
            earlier = self.rows[: -self.since][-2000:]
            gains = code_length.gains(self.tree, self.candidate, earlier + self.rows[-self.since :], len(earlier))
            mean = sum(gains) / len(gains)
            error = math.sqrt(sum((gain - mean) ** 2 for gain in gains) / (len(gains) - 1) / len(gains))
            won = mean > 3.0 * error and mean * len(gains) > 1.0
            if won:
                self.tree = self.candidate
            result = mean, error, len(gains), won
        self.candidate = self.link()
        self.candidate_known = self.known
        self.since = 0
        self.period = 100 if len(self.rows) < 500 else 500
        return result

    def link(self) -> Any:
        """Return the tree that average linkage builds from all rows."""
        weight = 1.0
        single = [0.0] * self.known
        pair: dict[tuple[int, int], float] = {}
        for row in self.rows:
            weight /= DECAY
            for a in row:
                single[a] += weight
                for b in row:
                    pair[a, b] = pair.get((a, b), 0.0) + weight

        def jaccard(a: int, b: int) -> float:
            both = pair.get((a, b), 0.0)
            return both / (single[a] + single[b] - both) if both else 0.0

        return linkage.tree(single, jaccard)

    def clusters(self) -> list[int]:
        """Return the top-level cluster of each label."""
        if not self.tree or isinstance(self.tree[0], int):
            return [0] * self.known
        top = [code_length.labels_of(group) for group in self.tree]
        return [next(i for i, labels in enumerate(top) if label in labels) for label in range(self.known)]
