"""Plain twin of the clusters' losses by their definition."""

from __future__ import annotations

import math


def losses(logits: list[float], truth: list[int | None], cluster_of: list[int], clusters: int) -> list[float | None]:
    """Return the soft Jaccard distance between known truths and probabilities per cluster, None without known truths.

    The distance is sum |y - p| / max(1, sum max(y, p)).
    """
    found: list[float | None] = []
    for cluster in range(clusters):
        pairs = []
        for logit, y, of in zip(logits, truth, cluster_of, strict=True):
            if of == cluster and y is not None:
                pairs.append((y, 1.0 / (1.0 + math.exp(-logit))))
        distance = sum(abs(y - p) for y, p in pairs)
        found.append(distance / max(1.0, sum(max(y, p) for y, p in pairs)) if pairs else None)
    return found
