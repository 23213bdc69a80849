"""Online logistic regressions per label, one label and one entry at a time, in double precision."""

from __future__ import annotations

import math


def probability(logit: float) -> float:
    """Return 1 / (1 + exp(-logit))."""
    return 1.0 / (1.0 + math.exp(-logit))


class LogisticLabel:
    """One label's regression: z = b + sum w_j x_j clipped to 15, g = (p - y) x, b from -2, w from 0.

    With ``start`` None a step is ``step * g``; else it is AdaGrad's, ``step * g / sqrt(G)``, where G is ``start`` plus
    the sum of the squared gradients including this one.
    """

    def __init__(self, step: float, start: float | None, bias: float = -2.0) -> None:
        self.step = step
        self.start = start
        self.bias = bias
        self.bias_squared = start or 0.0
        self.weight: dict[int, float] = {}
        self.squared: dict[int, float] = {}

    def logit(self, x: dict[int, float]) -> float:
        """Return the clipped logit of an instance."""
        z = self.bias + sum(value * self.weight.get(column, 0.0) for column, value in x.items())
        return min(max(z, -15.0), 15.0)

    def learn(self, x: dict[int, float], y: int | None) -> None:
        """Take a step towards the truth ``y``, 1 or 0; None is unknown and changes nothing."""
        if y is None:
            return
        error = probability(self.logit(x)) - y
        if self.start is None:
            self.bias -= self.step * error
            for column, value in x.items():
                self.weight[column] = self.weight.get(column, 0.0) - self.step * error * value
            return
        self.bias_squared += error**2
        self.bias -= self.step * error / math.sqrt(self.bias_squared)
        for column, value in x.items():
            gradient = error * value
            self.squared[column] = self.squared.get(column, self.start) + gradient**2
            step = self.step * gradient / math.sqrt(self.squared[column])
            self.weight[column] = self.weight.get(column, 0.0) - step
