"""Label rates from the complete history of a label's truths."""

from __future__ import annotations

import math


def rate(truths: list[int | None], step: float, start: float = 0.05) -> float:
    """Return the exponentially weighted rate after these truths (1, 0, None: unknown)."""
    known = [truth for truth in truths if truth is not None]
    n = len(known)
    seen = sum(step * (1.0 - step) ** (n - 1 - i) * truth for i, truth in enumerate(known))
    return start * (1.0 - step) ** n + seen


def late_rate(complete_rows: int, step: float) -> float:
    """Return the rate of a label that joins after ``complete_rows`` rows without it, at least .0005."""
    return max(rate([0] * complete_rows, step), 0.0005)


def logit(value: float) -> float:
    """Return the log odds of a rate clipped to [1e-4, 1 - 1e-4]."""
    clipped = min(max(value, 1e-4), 1.0 - 1e-4)
    return math.log(clipped / (1.0 - clipped))
