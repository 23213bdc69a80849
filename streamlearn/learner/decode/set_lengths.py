"""Lengths of label sets, given how many labels a row is expected to have: a feature of the learned pool.

The expected number of labels E of a row, the sum of their probabilities, falls into bucket floor(8 ln(1 + E)), at most
23. s_bk is the decayed count (.9995 per row) of the rows in bucket b whose set has length k, s_b that of all rows in
bucket b, and m_k / N the share of all rows with length k. The evidence for length k is

    ln[((s_bk + 2 m_k / N) / (s_b + 2)) / (m_k / N)],

that is, how much more often rows of this bucket have length k than rows in general. Independent labels would give sets
of far too varied lengths.
"""

from __future__ import annotations

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.learner.decode.pooled_sets import LONGEST
from streamlearn.numerics.exp_log import log32, log64
from streamlearn.numerics.logistic import sigmoid32

LENGTH_BUCKETS = 24
BUCKETS_PER_NAT = 8.0
COMMON_ROWS = 2.0
"""Rows with the lengths of all rows that each bucket is smoothed with."""

ALL_BUCKETS = LENGTH_BUCKETS
"""Row of the counts with the sum over the buckets, m_k."""

ALL_LENGTHS = LONGEST + 1
"""Column of the counts with the sum over the lengths, s_b."""

LENGTH_COUNTS_SHAPE = (LENGTH_BUCKETS + 1, LONGEST + 2)
"""Shape of the counts, float64: s_bk and the two sums, in units of the increment."""

_ZERO = np.float32(0.0)


@kernel
def expected_bucket(values: np.ndarray, labels: int, probabilities: np.ndarray) -> int | np.int64:
    """Return the bucket of a row with the logits ``values`` float32[labels].

    ``probabilities`` float32[labels] is scratch.
    """
    for label in range(labels):
        probabilities[label] = sigmoid32(values[label])
    expected = 0.0
    for label in range(labels):
        expected += np.float64(probabilities[label])
    return min(np.int64(BUCKETS_PER_NAT * log64(1.0 + expected)), LENGTH_BUCKETS - 1)


@kernel
def score_lengths(
    counts: np.ndarray, bucket: int | np.int64, at_least: np.ndarray, rows: float, increment: float, out: np.ndarray
) -> None:
    """Write ln(1 + s_bk N / (2 m_k)) to ``out`` float32[LONGEST + 1] for each length k that a pooled set has.

    Parameters
    ----------
    counts
        float64[LENGTH_COUNTS_SHAPE].
    bucket
        b.
    at_least
        int64[LONGEST + 2], number of pooled sets with at least that many members.
    rows
        N, like the counts in units of the increment.
    increment
        What one row adds to a count.
    out
        float32[LONGEST + 1]; lengths that no pooled set has are untouched.
    """
    for length in range(LONGEST + 1):
        if at_least[length] == at_least[length + 1]:
            continue
        out[length] = _ZERO
        if counts[bucket, length] > 0.0:
            share = counts[bucket, length] * rows / (COMMON_ROWS * counts[ALL_BUCKETS, length] * increment)
            out[length] = log32(np.float32(1.0 + share))


@kernel
def common_length_term(counts: np.ndarray, bucket: int | np.int64, increment: float) -> float:
    """Return ln(1 + s_b / 2), the term common to all lengths that `score_lengths` leaves out."""
    return log64(1.0 + counts[bucket, ALL_LENGTHS] / (COMMON_ROWS * increment))


@kernel
def count_length(counts: np.ndarray, bucket: int | np.int64, length: int, increment: float) -> None:
    """Count a row in ``bucket`` whose label set has ``length`` members, at most LONGEST."""
    counts[bucket, length] += increment
    counts[bucket, ALL_LENGTHS] += increment
    counts[ALL_BUCKETS, length] += increment
