"""Measures equal those of scikit-learn for any answers; partial truths count for their known labels only."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from streamlearn.model.measures import Measures


def score(measures: Measures, emitted: np.ndarray, truth: np.ndarray, *, complete: bool = True) -> None:
    """Score rows of 0/1 matrices; -1 in ``truth`` means unknown."""
    rows, labels = truth.shape
    shown = [np.flatnonzero(row)[::-1] for row in emitted]
    listed = [np.flatnonzero(row == 1) if complete else np.flatnonzero(row >= 0) for row in truth]
    signs = [row[slots] for row, slots in zip(truth, listed, strict=True)]
    measures.score_rows(
        np.cumsum([0, *(len(slots) for slots in shown)]).astype(np.int64),
        np.concatenate([*shown, []]).astype(np.int32),
        np.cumsum([0, *(len(slots) for slots in listed)]).astype(np.int64),
        np.concatenate([*listed, []]).astype(np.int32),
        np.concatenate([*signs, []]).astype(np.int8),
        np.full(rows, complete, np.int8),
        np.full(rows, labels, np.int32),
    )


def jaccard(emitted: np.ndarray, truth: np.ndarray) -> float:
    """Return the mean of intersection over union, 1 for two empty sets."""
    both, either = (emitted & truth).sum(1), (emitted | truth).sum(1)
    return float(np.mean(np.where(either == 0, 1.0, both / np.maximum(either, 1))))


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 9), st.floats(0.0, 1.0))
@settings(max_examples=60, deadline=None)
def test_complete_truths_equal_scikit_learn(seed: int, rows: int, labels: int, share: float) -> None:
    random = np.random.default_rng(seed)
    emitted = (random.random((rows, labels)) < share).astype(np.int64)
    truth = (random.random((rows, labels)) < 0.3).astype(np.int64)
    measures = Measures(10_000, labels)
    score(measures, emitted, truth)
    both_empty = (emitted.sum(1) == 0) & (truth.sum(1) == 0)
    per_row = [
        1.0 if empty else metrics.f1_score(t, e, zero_division=0)
        for t, e, empty in zip(truth, emitted, both_empty, strict=True)
    ]
    # scikit-learn reads a matrix of one column as a binary target, so an empty column is added.
    wide = [np.column_stack([matrix, np.zeros(rows, np.int64)]) for matrix in (truth, emitted)]
    per_label = metrics.f1_score(*wide, average=None, zero_division=0)[:labels]
    assert measures.whole() == pytest.approx(
        {
            "subset_accuracy": metrics.accuracy_score(*wide),
            "hamming_loss": metrics.hamming_loss(*wide) * (labels + 1) / labels,
            "example_f1": float(np.mean(per_row)),
            "example_jaccard": jaccard(emitted, truth),
            "micro_f1": metrics.f1_score(*wide, average="micro", zero_division=0),
            "macro_f1": float(np.mean(per_label)),
        }
    )


def test_partial_truths_count_known_pairs_only() -> None:
    measures = Measures(100, 4)
    score(measures, np.array([[1, 1, 0, 0]]), np.array([[1, -1, 1, 0]]), complete=False)
    whole = measures.whole()
    assert whole["subset_accuracy"] is None
    assert whole["example_f1"] is None
    assert whole["hamming_loss"] == pytest.approx(1 / 3)
    assert whole["micro_f1"] == pytest.approx(2 / 3)
    assert measures.rows()["micro_f1"] == 1
    assert measures.rows()["subset_accuracy"] == 0


def test_windows_hold_their_own_rows_and_small_ones_have_no_value() -> None:
    measures = Measures(40, 2)
    right, wrong = np.array([[1, 0]]), np.array([[0, 1]])
    score(measures, np.repeat(right, 20, 0), np.repeat(right, 20, 0))
    assert measures.window_latest()["subset_accuracy"] is None
    score(measures, np.repeat(right, 60, 0), np.vstack([np.repeat(right, 20, 0), np.repeat(wrong, 40, 0)]))
    assert measures.window_latest()["subset_accuracy"] == 0.0
    assert measures.whole()["subset_accuracy"] == 0.5


def test_labels_join_and_retire_and_the_state_is_restored() -> None:
    measures = Measures(100, 1)
    score(measures, np.array([[1]]), np.array([[1]]))
    measures.grow(3)
    score(measures, np.array([[0, 1, 1]]), np.array([[0, 1, 0]]))
    assert measures.whole()["macro_f1"] == pytest.approx(2 / 3)
    other = Measures(100)
    other.load_arrays(measures.arrays())
    assert other.whole() == measures.whole()
    other.replace(0)
    assert other.whole()["macro_f1"] == pytest.approx(1 / 3)
    other.retire(0)
    assert other.whole()["macro_f1"] == pytest.approx(1 / 2), "the mean is over the remaining labels"
    other.load_arrays(other.arrays(), [0])
    assert other.whole()["macro_f1"] == pytest.approx(1 / 2)
