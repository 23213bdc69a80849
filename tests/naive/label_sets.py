"""The pool of label sets with counts that are really decayed, and its decode by the whole formula."""

from __future__ import annotations

import math

DECAY = 0.9995
SETS = 1000
LONGEST = 64


class LabelSets:
    """The pooled sets with their decayed counts, the decayed label counts, and the decayed number of rows."""

    def __init__(self) -> None:
        self.rows = 0.0
        self.sets: dict[frozenset[int], float] = {}
        self.labels: dict[int, float] = {}

    def learn(self, row: set[int]) -> None:
        """Count one complete row."""
        self.rows = self.rows * DECAY + 1.0
        self.labels = {label: count * DECAY for label, count in self.labels.items()}
        self.sets = {members: count * DECAY for members, count in self.sets.items()}
        for label in row:
            self.labels[label] = self.labels.get(label, 0.0) + 1.0
        key = frozenset(row)
        if len(key) > LONGEST:
            return
        if key not in self.sets and len(self.sets) == SETS:
            del self.sets[min(self.sets, key=lambda members: self.sets[members])]
        self.sets[key] = self.sets.get(key, 0.0) + 1.0

    def retire(self, label: int) -> None:
        """Forget a label and the sets that hold it."""
        self.labels.pop(label, None)
        self.sets = {members: count for members, count in self.sets.items() if label not in members}

    def rate(self, label: int) -> float:
        """Return a label's share of the rows, clipped to [.0005, .999]."""
        return min(max(self.labels.get(label, 0.0) / self.rows, 0.0005), 0.999)

    def score(self, members: frozenset[int], logits: list[float]) -> float:
        """Return sum log p + sum log(1 - p) + .5 PMI of a pooled set."""
        total = 0.0
        information = math.log(self.sets[members] / self.rows)
        for label, logit in enumerate(logits):
            p = 1.0 / (1.0 + math.exp(-logit))
            rate = self.rate(label)
            total += math.log(p) if label in members else math.log(1.0 - p)
            information -= math.log(rate) if label in members else math.log(1.0 - rate)
        return total + 0.5 * information
