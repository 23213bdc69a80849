"""Naive Bayes without a prior: how much more often the instance's columns occur in a label's rows than in all rows.

The same sums give a second logit, which does not add up evidence: that of the strongest column alone.

The logit is z_l = sum over j of |u_j| ln[((c_jl + 3 q_j) / (t_l + 3)) / q_j] with q_j = (c_j + .1) / (t + .1 D): c_j
and t are sums of |u| over all learnt rows, c_jl and t_l over the rows with the label, D is the number of columns
that learnt rows have used. It is computed as sum of |u_j| ln(1 + c_jl / (3 q_j)) - (sum of |u_j|) ln(1 + t_l / 3): the
same, with a logarithm of 1 for every label and column that never occurred together.

Source: McCallum and Nigam, *A Comparison of Event Models for Naive Bayes Text Classification* (AAAI-98 workshop), the
multinomial model with real-valued counts; each label's distribution is smoothed by the overall one, and the label's
prior is left to the mixture.

The strongest column gives p_l = max over j of (c_jl + .1 r_l) / (c_j + .1), at least r_l, the label's slow rate, and
clipped to [1e-4, .999]: the share of the column's weight that is in rows with the label. Columns that occur together do
not count twice. It is our own, and related to the best single rule of Holte, *Very Simple Classification Rules Perform
Well on Most Commonly Used Datasets* (Machine Learning 11, 1993).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.learner.experts.linear_logits import LANES
from streamlearn.numerics.exp_log import log32
from streamlearn.state.array_loading import load_label_columns, load_labels, load_whole
from streamlearn.state.growth import grow
from streamlearn.state.lazy_arrays import get_lazy

LABEL_SMOOTHING = 3.0
COLUMN_SMOOTHING = 0.1
CLIP = np.float32(15.0)
_ZERO = np.float32(0.0)
_ONE = np.float32(1.0)
_THIRD = 1.0 / LABEL_SMOOTHING
RATE_SMOOTHING = 0.1
LEAST_SHARE = np.float32(1e-4)
LARGEST_SHARE = np.float32(0.999)


class NaiveBayesState(NamedTuple):
    """Sums of |u|, float64.

    Attributes
    ----------
    pairs
        [columns, labels], labels contiguous: over the rows with the label.
    columns
        [columns]: over all rows.
    labels
        [labels]: over the rows with the label and all columns.
    total
        [1]: over all rows and columns.
    """

    pairs: np.ndarray
    columns: np.ndarray
    labels: np.ndarray
    total: np.ndarray


@kernel
def naive_bayes_predict_row(
    state: NaiveBayesState,
    columns: np.ndarray,
    values: np.ndarray,
    used_columns: int,
    labels: int,
    slow: np.ndarray,
    ratio: np.ndarray,
    out: np.ndarray,
    out_strongest: np.ndarray,
) -> None:
    """Write the logits, clipped to [-15, 15], to ``out``, and those of the strongest column to ``out_strongest``.

    A label that was never true, or only in empty rows, has logit 0 in ``out``.

    Parameters
    ----------
    columns, values
        int32 and float32, one instance's entries.
    used_columns
        Number of columns that learnt rows have used.
    slow
        float64[labels], the labels' slow rates.
    ratio
        float32, scratch as large as ``out``.
    out, out_strongest
        float32[labels]. If ``out`` is longer, its elements up to the next multiple of LANES are written too.
    """
    padded = min((labels + LANES - 1) // LANES * LANES, out.size)
    for label in range(padded):
        out[label] = _ZERO
    for label in range(labels):
        out_strongest[label] = np.float32(slow[label])
    everything = state.total[0] + COLUMN_SMOOTHING * used_columns
    length = _ZERO
    for entry in range(columns.size):
        column = np.int64(columns[entry])
        weight = abs(values[entry])
        length += weight
        scale = _THIRD * (everything / (state.columns[column] + COLUMN_SMOOTHING))
        # A separate loop: together with float64 the logarithms would use half as many lanes.
        for label in range(padded):
            ratio[label] = _ONE + np.float32(scale * state.pairs[column, label])
        for label in range(padded):
            out[label] += weight * log32(ratio[label])
        if weight > _ZERO:
            inverse = 1.0 / (state.columns[column] + RATE_SMOOTHING)
            for label in range(labels):
                share = np.float32(inverse * (state.pairs[column, label] + RATE_SMOOTHING * slow[label]))
                out_strongest[label] = max(out_strongest[label], share)
    for label in range(labels):
        logit = out[label] - length * log32(_ONE + np.float32(_THIRD * state.labels[label]))
        out[label] = min(max(logit, -CLIP), CLIP)
    for label in range(labels):
        share = min(max(out_strongest[label], LEAST_SHARE), LARGEST_SHARE)
        out_strongest[label] = share / (_ONE - share)
    for label in range(labels):
        out_strongest[label] = log32(out_strongest[label])


@kernel
def naive_bayes_learn_row(state: NaiveBayesState, columns: np.ndarray, values: np.ndarray, members: np.ndarray) -> None:
    """Add one row to the sums; ``members`` int32 are its known positives."""
    length = 0.0
    for entry in range(columns.size):
        column = np.int64(columns[entry])
        weight = np.float64(abs(values[entry]))
        length += weight
        state.columns[column] += weight
        for index in range(members.size):
            state.pairs[column, members[index]] += weight
    state.total[0] += length
    for index in range(members.size):
        state.labels[members[index]] += length


@kernel
def naive_bayes_add_labels(
    state: NaiveBayesState, columns: np.ndarray, values: np.ndarray, members: np.ndarray
) -> None:
    """Add labels that become known later to a row of the sums; ``members`` int32 are the new positives."""
    length = 0.0
    for entry in range(columns.size):
        column = np.int64(columns[entry])
        weight = np.float64(abs(values[entry]))
        length += weight
        for index in range(members.size):
            state.pairs[column, members[index]] += weight
    for index in range(members.size):
        state.labels[members[index]] += length


class NaiveBayes:
    """Owns the sums of the naive Bayes expert. A label that joins needs no start: its sums are zero, its logit is 0."""

    def __init__(self) -> None:
        self.state = NaiveBayesState(np.zeros((0, 0)), np.zeros(0), np.zeros(0), np.zeros(1))

    def grow(self, features: int, labels: int) -> None:
        """Make room for ``features`` columns and ``labels`` labels."""
        pairs, columns, label_sums, total = self.state
        self.state = NaiveBayesState(
            grow(grow(pairs, labels, axis=1), features), grow(columns, features), grow(label_sums, labels), total
        )

    def retire(self, label: int) -> None:
        """Reset a label slot: the label's sums go back to zero; sums over all rows stay."""
        self.state.pairs[:, label] = 0
        self.state.labels[label] = 0

    def arrays(self, features: int, labels: int) -> dict[str, np.ndarray]:
        """Return the sums of the columns and labels in use."""
        return {
            "pairs": self.state.pairs[:features, :labels],
            "columns": self.state.columns[:features],
            "labels": self.state.labels[:labels],
            "total": self.state.total,
        }

    def load_arrays(self, arrays: Mapping[str, np.ndarray], features: int, labels: int) -> None:
        """Load the sums; raises `SnapshotError` when a shape differs."""
        self.grow(features, labels)
        load_label_columns(self.state.pairs, get_lazy(arrays, "pairs"), features, labels)
        load_labels(self.state.columns, arrays["columns"], features)
        load_labels(self.state.labels, arrays["labels"], labels)
        load_whole(self.state.total, arrays["total"])

    @staticmethod
    def bytes_bound(features: int, labels: int) -> int:
        """Return the largest size in bytes with that many columns and labels."""
        return 8 * (features + 1) * (labels + 1)
