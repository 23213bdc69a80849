"""How long label sets are when so many labels are expected: evidence for the learned pool decode.

The number of labels E that a row is expected to have, the sum of their probabilities, falls into bucket floor(8 ln(1 +
E)), at most 23. For each bucket b and length k the rows are counted, s_bk, decayed .9995 a row; of all rows the share
with length k is m_k / N. The evidence for length k is

    ln[((s_bk + 2 m_k / N) / (s_b + 2)) / (m_k / N)],

how much more often such rows have that length: independent labels would spread the lengths of sets far too widely.
"""

from __future__ import annotations

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.learner.decode.pooled_sets import LONGEST
from streamlearn.numerics.exp_log import log32, log64
from streamlearn.numerics.logistic import sigmoid32

BUCKETS = 24
BUCKETS_A_NAT = 8.0
COMMON_ROWS = 2.0
ALL_LENGTHS = LONGEST + 1
LENGTH_COUNTS = (BUCKETS + 1, LONGEST + 2)
"""Shape of the counts, float64: s_bk, in line ``BUCKETS`` m_k; in column ``ALL_LENGTHS`` s_b."""

_ZERO = np.float32(0.0)


@kernel
def expected_bucket(values: np.ndarray, labels: int, probabilities: np.ndarray) -> int | np.int64:
    """Return the bucket of a row with the logits ``values`` float32[labels]; ``probabilities`` float32[labels] is
    scratch."""
    for label in range(labels):
        probabilities[label] = sigmoid32(values[label])
    expected = 0.0
    for label in range(labels):
        expected += np.float64(probabilities[label])
    return min(np.int64(BUCKETS_A_NAT * log64(1.0 + expected)), BUCKETS - 1)


@kernel
def weigh_lengths(
    counts: np.ndarray, bucket: int | np.int64, longer: np.ndarray, rows: float, increment: float, out: np.ndarray
) -> None:
    """Write ln(1 + s_bk N / (2 m_k)) to ``out`` float32[LONGEST + 1] for each length k that a pooled set has.

    ``longer`` int64[LONGEST + 2] counts the pooled sets with at least so many members; ``rows`` is N. It and the counts
    are in units of the ``increment``.
    """
    for length in range(LONGEST + 1):
        if longer[length] == longer[length + 1]:
            continue
        out[length] = _ZERO
        if counts[bucket, length] > 0.0:
            share = counts[bucket, length] * rows / (COMMON_ROWS * counts[BUCKETS, length] * increment)
            out[length] = log32(np.float32(1.0 + share))


@kernel
def common_length_term(counts: np.ndarray, bucket: int | np.int64, increment: float) -> float:
    """Return ln(1 + s_b / 2), which the evidence for every length lacks in `weigh_lengths`."""
    return log64(1.0 + counts[bucket, ALL_LENGTHS] / (COMMON_ROWS * increment))


@kernel
def count_length(counts: np.ndarray, bucket: int | np.int64, length: int, increment: float) -> None:
    """Count a row whose label set has at most LONGEST members."""
    counts[bucket, length] += increment
    counts[bucket, ALL_LENGTHS] += increment
    counts[BUCKETS, length] += increment
