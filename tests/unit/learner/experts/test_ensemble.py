"""Ensemble: each expert predicts and learns from its own view of a row, and can be disabled and resumed."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest

from streamlearn.learner.entries import Entries
from streamlearn.learner.experts.ensemble import (
    Ensemble,
    ensemble_history_features,
    ensemble_learn_row,
    ensemble_predict_row,
)
from streamlearn.learner.experts.logit_rows import EXPERT_NAMES, EXPERT_OF, LogitRow
from streamlearn.state.array_names import ExpertPart
from tests.naive.learner.experts import naive_bayes, rates
from tests.naive.learner.experts.adagrad_linear import LogisticLabel
from tests.naive.learner.experts.label_history import LabelHistory
from tests.naive.learner.experts.label_tree import LabelTree
from tests.naive.learner.experts.neighbours import Neighbours, vote, weigh
from tests.naive.learner.experts.softmax import Softmax

COLUMNS = (0, 2, 5, 6, 11)
"""The columns in use: their number differs from the highest one plus 1, and label 0 depends on the highest."""

COLUMN_END, LABELS, ROWS = 12, 3, 90


class Row(NamedTuple):
    """One row: three views of its instance, which have nothing but their columns in common, and its truth."""

    values: dict[int, float]
    rarity_weighted: dict[int, float]
    bins: dict[int, int]
    truth: list[int | None]

    @property
    def entries(self) -> Entries:
        return Entries(
            np.array(list(self.values), np.int32),
            np.array(list(self.values.values()), np.float32),
            np.array(list(self.rarity_weighted.values()), np.float32),
            np.array(list(self.bins.values()), np.uint8),
        )

    @property
    def signs(self) -> np.ndarray:
        return np.array([-1 if y is None else y for y in self.truth], np.int8)

    @property
    def members(self) -> set[int]:
        return {label for label, y in enumerate(self.truth) if y == 1}

    @property
    def complete(self) -> bool:
        return None not in self.truth


def make_rows(seed: int, size: int = ROWS) -> list[Row]:
    """Return rows of which every fifth has an unknown label; label 0 is true if the last column's bin is above 0."""
    generator = np.random.default_rng(seed)
    rows = []
    for number in range(size):
        columns = [column for column in COLUMNS if column == COLUMNS[-1] or generator.random() < 0.7]
        values, weighted = generator.normal(0.3, 0.3, (2, len(columns))).astype(np.float32)
        weighted /= np.sqrt((weighted * weighted).sum())
        bins = generator.integers(0, 4, len(columns))
        truth: list[int | None] = [int(bins[-1] > 0), int(generator.random() < 0.4), int(generator.random() < 0.2)]
        if number % 5 == 4:
            truth[1 + number % 2] = None
        x, weighted_x, binned_x = (dict(zip(columns, view.tolist(), strict=True)) for view in (values, weighted, bins))
        rows.append(Row(x, weighted_x, binned_x, truth))
    return rows


class Runner:
    """An ensemble driven as the step drives it."""

    def __init__(self, names: tuple[str, ...] = EXPERT_NAMES) -> None:
        self.owner = Ensemble(names)
        self.owner.grow(COLUMN_END, LABELS)
        self.used: set[int] = set()

    def run_row(self, row: Row) -> np.ndarray:
        """Return the logits of the enabled experts, float32[logit rows, LABELS], then learn the row."""
        state, scratch, entries = self.owner.state, self.owner.scratch, row.entries
        last = entries.columns.size
        ensemble_history_features(state, scratch, LABELS)
        ensemble_predict_row(state, scratch, entries, 0, last, LABELS, len(self.used))
        out = scratch.logits[:, :LABELS].copy()
        self.used |= set(row.values)
        members = np.array(sorted(row.members), np.int32)
        column_end = max(self.used) + 1
        ensemble_learn_row(state, scratch, entries, 0, last, row.signs, members, row.complete, LABELS, column_end)
        return out


def rate(rows: list[Row], label: int, step: float = 0.01) -> float:
    return rates.rate([row.truth[label] for row in rows], step)


def regressions(rows: list[Row], step: float, start: float | None) -> list[LogisticLabel]:
    found = [LogisticLabel(step, start) for _ in range(LABELS)]
    for row in rows:
        for regression, y in zip(found, row.truth, strict=True):
            regression.learn(row.values, y)
    return found


def softmax_logits(rows: list[Row], last: Row) -> list[float]:
    twin = Softmax(LABELS)
    for row in rows:
        if row.complete:
            twin.learn(row.rarity_weighted, row.members)
    return twin.logits(last.rarity_weighted)


def neighbour_logits(rows: list[Row], last: Row, wide: bool) -> list[float]:
    window, slow_linear = Neighbours(), regressions([], 1.0, 0.1)

    def relevance_weighted(row: Row) -> dict[int, float]:
        weights = {column: [each.weight.get(column, 0.0) for each in slow_linear] for column in COLUMNS}
        return weigh(row.rarity_weighted, weights)

    for row in rows:
        known = {label: y for label, y in enumerate(row.truth) if y is not None}
        window.learn(relevance_weighted(row), known, row.complete)
        for regression, y in zip(slow_linear, row.truth, strict=True):
            regression.learn(row.values, y)
    found = window.search(relevance_weighted(last))
    return [vote(found, len(rows), label, rate(rows, label), wide) for label in range(LABELS)]


