"""Features and regressions of the label-history expert, from the complete history of truths."""

from __future__ import annotations

import math

from tests.naive.learner.experts.adagrad_linear import LogisticLabel


def average(truths: list[int | None]) -> float:
    """Return the average with step .3 after these truths (1, 0, None: unknown); an average below .0001 becomes 0."""
    value = 0.0
    for truth in truths:
        if truth is not None:
            value = value + 0.3 * (truth - value)
            if value < 1e-4:
                value = 0.0
    return value


def features(truths: list[list[int | None]]) -> dict[int, float]:
    """Return the features by column from each label's truths so far, scaled to unit norm."""
    previous = [label for label, history in enumerate(truths) if history and history[-1] == 1]
    averages = [(label, average(history)) for label, history in enumerate(truths)]
    x = {2 * label: 1.0 for label in previous[:38]}
    x |= {2 * label + 1: value for label, value in [pair for pair in averages if pair[1] > 0.05][:40]}
    norm = math.sqrt(sum(value**2 for value in x.values()))
    return {column: x[column] / norm for column in sorted(x)}


class LabelHistory:
    """One AdaGrad regression per label, step 1 and start .3, on these features."""

    def __init__(self, labels: int) -> None:
        self.regressions = [LogisticLabel(1.0, 0.3) for _ in range(labels)]
        self.truths: list[list[int | None]] = [[] for _ in range(labels)]

    def join(self, bias: float) -> None:
        """Add a label with that bias."""
        self.regressions.append(LogisticLabel(1.0, 0.3, bias))
        self.truths.append([])

    def features(self) -> dict[int, float]:
        """Return the features of the next row."""
        return features(self.truths)

    def logits(self, x: dict[int, float]) -> list[float]:
        """Return each label's logit from a row's features."""
        return [regression.logit(x) for regression in self.regressions]

    def learn(self, x: dict[int, float], truth: list[int | None]) -> None:
        """Learn a row with the features of its prediction."""
        for regression, history, y in zip(self.regressions, self.truths, truth, strict=True):
            regression.learn(x, y)
            history.append(y)
