"""Naive learned pool: all counts are decayed after each row, and every feature is computed by its formula."""

from __future__ import annotations

import math
from collections.abc import Sequence

DECAY = 0.9995
RECENT_DECAY = 0.8
SETS = 1000
LONGEST = 64
LabelSet = frozenset[int]


class LearnedPool:
    """The pooled sets with their counts, and theta; ``learn`` follows ``score`` of the same row."""

    def __init__(self, labels: int, max_sets: int = SETS) -> None:
        self.max_sets = max_sets
        self.rows = 0.0
        self.novel = 0.0
        self.recent_rows = 0.0
        self.rows_since_refresh = 0
        self.sets: dict[LabelSet, float] = {}
        self.recent: dict[LabelSet, float] = {}
        self.labels: dict[int, float] = dict.fromkeys(range(labels), 0.0)
        self.positives: dict[int, int] = {}
        self.late: set[int] = set()
        self.prior_logits: dict[int, float] = {}
        self.lengths: dict[tuple[int, int], float] = {}
        self.bucket = 0
        self.theta = [1.0, 0.5, 0.05, 0.3, 0.2]
        self.squared = [1.0] * 5
        self.phi: dict[LabelSet, list[float]] = {}

    def expect(self, logits: Sequence[float]) -> None:
        """Set the bucket of the number of labels that a row is expected to have."""
        expected = math.fsum(1.0 / (1.0 + math.exp(-min(max(logit, -7.0), 7.0))) for logit in logits)
        self.bucket = min(math.floor(8.0 * math.log(1.0 + expected)), 23)

    def score(self, logits: Sequence[float], neighbours: Sequence[tuple[LabelSet, float]]) -> dict[LabelSet, float]:
        """Return theta . phi of every pooled set; ``neighbours`` are label sets with their weights."""
        total = sum(weight for _, weight in neighbours)
        votes: dict[LabelSet, float] = {}
        for members, weight in neighbours:
            if total > 0.0:
                votes[members] = votes.get(members, 0.0) + weight / (total / len(neighbours))
        k = sum(votes.values())
        self.expect(logits)
        self.phi = {}
        for members, count in self.sets.items():
            share = count / self.rows
            f = self.recent.get(members, 0.0)
            self.phi[members] = [
                sum(min(max(logits[label], -7.0), 7.0) for label in members),
                math.log(share) - sum(self.prior_logits.get(label, 0.0) for label in members),
                math.log((f + share) / (self.recent_rows + 1.0) / share),
                math.log((votes.get(members, 0.0) + share) / (k + 1.0) / share),
                self.length_evidence(len(members)),
            ]
        return {
            members: sum(t * x for t, x in zip(self.theta, features, strict=True))
            for members, features in self.phi.items()
        }

    def length_evidence(self, length: int) -> float:
        """Return the log of how much more often rows of the bucket have that length than rows in general."""
        of_all = sum(count for (_, k), count in self.lengths.items() if k == length) / self.rows
        of_bucket = sum(count for (b, _), count in self.lengths.items() if b == self.bucket)
        here = self.lengths.get((self.bucket, length), 0.0)
        return math.log((here + 2.0 * of_all) / (of_bucket + 2.0) / of_all)

    def posterior(self, scores: dict[LabelSet, float]) -> dict[LabelSet, float]:
        """Return the softmax of the scores."""
        largest = max(scores.values())
        weights = {members: math.exp(score - largest) for members, score in scores.items()}
        total = sum(weights.values())
        return {members: weight / total for members, weight in weights.items()}

    def log_sum(self, scores: dict[LabelSet, float]) -> float:
        """Return the logarithm of the sum of exp(score)."""
        largest = max(scores.values())
        return largest + math.log(sum(math.exp(score - largest) for score in scores.values()))

    def escape(self) -> float:
        """Return the probability that the next row's set is not in the pool."""
        return min(max((self.novel + 0.5) / (self.rows + 1.0), 1e-4), 0.999)

    def learn(self, row: set[int], scores: dict[LabelSet, float]) -> None:
        """Learn the complete row that was scored last."""
        key = frozenset(row)
        if key in self.sets:
            posterior = self.posterior(scores)
            for i in range(5):
                mean = sum(posterior[members] * features[i] for members, features in self.phi.items())
                slope = self.phi[key][i] - mean
                self.squared[i] += slope * slope
                self.theta[i] += 0.05 * slope / math.sqrt(self.squared[i])
        self.rows = self.rows * DECAY + 1.0
        self.novel = self.novel * DECAY + (key not in self.sets)
        self.recent_rows = self.recent_rows * RECENT_DECAY + 1.0
        self.lengths = {key: count * DECAY for key, count in self.lengths.items()}
        self.labels = {label: count * DECAY for label, count in self.labels.items()}
        self.sets = {members: count * DECAY for members, count in self.sets.items()}
        recent = {members: count * RECENT_DECAY for members, count in self.recent.items()}
        self.recent = {members: count for members, count in recent.items() if count >= 1e-6}
        for label in row:
            self.labels[label] = self.labels.get(label, 0.0) + 1.0
            self.positives[label] = self.positives.get(label, 0) + 1
        if len(key) <= LONGEST:
            if key not in self.sets and len(self.sets) == self.max_sets:
                rarest = min(self.sets, key=lambda members: self.sets[members])
                del self.sets[rarest]
                self.recent.pop(rarest, None)
            self.sets[key] = self.sets.get(key, 0.0) + 1.0
            cell = self.bucket, len(key)
            self.lengths[cell] = self.lengths.get(cell, 0.0) + 1.0
            self.recent[key] = self.recent.get(key, 0.0) + 1.0
        self.rows_since_refresh += 1
        if self.rows_since_refresh >= 1 + math.floor(self.rows / 64):
            self.rows_since_refresh = 0
            self.prior_logits = {label: self.prior_logit(label) for label in self.labels}

    def prior_logit(self, label: int) -> float:
        """Return the logit of a label's share of the rows; 0 for a label that joined late and has under 5 positives."""
        if label in self.late and self.positives.get(label, 0) < 5:
            return 0.0
        rate = min(max(self.labels[label] / self.rows, 0.0005), 0.999)
        return math.log(rate / (1.0 - rate))

    def join(self, label: int) -> None:
        """Add a label that joins late."""
        self.labels[label] = 0.0
        self.late.add(label)

    def retire(self, label: int) -> None:
        """Remove a label and the sets that contain it."""
        self.labels[label] = 0.0
        for table in (self.positives, self.prior_logits):
            table.pop(label, None)
        self.sets = {members: count for members, count in self.sets.items() if label not in members}
        self.recent = {members: count for members, count in self.recent.items() if label not in members}
