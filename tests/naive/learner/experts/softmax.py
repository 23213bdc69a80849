"""Softmax regression over the labels, one entry at a time, in double precision."""

from __future__ import annotations

import math

STEP, START, BIAS = 2.0, 0.3, -2.0


class Softmax:
    """Scores z_l = b_l + sum w_lj x_j clipped to 15, and 0 for "no label"; AdaGrad steps towards 1 / k for k labels."""

    def __init__(self, labels: int) -> None:
        self.bias = [BIAS] * labels
        self.bias_squared = [START] * labels
        self.weight: list[dict[int, float]] = [{} for _ in range(labels)]
        self.squared: list[dict[int, float]] = [{} for _ in range(labels)]

    def join(self, bias: float) -> None:
        """Add a label with that bias."""
        self.bias.append(bias)
        self.bias_squared.append(START)
        self.weight.append({})
        self.squared.append({})

    def probabilities(self, x: dict[int, float]) -> list[float]:
        """Return each label's probability, clipped to [1e-6, 1 - 1e-6]."""
        scores = []
        for bias, weight in zip(self.bias, self.weight, strict=True):
            z = bias + sum(value * weight.get(column, 0.0) for column, value in x.items())
            scores.append(math.exp(min(max(z, -15.0), 15.0)))
        total = 1.0 + sum(scores)
        return [min(max(score / total, 1e-6), 1.0 - 1e-6) for score in scores]

    def logits(self, x: dict[int, float]) -> list[float]:
        """Return the logits of the probabilities."""
        return [math.log(p / (1.0 - p)) for p in self.probabilities(x)]

    def learn(self, x: dict[int, float], members: set[int]) -> None:
        """Take one step for a row whose labels are all known."""
        for label, p in enumerate(self.probabilities(x)):
            error = p - (label in members) / max(len(members), 1)
            self.bias_squared[label] += error**2
            self.bias[label] -= STEP * error / math.sqrt(self.bias_squared[label])
            for column, value in x.items():
                slope = error * value
                squared = self.squared[label].get(column, START) + slope**2
                self.squared[label][column] = squared
                step = STEP * slope / math.sqrt(squared)
                self.weight[label][column] = self.weight[label].get(column, 0.0) - step
