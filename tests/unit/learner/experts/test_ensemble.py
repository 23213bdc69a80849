"""Every expert on the ensemble sees its own view of a row: the ensemble's logits are those of experts driven alone."""

from __future__ import annotations

import numpy as np
import pytest

from streamlearn.learner.entries import Entries
from streamlearn.learner.experts import logit_rows as logit_rows
from streamlearn.learner.experts.adagrad_linear import AdaGrad, adagrad_learn_row, adagrad_predict_row
from streamlearn.learner.experts.constant_step_linear import (
    ConstantStep,
    constant_step_learn_row,
    constant_step_predict_row,
)
from streamlearn.learner.experts.ensemble import Ensemble, ensemble_learn_row, ensemble_predict_row, ensemble_recall
from streamlearn.learner.experts.label_history import (
    MAXIMUM_HISTORY_FEATURES,
    LabelHistory,
    label_history_features,
    label_history_learn_row,
    label_history_predict_row,
)
from streamlearn.learner.experts.label_tree import LabelTrees, label_tree_learn_row, label_tree_predict_row
from streamlearn.learner.experts.naive_bayes import NaiveBayes, naive_bayes_learn_row, naive_bayes_predict_row
from streamlearn.learner.experts.neighbour_search import neighbours_search_row, neighbours_weigh_row
from streamlearn.learner.experts.neighbour_votes import neighbours_predict_row
from streamlearn.learner.experts.neighbour_window import window_push
from streamlearn.learner.experts.neighbours import Neighbours
from streamlearn.learner.experts.rates import Rates, rates_learn_row, rates_predict_row
from streamlearn.learner.experts.softmax import SOFTMAX_START, SOFTMAX_STEP, softmax_learn_row, softmax_predict_row

COLUMNS, LABELS, ROWS = 12, 5, 160


def rows(seed: int) -> list[tuple[Entries, np.ndarray]]:
    """Return rows whose three views differ, with their truths; every fifth truth is partial."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(ROWS):
        truth = (rng.random(LABELS) < 0.4).astype(np.int8)
        on = rng.random(COLUMNS) < 0.3
        on[:LABELS] |= truth == 1
        columns = np.flatnonzero(on).astype(np.int32)
        values = rng.normal(0.3, 0.2, columns.size).astype(np.float32)
        weighted = rng.random(columns.size).astype(np.float32)
        weighted /= np.sqrt(np.float32((weighted * weighted).sum()) + np.float32(1e-9))
        if number % 5 == 4:
            truth[rng.integers(0, LABELS)] = -1
        found.append((Entries(columns, values, weighted, rng.integers(0, 4, columns.size).astype(np.uint8)), truth))
    return found


class Alone:
    """The experts, each driven by itself on the view that is its own."""

    def __init__(self) -> None:
        self.rates = Rates()
        self.slow = AdaGrad(1.0, 0.1)
        self.softmax = AdaGrad(SOFTMAX_STEP, SOFTMAX_START)
        self.fast = ConstantStep()
        self.neighbours = Neighbours()
        self.bayes = NaiveBayes()
        self.label_history = LabelHistory()
        self.tree = LabelTrees()
        self.rates.grow(LABELS)
        self.label_history.grow(LABELS)
        for owner in (self.slow, self.softmax, self.fast, self.neighbours, self.bayes, self.tree):
            owner.grow(COLUMNS, LABELS)
        self.features = 0

    def row(self, entries: Entries, truth: np.ndarray) -> np.ndarray:
        """Return every expert's logits, float32[experts, LABELS], then learn."""
        columns, values, weighted, bins = entries
        out = np.zeros((11, LABELS), np.float32)
        gradient, ratio = np.zeros(8, np.float32), np.zeros(8, np.float32)
        recent = np.zeros(MAXIMUM_HISTORY_FEATURES, np.int32), np.zeros(MAXIMUM_HISTORY_FEATURES, np.float32)
        size = label_history_features(self.label_history.state, LABELS, *recent)
        recent = recent[0][:size], recent[1][:size]
        members = np.flatnonzero(truth == 1).astype(np.int32)
        complete = bool((truth >= 0).all())

        rates_predict_row(self.rates.state, LABELS, out[logit_rows.FAST_RATE], out[logit_rows.SLOW_RATE])
        adagrad_predict_row(self.slow.state, columns, values, LABELS, out[logit_rows.SLOW_LINEAR])
        softmax_predict_row(self.softmax.state, columns, weighted, LABELS, out[logit_rows.SOFTMAX])
        constant_step_predict_row(self.fast.state, columns, values, LABELS, out[logit_rows.FAST_LINEAR])
        near = self.neighbours.state, self.neighbours.scratch
        metric = np.zeros_like(weighted)
        neighbours_weigh_row(self.slow.state.weight, columns, weighted, LABELS, metric)
        neighbours_search_row(*near, columns, metric)
        slow = self.rates.state.slow
        neighbours_predict_row(*near, slow, LABELS, out[logit_rows.WIDE_VOTE], out[logit_rows.CLOSE_VOTE])
        wide, strongest = np.zeros((2, 8), np.float32)
        naive_bayes_predict_row(self.bayes.state, columns, values, self.features, LABELS, slow, ratio, wide, strongest)
        out[logit_rows.NAIVE_BAYES], out[logit_rows.STRONGEST] = wide[:LABELS], strongest[:LABELS]
        label_history_predict_row(self.label_history.state, *recent, LABELS, out[logit_rows.LABEL_HISTORY])
        label_tree_predict_row(self.tree.state, self.tree.scratch, columns, bins, LABELS, out[logit_rows.LABEL_TREE])

        self.features = max(self.features, int(columns.max(initial=-1)) + 1)
        logits = out[logit_rows.SLOW_LINEAR]
        adagrad_learn_row(self.slow.state, columns, values, truth, logits, LABELS, gradient)
        if complete:
            logits = out[logit_rows.SOFTMAX]
            softmax_learn_row(self.softmax.state, columns, weighted, truth, members.size, logits, LABELS, gradient)
        logits = out[logit_rows.FAST_LINEAR]
        constant_step_learn_row(self.fast.state, columns, values, truth, logits, LABELS, gradient)
        window_push(self.neighbours.state, columns, metric, truth, members, complete, LABELS)
        naive_bayes_learn_row(self.bayes.state, columns, values, members)
        label_history_learn_row(
            self.label_history.state, *recent, truth, out[logit_rows.LABEL_HISTORY], LABELS, gradient
        )
        tree = self.tree.state, self.tree.scratch
        label_tree_learn_row(*tree, columns, bins, truth, complete, LABELS, self.features, out[logit_rows.SLOW_RATE])
        rates_learn_row(self.rates.state, truth, LABELS, complete)
        return out


