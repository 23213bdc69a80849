"""Plain twin of the ensemble learner: four experts and the mixer, from the plain twins of these parts."""

from __future__ import annotations

import math

from tests.naive.learner.experts import rates
from tests.naive.learner.experts.adagrad_linear import LogisticLabel
from tests.naive.learner.mixture.logistic_mixing import Mixer


class EnsembleLearner:
    """Learns one row at a time; a truth is 1, 0 or None (unknown) for each label known at the row."""

    def __init__(self, labels: int) -> None:
        self.adagrad = [LogisticLabel(1.0, 0.1) for _ in range(labels)]
        self.constant_step = [LogisticLabel(2.0, None) for _ in range(labels)]
        first = [0.05, 0.15, 0.05, 0.05]
        self.mixer = Mixer([1.1 * weight / sum(first) for weight in first], labels)
        self.truths: list[list[int | None]] = [[] for _ in range(labels)]
        self.starts = [(0.05, 0.05)] * labels
        self.positives = [0] * labels
        self.previous = [False] * labels
        self.rows = 0
        self.complete_rows = 0

    def join(self) -> None:
        """Add one label after the rows learnt so far."""
        slow = rates.rate([0] * self.complete_rows, 0.01)
        absent = max(slow, 1.0 / (self.rows + 2))
        bias = math.log(absent / (1.0 - absent))
        self.adagrad.append(LogisticLabel(1.0, 0.1, bias))
        self.constant_step.append(LogisticLabel(2.0, None, bias))
        self.mixer.join()
        self.truths.append([])
        self.starts.append((rates.late_rate(self.complete_rows, 0.2), rates.late_rate(self.complete_rows, 0.01)))
        self.positives.append(0)
        self.previous.append(False)

    def expert_logits(self, x: dict[int, float]) -> list[list[float]]:
        """Return the logits of AdaGrad, constant step, fast rate and slow rate for each label."""
        return [
            [
                self.adagrad[label].logit(x),
                self.constant_step[label].logit(x),
                rates.logit(rates.rate(truths, 0.2, self.starts[label][0])),
                rates.logit(rates.rate(truths, 0.01, self.starts[label][1])),
            ]
            for label, truths in enumerate(self.truths)
        ]

    def predict(self, x: dict[int, float]) -> list[float]:
        """Return the mixed logit of each label."""
        return self.mixer.mix(self.expert_logits(x), self.positives, self.previous)

    def tied(self, x: dict[int, float]) -> set[int]:
        """Return the labels whose rank among the others may depend on rounding."""
        return self.mixer.tied(self.expert_logits(x))

    def learn(self, x: dict[int, float], truth: list[int | None], complete: bool) -> None:
        """Learn one row in every part."""
        self.mixer.learn(self.expert_logits(x), self.positives, self.previous, truth)
        for label, y in enumerate(truth):
            self.adagrad[label].learn(x, y)
            self.constant_step[label].learn(x, y)
            self.truths[label].append(y)
            self.previous[label] = y == 1
            self.positives[label] += y == 1
        self.rows += 1
        if complete:
            self.complete_rows += 1

    def correct(self, x: dict[int, float], before: list[int | None], after: list[int | None], completes: bool) -> None:
        """Learn a later truth: linear experts and mixer the labels that changed, rates the labels that were unknown."""
        changed = [y if y != old else None for old, y in zip(before, after, strict=True)]
        self.mixer.learn(self.expert_logits(x), self.positives, self.previous, changed)
        for label, y in enumerate(changed):
            self.adagrad[label].learn(x, y)
            self.constant_step[label].learn(x, y)
            self.truths[label].append(y if before[label] is None else None)
            self.positives[label] += y == 1
        if completes:
            self.complete_rows += 1
