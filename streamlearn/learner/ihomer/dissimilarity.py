"""Dissimilarities 1 - Jaccard of the label pairs of a cluster, and the test whether the cluster splits.

Source: P. P. Rodrigues, J. Gama and J. P. Pedroso, "Hierarchical clustering of time-series data streams", IEEE
Transactions on Knowledge and Data Engineering 20(5), 2008. The Jaccard similarity of two labels
is the mean of a Bernoulli variable over the rows where either holds, so the sample size of the Hoeffding bound is the
decayed number of these rows, and its range is 1.

d1 is the largest dissimilarity of a cluster, d2 the second-largest, d0 the smallest, m the mean, and
e = sqrt(ln(1 / DELTA) / 2n) with n of the pair at d1. Of the pairs that share d1 the one with the largest n counts:
most labels never occur together, and the pair with the most rows shows this with the least doubt.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.learner.partition.pair_counts import PairCountsState, Whole, jaccard
from streamlearn.numerics.exp_log import log64

DELTA = 0.05
"""Probability of error of the Hoeffding bound."""

TIE_THRESHOLD = 0.1
"""Bound below which the largest and the second-largest dissimilarity count as tied: from 150 rows on."""


class Dissimilarities(NamedTuple):
    """Statistics of a cluster's label pairs.

    Attributes
    ----------
    largest, second, smallest, mean
        d1, d2, d0 and m.
    rows
        n, the decayed number of rows with either label of the pair at d1.
    first_label, second_label
        The pair at d1.
    pairs
        Number of pairs.
    """

    largest: float
    second: float
    smallest: float
    mean: float
    rows: float
    first_label: Whole
    second_label: Whole
    pairs: Whole


@kernel
def dissimilarities(counts: PairCountsState, members: np.ndarray, size: Whole) -> Dissimilarities:
    """Compare all pairs of the first ``size`` labels of ``members`` int32, ascending."""
    increment = counts.increment[0]
    largest = -1.0
    second = -1.0
    smallest = 2.0
    total = 0.0
    rows = -1.0
    a = -1
    b = -1
    for i in range(size):
        first = np.int64(members[i])
        for j in range(i + 1, size):
            other = np.int64(members[j])
            d = 1.0 - jaccard(counts, first, other)
            n = (counts.label_weight[first] + counts.label_weight[other] - counts.pair_weight[first, other]) / increment
            if d > largest or (d == largest and n > rows):
                second = largest
                largest = d
                rows = n
                a = first
                b = other
            elif d > second:
                second = d
            smallest = min(smallest, d)
            total += d
    pairs = size * (size - 1) // 2
    return Dissimilarities(largest, second, smallest, total / np.float64(max(pairs, 1)), rows, a, b, pairs)


@kernel
def hoeffding_bound(rows: float) -> float:
    """Return e of a mean of ``rows`` values in [0, 1]."""
    return np.sqrt(-log64(DELTA) / (2.0 * max(rows, 1e-9)))


@kernel
def should_split(found: Dissimilarities, bound: float) -> bool:
    """Return whether the cluster splits."""
    if found.pairs < 2:
        return False
    apart = found.largest - found.second > bound or bound < TIE_THRESHOLD
    spread = (found.largest - found.smallest) * abs(found.largest + found.smallest - 2.0 * found.mean)
    return bool(apart and spread > bound)