class Together:
    """A ensemble driven as the step drives it."""

    def __init__(self, names: tuple[str, ...] = logit_rows.NAMES) -> None:
        self.owner = Ensemble(names)
        self.owner.grow(COLUMNS, LABELS)
        self.features = 0

    def row(self, entries: Entries, truth: np.ndarray) -> np.ndarray:
        """Return the logits of the experts that sit on the ensemble, then learn."""
        state, scratch = self.owner.state, self.owner.scratch
        ensemble_recall(state, scratch, LABELS)
        ensemble_predict_row(state, scratch, entries, 0, entries.columns.size, LABELS, self.features)
        out = scratch.logits[:, :LABELS].copy()
        members = np.flatnonzero(truth == 1).astype(np.int32)
        complete = bool((truth >= 0).all())
        self.features = max(self.features, int(entries.columns.max(initial=-1)) + 1)
        ensemble_learn_row(
            state, scratch, entries, 0, entries.columns.size, truth, members, complete, LABELS, self.features
        )
        return out


def test_the_panel_equals_its_experts_alone():
    together, alone = Together(), Alone()
    for entries, truth in rows(3):
        np.testing.assert_array_equal(together.row(entries, truth), alone.row(entries, truth))


@pytest.mark.parametrize("off", [name for name in logit_rows.NAMES if not name.endswith("_rate")])
def test_an_expert_that_is_off_leaves_the_others_alone(off):
    names = tuple(name for name in logit_rows.NAMES if name != off)
    whole, part = Together(), Together(names)
    kept = [
        number
        for number, logit_row in enumerate(logit_rows.LOGIT_ROWS)
        if logit_rows.SECOND_LOGIT_ROWS.get(logit_row, logit_row) != off
    ]
    # The neighbours compare by the slow linear expert's weights, so they go on differently without it.
    alike = [
        place
        for place, logit_row in enumerate(kept)
        if off != "slow_linear" or logit_rows.LOGIT_ROWS[logit_row] not in logit_rows.SECOND_LOGIT_ROWS
    ]
    for entries, truth in rows(4)[:60]:
        np.testing.assert_array_equal(part.row(entries, truth)[alike], whole.row(entries, truth)[kept][alike])
    assert not any(name.startswith(f"{off}.") for name in part.owner.arrays(COLUMNS, LABELS))


def test_a_resumed_panel_goes_on_alike():
    first = Together()
    stream = rows(5)
    for entries, truth in stream[:100]:
        first.row(entries, truth)
    second = Together()
    second.owner.load_arrays(
        {name: array.copy() for name, array in first.owner.arrays(COLUMNS, LABELS).items()}, COLUMNS, LABELS
    )
    second.features = first.features
    for entries, truth in stream[100:]:
        np.testing.assert_array_equal(second.row(entries, truth), first.row(entries, truth))
