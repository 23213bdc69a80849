"""Naive fixed share of two experts, for one label."""

from __future__ import annotations

SHARE = 0.01
LEAST_PROBABILITY = 1e-4


class FixedShare:
    """The weights of two experts for one label."""

    def __init__(self) -> None:
        self.weights = [0.5, 0.5]

    def mix(self, probabilities: list[float]) -> float:
        """Return the weighted mean of the experts' probabilities."""
        return sum(w * p for w, p in zip(self.weights, probabilities, strict=True))

    def learn(self, probabilities: list[float], truth: bool) -> None:
        """Multiply each weight by the likelihood of the truth and normalise, then share a part evenly."""
        clipped = [min(max(p, LEAST_PROBABILITY), 1.0 - LEAST_PROBABILITY) for p in probabilities]
        products = [w * (p if truth else 1.0 - p) for w, p in zip(self.weights, clipped, strict=True)]
        self.weights = [(1.0 - SHARE) * product / sum(products) + SHARE / 2.0 for product in products]
