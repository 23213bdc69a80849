"""Logistic mixing with two shared weight sets, an own one and a final one, label by label in double precision."""

from __future__ import annotations

import math
from dataclasses import dataclass, field


def clip(value: float, bound: float) -> float:
    """Return the value within plus or minus the bound."""
    return min(max(value, -bound), bound)


def probability(logit: float) -> float:
    """Return 1 / (1 + exp(-logit))."""
    return 1.0 / (1.0 + math.exp(-logit))


def context(positives: int, was_on: bool) -> int:
    """Return 2 min(7, floor(log2(1 + positives))) + was_on."""
    return 2 * min(7, math.floor(math.log2(1 + positives))) + was_on


@dataclass
class Weights:
    """One weight vector with AdaGrad's sums of squared gradients, which start at 1."""

    values: list[float]
    step: float
    squared: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.squared = self.squared or [1.0] * len(self.values)

    def output(self, inputs: list[float]) -> float:
        """Return the weighted sum of the inputs, clipped to 10."""
        return clip(sum(w * x for w, x in zip(self.values, inputs, strict=True)), 10.0)

    def descend(self, gradient: list[float]) -> None:
        """Take one step against a gradient."""
        for i, g in enumerate(gradient):
            self.squared[i] += g * g
            self.values[i] -= self.step * g / math.sqrt(self.squared[i])


class Mixer:
    """The three weight sets; ``mix`` looks, ``learn`` steps from what it saw."""

    def __init__(self, experts: int, labels: int) -> None:
        self.experts = experts
        self.shared = [self.start() for _ in range(16)]
        self.similar = [self.start() for _ in range(11)]
        self.own = [self.start() for _ in range(labels)]
        self.final = [Weights([1 / 3, 1 / 3, 1 / 3], 0.02) for _ in range(16)]

    def start(self) -> Weights:
        """Return weights of 1.2 over the number of experts, and 0 for the constant."""
        return Weights([1.2 / self.experts] * self.experts + [0.0], 0.1)

    def join(self) -> None:
        """Let a label join with the shared weights of labels without positives."""
        self.own.append(Weights(list(self.shared[0].values), 0.1))

    def mix(
        self, logits: list[list[float]], positives: list[int], previous: list[bool], similarity: int = 0
    ) -> list[float]:
        """Return the mixed logit of each label; ``logits`` is a list of the experts' logits for each label."""
        mixed = []
        for label, own_logits in enumerate(logits):
            inputs = [clip(z, 8.0) for z in own_logits] + [0.3]
            at = context(positives[label], previous[label])
            sets = (self.shared[at], self.similar[similarity], self.own[label])
            parts = [weights.output(inputs) for weights in sets]
            mixed.append(self.final[at].output(parts))
        return mixed

    def learn(
        self,
        logits: list[list[float]],
        positives: list[int],
        previous: list[bool],
        truth: list[int | None],
        similarity: int = 0,
    ) -> None:
        """Step once: shared and final sets with the sum over the row's known labels, own sets each with its label."""
        shared: dict[int, list[float]] = {}
        final: dict[int, list[float]] = {}
        similar: list[float] | None = None
        mixed = self.mix(logits, positives, previous, similarity)
        for label, y in enumerate(truth):
            if y is None:
                continue
            inputs = [clip(z, 8.0) for z in logits[label]] + [0.3]
            at = context(positives[label], previous[label])
            sets = (self.shared[at], self.similar[similarity], self.own[label])
            parts = [weights.output(inputs) for weights in sets]
            errors = [probability(part) - y for part in parts]
            last = probability(mixed[label]) - y
            shared.setdefault(at, [0.0] * len(inputs))
            final.setdefault(at, [0.0, 0.0, 0.0])
            similar = [g + errors[1] * x for g, x in zip(similar or [0.0] * len(inputs), inputs, strict=True)]
            shared[at] = [g + errors[0] * x for g, x in zip(shared[at], inputs, strict=True)]
            final[at] = [g + last * part for g, part in zip(final[at], parts, strict=True)]
            self.own[label].descend([errors[2] * x for x in inputs])
        if similar is not None:
            self.similar[similarity].descend(similar)
        for at, gradient in shared.items():
            self.shared[at].descend(gradient)
        for at, gradient in final.items():
            self.final[at].descend(gradient)
