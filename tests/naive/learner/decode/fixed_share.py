"""Fixed share over two experts, one label at a time."""

from __future__ import annotations

SHARE = 0.01
LEAST = 1e-4


class FixedShare:
    """Weights of two experts for one label."""

    def __init__(self) -> None:
        self.weights = [0.5, 0.5]

    def mix(self, probabilities: list[float]) -> float:
        """Return the weighted mean of the experts' probabilities."""
        return sum(w * p for w, p in zip(self.weights, probabilities, strict=True))

    def learn(self, probabilities: list[float], truth: bool) -> None:
        """Weigh each expert by the likelihood of the truth, then share a part evenly."""
        bounded = [min(max(p, LEAST), 1.0 - LEAST) for p in probabilities]
        likely = [w * (p if truth else 1.0 - p) for w, p in zip(self.weights, bounded, strict=True)]
        self.weights = [(1.0 - SHARE) * w / sum(likely) + SHARE / 2.0 for w in likely]
