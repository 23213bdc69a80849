"""Plain twin of the Page-Hinkley test: the first alarm on a list of values, from all cumulative sums."""

from __future__ import annotations


def first_alarm(
    values: list[float], min_instances: int, delta: float, threshold: float, alpha: float, mode: str
) -> tuple[int, int] | None:
    """Return the index of the first alarm and the values since the extreme of the sum that raised it, or None."""
    up = down = 0.0
    ups: list[float] = []
    downs: list[float] = []
    mean = 0.0
    for i, value in enumerate(values):
        mean += (value - mean) / (i + 1)
        up = alpha * up + (value - mean) - delta
        down = alpha * down + (value - mean) + delta
        ups.append(up)
        downs.append(down)
        if i + 1 < min_instances:
            continue
        if mode != "down" and up - min(ups) > threshold:
            return i, i - ups.index(min(ups))
        highest = max(-1.0, *downs)
        if mode != "up" and highest - down > threshold:
            return i, i - downs.index(highest) if highest in downs else i + 1
    return None
