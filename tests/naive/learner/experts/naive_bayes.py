"""Naive Bayes and the strongest column from the complete history of learnt rows, term by term."""

from __future__ import annotations

import math


def logit(
    history: list[tuple[dict[int, float], set[int]]], x: dict[int, float], label: int, used_columns: int | None = None
) -> float:
    """Return sum of |x_j| ln[((c_jl + 3 q_j) / (t_l + 3)) / q_j], q_j = (c_j + .1) / (t + .1 D), clipped to 15.

    ``history`` holds the learnt rows' instances and known positives; ``used_columns`` is D, by default the number of
    columns in them.
    """
    if used_columns is None:
        used_columns = len({column for row, _ in history for column in row})
    if used_columns == 0:
        return 0.0
    total = sum(abs(value) for row, _ in history for value in row.values())
    total_label = sum(abs(value) for row, members in history if label in members for value in row.values())
    z = 0.0
    for column, value in x.items():
        count = sum(abs(row.get(column, 0.0)) for row, _ in history)
        count_label = sum(abs(row.get(column, 0.0)) for row, members in history if label in members)
        q = (count + 0.1) / (total + 0.1 * used_columns)
        z += abs(value) * math.log((count_label + 3.0 * q) / (total_label + 3.0) / q)
    return min(max(z, -15.0), 15.0)


def strongest(history: list[tuple[dict[int, float], set[int]]], x: dict[int, float], label: int, rate: float) -> float:
    """Return the logit of the largest (c_jl + .1 rate) / (c_j + .1) over the nonzero entries.

    The probability is at least the rate, and clipped to [1e-4, .999].
    """
    best = rate
    for column, value in x.items():
        if value == 0.0:
            continue
        count = sum(abs(row.get(column, 0.0)) for row, _ in history)
        count_label = sum(abs(row.get(column, 0.0)) for row, members in history if label in members)
        best = max(best, (count_label + 0.1 * rate) / (count + 0.1))
    p = min(max(best, 1e-4), 0.999)
    return math.log(p / (1.0 - p))
