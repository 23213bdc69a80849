"""The loss of a cluster of labels on a row, by its definition."""

from __future__ import annotations

import math


def losses(logits: list[float], truth: list[int | None], cluster_of: list[int], clusters: int) -> list[float | None]:
    """Return for each cluster 1 minus the product of the probabilities of its known truths, None if it has none."""
    found: list[float | None] = []
    for cluster in range(clusters):
        likelihoods = []
        for logit, y, of in zip(logits, truth, cluster_of, strict=True):
            if of == cluster and y is not None:
                p = 1.0 / (1.0 + math.exp(-logit))
                likelihoods.append(p if y else 1.0 - p)
        found.append(1.0 - math.prod(likelihoods) if likelihoods else None)
    return found
