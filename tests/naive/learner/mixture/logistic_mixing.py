"""Logistic mixing with three shared weight sets, one own set and final weights, label by label in double precision."""

from __future__ import annotations

import math
from dataclasses import dataclass, field


def clip(value: float, bound: float) -> float:
    """Return the value clipped to [-bound, bound]."""
    return min(max(value, -bound), bound)


def probability(logit: float) -> float:
    """Return 1 / (1 + exp(-logit))."""
    return 1.0 / (1.0 + math.exp(-logit))


def context(positives: int, was_on: bool) -> int:
    """Return 2 min(7, floor(log2(1 + positives))) + was_on."""
    return 2 * min(7, math.floor(math.log2(1 + positives))) + was_on


@dataclass
class Weights:
    """One weight vector with AdaGrad's sums of squared gradients, which start at 10."""

    values: list[float]
    step: float
    squared: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.squared = self.squared or [10.0] * len(self.values)

    def sum(self, inputs: list[float]) -> float:
        """Return the weighted sum of the inputs."""
        return sum(w * x for w, x in zip(self.values, inputs, strict=True))

    def output(self, inputs: list[float]) -> float:
        """Return the weighted sum of the inputs, clipped to 10."""
        return clip(self.sum(inputs), 10.0)

    def descend(self, gradient: list[float]) -> None:
        """Take one step against a gradient."""
        for i, g in enumerate(gradient):
            self.squared[i] += g * g
            self.values[i] -= self.step * g / math.sqrt(self.squared[i])


class Mixer:
    """The four weight sets and the final weights; ``initial_weights`` has each expert's first weight."""

    def __init__(self, initial_weights: list[float], labels: int) -> None:
        self.first = [*initial_weights, 0.0]
        self.overall = self.initial()
        self.shared = [self.initial() for _ in range(16)]
        self.ranked = [self.initial() for _ in range(6)]
        self.own = [self.initial() for _ in range(labels)]
        self.final = [Weights([0.25] * 4, 0.01) for _ in range(16)]

    def initial(self) -> Weights:
        """Return the weights before the first row."""
        return Weights(list(self.first), 0.1)

    def join(self) -> None:
        """Add a label that starts with the shared weights of labels without positives."""
        self.own.append(Weights(list(self.shared[0].values), 0.1))

    def tied(self, logits: list[list[float]]) -> set[int]:
        """Return the labels whose sum is so close to another's that rounding decides which of them ranks first."""
        sums = [self.overall.sum([clip(z, 8.0) for z in own_logits] + [0.3]) for own_logits in logits]
        return {
            label
            for label, own in enumerate(sums)
            if any(abs(own - other) < 1e-4 for index, other in enumerate(sums) if index != label)
        }

    def sets(
        self, logits: list[list[float]], positives: list[int], previous: list[bool]
    ) -> list[tuple[list[float], list[Weights], Weights]]:
        """Return each label's inputs, the four weights applied to them, and the final weights."""
        inputs = [[clip(z, 8.0) for z in own_logits] + [0.3] for own_logits in logits]
        sums = [self.overall.sum(x) for x in inputs]
        found = []
        for label, x in enumerate(inputs):
            at = context(positives[label], previous[label])
            ranked = self.ranked[min(sum(other > sums[label] for other in sums), 5)]
            sets = [self.overall, self.shared[at], ranked, self.own[label]]
            found.append((x, sets, self.final[at]))
        return found

    def mix(self, logits: list[list[float]], positives: list[int], previous: list[bool]) -> list[float]:
        """Return the mixed logit of each label; ``logits`` has a list of the experts' logits for each label."""
        return [
            final.output([weights.output(inputs) for weights in sets])
            for inputs, sets, final in self.sets(logits, positives, previous)
        ]

    def learn(
        self,
        logits: list[list[float]],
        positives: list[int],
        previous: list[bool],
        truth: list[int | None],
    ) -> None:
        """Take one step of each weights, by the sum of the gradients of the known labels that use them."""
        slopes: dict[int, tuple[Weights, list[float]]] = {}

        def add(weights: Weights, error: float, inputs: list[float]) -> None:
            _, so_far = slopes.get(id(weights), (weights, [0.0] * len(inputs)))
            slopes[id(weights)] = weights, [g + error * x for g, x in zip(so_far, inputs, strict=True)]

        for y, (inputs, sets, final) in zip(truth, self.sets(logits, positives, previous), strict=True):
            if y is None:
                continue
            parts = [weights.output(inputs) for weights in sets]
            for weights, part in zip(sets, parts, strict=True):
                add(weights, probability(part) - y, inputs)
            add(final, probability(final.output(parts)) - y, parts)
        for weights, gradient in slopes.values():
            weights.descend(gradient)
