"""Plain twin of the pair counts by their definition: a row that is t rows old has the weight decay ** t."""

from __future__ import annotations


def counts(rows: list[list[int]], labels: int, decay: float) -> tuple[list[float], list[list[float]]]:
    """Return the decayed count of each label, and of each pair with zeros on the diagonal."""
    single = [0.0] * labels
    pair = [[0.0] * labels for _ in range(labels)]
    for i, row in enumerate(rows):
        weight = decay ** (len(rows) - 1 - i)
        for a in row:
            single[a] += weight
            for b in row:
                if a != b:
                    pair[a][b] += weight
    return single, pair


def jaccard(rows: list[list[int]], a: int, b: int, decay: float) -> float:
    """Return the weight of the rows with a and b divided by that of the rows with a or b, 0 without such rows."""
    both = either = 0.0
    for i, row in enumerate(rows):
        weight = decay ** (len(rows) - 1 - i)
        both += weight if a in row and b in row else 0.0
        either += weight if a in row or b in row else 0.0
    return both / either if either else 0.0
