"""Naive expected utility: the F1 set by sorting, calibrations by decayed sums."""

from __future__ import annotations

DECAY = 0.999


def predicted_f1(marginals: list[float], members: set[int], empty: float) -> float:
    """Return the expected F1 of a label set under independent marginals; of the empty set, its probability."""
    if not members:
        return empty
    return 2.0 * sum(marginals[label] for label in members) / (len(members) + sum(marginals))


def f1_set(marginals: list[float], allowed: set[int], empty: float) -> set[int]:
    """Return the best prefix of the labels sorted by falling marginal, or the empty set if that is more probable."""
    order = sorted((label for label in allowed if marginals[label] > 0.0), key=lambda label: -marginals[label])
    prefixes = [set(order[:k]) for k in range(1, len(order) + 1)]
    best = max(prefixes, key=lambda members: predicted_f1(marginals, members, empty), default=set())
    return best if best and predicted_f1(marginals, best, empty) >= empty else set()


def actual(members: set[int], truth: set[int]) -> tuple[float, float]:
    """Return the F1 of a label set and whether it is the truth."""
    f1 = 1.0 if not members and not truth else 2.0 * len(members & truth) / (len(members) + len(truth))
    return f1, float(members == truth)


class Calibration:
    """Decayed sums of what was predicted of one candidate and what came true, for F1 and for exact match."""

    def __init__(self) -> None:
        self.predicted = [1.0, 1.0]
        self.actual = [1.0, 1.0]

    def utility(self, predicted: tuple[float, float], balance: float) -> float:
        """Return the calibrated expected utility."""
        rho = [(a + 1e-3) / (p + 1e-3) for a, p in zip(self.actual, self.predicted, strict=True)]
        return rho[0] * predicted[0] + balance * rho[1] * predicted[1]

    def learn(self, predicted: tuple[float, float], actual: tuple[float, float]) -> None:
        """Learn from one row."""
        self.predicted = [DECAY * old + new for old, new in zip(self.predicted, predicted, strict=True)]
        self.actual = [DECAY * old + new for old, new in zip(self.actual, actual, strict=True)]