def label_history_logits(rows: list[Row], last: Row) -> list[float]:
    twin = LabelHistory(LABELS)
    for row in rows:
        twin.learn(twin.features(), row.truth)
    return twin.logits(twin.features())


def label_trees(rows: list[Row]) -> list[LabelTree]:
    trees = [LabelTree() for _ in range(LABELS)]
    for number, row in enumerate(rows):
        column_end = max(column for each in rows[: number + 1] for column in each.values) + 1
        for label, tree in enumerate(trees):
            tree.learn(row.bins, row.truth[label], rate(rows[:number], label), column_end)
    return trees


def label_tree_logits(rows: list[Row], last: Row) -> list[float]:
    probabilities = [tree.probability(last.bins) for tree in label_trees(rows)]
    return [math.log(p / (1.0 - p)) for p in probabilities]


def by_label(logit: Callable[[list[Row], Row, int], float]) -> Callable[[list[Row], Row], list[float]]:
    return lambda rows, last: [logit(rows, last, label) for label in range(LABELS)]


def counted(rows: list[Row]) -> list[tuple[dict[int, float], set[int]]]:
    return [(row.values, row.members) for row in rows]


EXPECTED: dict[LogitRow, Callable[[list[Row], Row], list[float]]] = {
    LogitRow.FAST_RATE: by_label(lambda rows, _, label: rates.logit(rate(rows, label, 0.2))),
    LogitRow.SLOW_RATE: by_label(lambda rows, _, label: rates.logit(rate(rows, label))),
    LogitRow.SLOW_LINEAR: lambda rows, last: [each.logit(last.values) for each in regressions(rows, 1.0, 0.1)],
    LogitRow.SOFTMAX: softmax_logits,
    LogitRow.FAST_LINEAR: lambda rows, last: [each.logit(last.values) for each in regressions(rows, 2.0, None)],
    LogitRow.WIDE_VOTE: lambda rows, last: neighbour_logits(rows, last, True),
    LogitRow.CLOSE_VOTE: lambda rows, last: neighbour_logits(rows, last, False),
    LogitRow.NAIVE_BAYES: by_label(
        lambda rows, last, label: naive_bayes.logit(counted(rows), last.values, label, len(COLUMNS))
    ),
    LogitRow.STRONGEST: by_label(
        lambda rows, last, label: naive_bayes.strongest(counted(rows), last.values, label, rate(rows, label))
    ),
    LogitRow.LABEL_HISTORY: label_history_logits,
    LogitRow.LABEL_TREE: label_tree_logits,
}
"""The logits of each row's plain twin for ``last`` after it has learnt ``rows``."""


@pytest.fixture(scope="module")
def stream() -> tuple[Runner, list[Row], list[np.ndarray]]:
    """An ensemble, the rows that it has learnt, and its logits for each."""
    runner, rows = Runner(), make_rows(3)
    return runner, rows, [runner.run_row(row) for row in rows]


@pytest.mark.parametrize("logit_row", LogitRow, ids=lambda row: row.name.lower())
def test_each_logit_row_is_that_of_its_expert(stream, logit_row):
    _, rows, logits = stream
    for last in (4, ROWS - 1):
        expected = EXPECTED[logit_row](rows[:last], rows[last])
        np.testing.assert_allclose(logits[last][logit_row], expected, rtol=2e-3, atol=2e-3)


def test_label_trees_split_on_bins_and_are_compared_with_the_slow_rate(stream):
    runner, rows, _ = stream
    trees = label_trees(rows)
    assert runner.owner.label_tree.splits == sum(tree.splits for tree in trees) > 0
    worse = runner.owner.label_tree.state.worse[:LABELS]
    np.testing.assert_allclose(worse, [tree.worse for tree in trees], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("disabled", [name for name in EXPERT_NAMES if not name.endswith("_rate")])
def test_a_disabled_expert_changes_no_other(disabled):
    enabled = [row for row in LogitRow if EXPERT_OF[row] != disabled]
    # The neighbours are compared with the slow linear expert's weights, so they depend on it.
    same = [
        index
        for index, row in enumerate(enabled)
        if disabled != "slow_linear" or row not in (LogitRow.WIDE_VOTE, LogitRow.CLOSE_VOTE)
    ]
    whole, part = Runner(), Runner(tuple(name for name in EXPERT_NAMES if name != disabled))
    for row in make_rows(4, 60):
        np.testing.assert_array_equal(part.run_row(row)[same], whole.run_row(row)[enabled][same])
    prefix = f"{ExpertPart[disabled.upper()]}."
    assert any(name.startswith(prefix) for name in whole.owner.arrays(COLUMN_END, LABELS))
    assert not any(name.startswith(prefix) for name in part.owner.arrays(COLUMN_END, LABELS))


def test_a_resumed_ensemble_continues_identically():
    first, second = Runner(), Runner()
    rows = make_rows(5)
    for row in rows[:60]:
        first.run_row(row)
    arrays = {name: array.copy() for name, array in first.owner.arrays(COLUMN_END, LABELS).items()}
    second.owner.load_arrays(arrays, COLUMN_END, LABELS)
    second.used = set(first.used)
    for row in rows[60:]:
        np.testing.assert_array_equal(second.run_row(row), first.run_row(row))
