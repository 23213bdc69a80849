"""Ensemble of experts: each enabled expert writes its rows of the logit matrix, from which the mixer predicts.

Which experts are enabled is a setting. A disabled expert has empty arrays and logit row -1, so that every choice runs
the same compiled code. The label rates are always enabled: other experts use the slow rate as a prior.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.learner.entries import Entries
from streamlearn.learner.experts.adagrad_linear import (
    AdaGrad,
    AdaGradState,
    adagrad_begin_label,
    adagrad_learn_row,
    adagrad_predict_row,
)
from streamlearn.learner.experts.constant_step_linear import (
    ConstantStep,
    ConstantStepState,
    constant_step_begin_label,
    constant_step_learn_row,
    constant_step_predict_row,
)
from streamlearn.learner.experts.label_history import (
    MAXIMUM_HISTORY_FEATURES,
    LabelHistory,
    LabelHistoryState,
    label_history_begin_label,
    label_history_features,
    label_history_learn_row,
    label_history_predict_row,
)
from streamlearn.learner.experts.label_tree import (
    TREE_BYTES,
    LabelTrees,
    LabelTreeScratch,
    LabelTreeState,
    label_tree_begin_label,
    label_tree_learn_row,
    label_tree_predict_row,
)
from streamlearn.learner.experts.linear_logits import LANES
from streamlearn.learner.experts.logit_rows import (
    EXPERT_NAMES,
    EXPERT_OF,
    INITIAL_WEIGHT_SUM,
    INITIAL_WEIGHTS,
    LogitRow,
)
from streamlearn.learner.experts.naive_bayes import (
    NaiveBayes,
    NaiveBayesState,
    naive_bayes_learn_row,
    naive_bayes_predict_row,
)
from streamlearn.learner.experts.neighbour_search import NeighboursScratch, neighbours_search_row, neighbours_weigh_row
from streamlearn.learner.experts.neighbour_votes import neighbours_predict_row
from streamlearn.learner.experts.neighbour_window import NeighboursState, window_push
from streamlearn.learner.experts.neighbours import Neighbours
from streamlearn.learner.experts.rates import Rates, RatesState, rates_begin_label, rates_learn_row, rates_predict_row
from streamlearn.learner.experts.softmax import SOFTMAX_START, SOFTMAX_STEP, softmax_learn_row, softmax_predict_row
from streamlearn.state.array_names import ExpertPart, join_parts
from streamlearn.state.growth import grow
from streamlearn.state.lazy_arrays import split_parts

_PART_OF = {
    "slow_linear": ExpertPart.SLOW_LINEAR,
    "softmax": ExpertPart.SOFTMAX,
    "fast_linear": ExpertPart.FAST_LINEAR,
    "neighbours": ExpertPart.NEIGHBOURS,
    "naive_bayes": ExpertPart.NAIVE_BAYES,
    "label_tree": ExpertPart.LABEL_TREE,
}
"""Snapshot parts of the experts that keep something for each column."""


class EnsembleState(NamedTuple):
    """The experts' states.

    ``logit_row`` int64[11], by `LogitRow`, maps each logit row to its row among those of the enabled experts; -1:
    disabled.
    """

    logit_row: np.ndarray
    rates: RatesState
    slow: AdaGradState
    softmax: AdaGradState
    fast: ConstantStepState
    neighbours: NeighboursState
    naive_bayes: NaiveBayesState
    label_history: LabelHistoryState
    label_tree: LabelTreeState


class EnsembleScratch(NamedTuple):
    """Memory of one row; never part of the state.

    Attributes
    ----------
    logits
        float32[logit rows, labels], what the experts predict.
    gradient, ratio
        float32[labels], scratch of the linear experts and of naive Bayes.
    relevance_weighted
        float32[columns], the instance's entries as the neighbours compare them: written when the row is predicted,
        stored when it is learnt.
    recent_columns, recent_values, recent_size
        int32 and float32[MAXIMUM_HISTORY_FEATURES], int64[1]: the features of the label history and their number.
    neighbours, label_tree
        Scratch of these experts.
    """

    logits: np.ndarray
    gradient: np.ndarray
    ratio: np.ndarray
    relevance_weighted: np.ndarray
    recent_columns: np.ndarray
    recent_values: np.ndarray
    recent_size: np.ndarray
    neighbours: NeighboursScratch
    label_tree: LabelTreeScratch


@kernel
def ensemble_history_features(state: EnsembleState, scratch: EnsembleScratch, labels: int) -> None:
    """Write the label-history features of a row that is predicted to ``scratch``."""
    scratch.recent_size[0] = 0
    if state.logit_row[LogitRow.LABEL_HISTORY] >= 0:
        scratch.recent_size[0] = label_history_features(
            state.label_history, labels, scratch.recent_columns, scratch.recent_values
        )


@kernel
def ensemble_predict_row(
    state: EnsembleState,
    scratch: EnsembleScratch,
    entries: Entries,
    first: int,
    last: int,
    labels: int,
    used_columns: int,
) -> None:
    """Fill ``scratch.logits`` for one instance, the ``entries`` from ``first`` up to ``last`` (excluded).

    ``used_columns`` is the number of columns that learnt rows have used. ``scratch`` already holds the label-history
    features: those that `ensemble_history_features` wrote, or for a truth that arrives late those of its prediction.
    """
    columns = entries.columns[first:last]
    values = entries.values[first:last]
    rarity_weighted = entries.rarity_weighted[first:last]
    logits = scratch.logits
    logit_row = state.logit_row
    rates_predict_row(state.rates, labels, logits[logit_row[LogitRow.FAST_RATE]], logits[logit_row[LogitRow.SLOW_RATE]])
    if logit_row[LogitRow.SLOW_LINEAR] >= 0:
        adagrad_predict_row(state.slow, columns, values, labels, logits[logit_row[LogitRow.SLOW_LINEAR]])
    if logit_row[LogitRow.SOFTMAX] >= 0:
        softmax_predict_row(state.softmax, columns, rarity_weighted, labels, logits[logit_row[LogitRow.SOFTMAX]])
    if logit_row[LogitRow.FAST_LINEAR] >= 0:
        constant_step_predict_row(state.fast, columns, values, labels, logits[logit_row[LogitRow.FAST_LINEAR]])
    if logit_row[LogitRow.WIDE_VOTE] >= 0:
        relevance_weighted = scratch.relevance_weighted[: last - first]
        weighted_labels = labels if logit_row[LogitRow.SLOW_LINEAR] >= 0 else 0
        neighbours_weigh_row(state.slow.weight, columns, rarity_weighted, weighted_labels, relevance_weighted)
        neighbours_search_row(state.neighbours, scratch.neighbours, columns, relevance_weighted)
        neighbours_predict_row(
            state.neighbours,
            scratch.neighbours,
            state.rates.slow,
            labels,
            logits[logit_row[LogitRow.WIDE_VOTE]],
            logits[logit_row[LogitRow.CLOSE_VOTE]],
        )
    if logit_row[LogitRow.NAIVE_BAYES] >= 0:
        naive_bayes_predict_row(
            state.naive_bayes,
            columns,
            values,
            used_columns,
            labels,
            state.rates.slow,
            scratch.ratio,
            logits[logit_row[LogitRow.NAIVE_BAYES]],
            logits[logit_row[LogitRow.STRONGEST]],
        )
    if logit_row[LogitRow.LABEL_HISTORY] >= 0:
        size = scratch.recent_size[0]
        label_history_predict_row(
            state.label_history,
            scratch.recent_columns[:size],
            scratch.recent_values[:size],
            labels,
            logits[logit_row[LogitRow.LABEL_HISTORY]],
        )
    if logit_row[LogitRow.LABEL_TREE] >= 0:
        bins = entries.bins[first:last]
        label_tree_predict_row(
            state.label_tree, scratch.label_tree, columns, bins, labels, logits[logit_row[LogitRow.LABEL_TREE]]
        )


@kernel
def ensemble_learn_row(
    state: EnsembleState,
    scratch: EnsembleScratch,
    entries: Entries,
    first: int,
    last: int,
    truth: np.ndarray,
    members: np.ndarray,
    complete: bool,
    labels: int,
    column_end: int,
) -> int:
    """Learn the row that was predicted last with every expert; return how many label trees were reset.

    Parameters
    ----------
    truth
        int8[labels], 1, 0 or -1 (unknown).
    members
        int32, the known positives, ascending.
    complete
        Whether all labels are known.
    column_end
        Highest column that learnt rows have used, this row included, plus 1.
    """
    columns = entries.columns[first:last]
    values = entries.values[first:last]
    rarity_weighted = entries.rarity_weighted[first:last]
    logits = scratch.logits
    gradient = scratch.gradient
    logit_row = state.logit_row
    resets = 0
    if logit_row[LogitRow.SLOW_LINEAR] >= 0:
        adagrad_learn_row(state.slow, columns, values, truth, logits[logit_row[LogitRow.SLOW_LINEAR]], labels, gradient)
    if logit_row[LogitRow.SOFTMAX] >= 0 and complete:
        softmax_learn_row(
            state.softmax,
            columns,
            rarity_weighted,
            truth,
            members.size,
            logits[logit_row[LogitRow.SOFTMAX]],
            labels,
            gradient,
        )
    if logit_row[LogitRow.FAST_LINEAR] >= 0:
        constant_step_learn_row(
            state.fast, columns, values, truth, logits[logit_row[LogitRow.FAST_LINEAR]], labels, gradient
        )
    if logit_row[LogitRow.WIDE_VOTE] >= 0:
        relevance_weighted = scratch.relevance_weighted[: last - first]
        window_push(state.neighbours, columns, relevance_weighted, truth, members, complete, labels)
    if logit_row[LogitRow.NAIVE_BAYES] >= 0:
        naive_bayes_learn_row(state.naive_bayes, columns, values, members)
    if logit_row[LogitRow.LABEL_HISTORY] >= 0:
        size = scratch.recent_size[0]
        label_history_learn_row(
            state.label_history,
            scratch.recent_columns[:size],
            scratch.recent_values[:size],
            truth,
            logits[logit_row[LogitRow.LABEL_HISTORY]],
            labels,
            gradient,
        )
    if logit_row[LogitRow.LABEL_TREE] >= 0:
        resets = label_tree_learn_row(
            state.label_tree,
            scratch.label_tree,
            columns,
            entries.bins[first:last],
            truth,
            complete,
            labels,
            column_end,
            logits[logit_row[LogitRow.SLOW_RATE]],
        )
    rates_learn_row(state.rates, truth, labels, complete)
    return resets


@kernel
def ensemble_begin_label(state: EnsembleState, label: int, bias: float) -> None:
    """Initialise a label that joins after rows were learnt, in every expert."""
    logit_row = state.logit_row
    rates_begin_label(state.rates, label)
    if logit_row[LogitRow.SLOW_LINEAR] >= 0:
        adagrad_begin_label(state.slow, label, bias)
    if logit_row[LogitRow.SOFTMAX] >= 0:
        adagrad_begin_label(state.softmax, label, bias)
    if logit_row[LogitRow.FAST_LINEAR] >= 0:
        constant_step_begin_label(state.fast, label, bias)
    if logit_row[LogitRow.LABEL_HISTORY] >= 0:
        label_history_begin_label(state.label_history, label, bias)
    if logit_row[LogitRow.LABEL_TREE] >= 0:
        label_tree_begin_label(state.label_tree, label)


class Ensemble:
    """Owns the experts.

    Parameters
    ----------
    names:
        The enabled experts, of `logit_rows.EXPERT_NAMES`; both rates always are.
    """

    def __init__(self, names: Collection[str] = EXPERT_NAMES) -> None:
        self.names = tuple(name for name in EXPERT_NAMES if name in names or name in ("fast_rate", "slow_rate"))
        self.rates = Rates()
        self.slow = AdaGrad()
        self.softmax = AdaGrad(SOFTMAX_STEP, SOFTMAX_START)
        self.fast = ConstantStep()
        self.neighbours = Neighbours()
        self.naive_bayes = NaiveBayes()
        self.label_history = LabelHistory()
        self.label_tree = LabelTrees(TREE_BYTES if "label_tree" in self.names else 0)
        enabled_rows = [row for row in LogitRow if EXPERT_OF[row] in self.names]
        self.logit_rows = len(enabled_rows)
        total = 0.0
        for row in enabled_rows:
            total += INITIAL_WEIGHTS[row]
        self.initial_weights = [INITIAL_WEIGHT_SUM * INITIAL_WEIGHTS[row] / total for row in enabled_rows]
        """Weight of each logit row in the mixture before the first row is learnt."""
        self._relevance_weighted = np.zeros(0, np.float32)
        self._scratch = self._make_scratch(0)
        self._logit_row = np.array(
            [enabled_rows.index(row) if row in enabled_rows else -1 for row in LogitRow], np.int64
        )

    def _make_scratch(self, labels: int) -> EnsembleScratch:
        padded = (labels + LANES - 1) // LANES * LANES
        return EnsembleScratch(
            np.zeros((self.logit_rows, padded), np.float32),
            np.zeros(padded, np.float32),
            np.zeros(padded, np.float32),
            self._relevance_weighted,
            np.zeros(MAXIMUM_HISTORY_FEATURES, np.int32),
            np.zeros(MAXIMUM_HISTORY_FEATURES, np.float32),
            np.zeros(1, np.int64),
            self.neighbours.scratch,
            self.label_tree.scratch,
        )

    def _column_owners(self) -> dict[str, AdaGrad | ConstantStep | NaiveBayes | Neighbours | LabelTrees]:
        """Return the enabled experts that keep something for each column."""
        owners: dict[str, AdaGrad | ConstantStep | NaiveBayes | Neighbours | LabelTrees] = {
            "slow_linear": self.slow,
            "softmax": self.softmax,
            "fast_linear": self.fast,
            "neighbours": self.neighbours,
            "naive_bayes": self.naive_bayes,
            "label_tree": self.label_tree,
        }
        return {name: owner for name, owner in owners.items() if name in self.names}

    def grow(self, features: int, labels: int) -> None:
        """Make room for ``features`` columns and ``labels`` labels."""
        self.rates.grow(labels)
        if labels > self._scratch.logits.shape[1]:
            self._scratch = self._make_scratch(labels)
        for owner in self._column_owners().values():
            owner.grow(features, labels)
        if "label_history" in self.names:
            self.label_history.grow(labels)
        if "neighbours" in self.names:
            self._relevance_weighted = grow(self._relevance_weighted, features)

    @property
    def state(self) -> EnsembleState:
        """Arguments of the kernels; replaced when anything grows."""
        return EnsembleState(
            self._logit_row,
            self.rates.state,
            self.slow.state,
            self.softmax.state,
            self.fast.state,
            self.neighbours.state,
            self.naive_bayes.state,
            self.label_history.state,
            self.label_tree.state,
        )

    @property
    def scratch(self) -> EnsembleScratch:
        """Memory of one row; replaced when anything grows."""
        return self._scratch._replace(
            relevance_weighted=self._relevance_weighted,
            neighbours=self.neighbours.scratch,
            label_tree=self.label_tree.scratch,
        )

    def retire(self, label: int) -> None:
        """Reset a label slot."""
        for owner in self._column_owners().values():
            owner.retire(label)
        if "label_history" in self.names:
            self.label_history.retire(label)

    def arrays(self, features: int, labels: int) -> dict[str, np.ndarray]:
        """Return the state of the columns and labels in use."""
        parts: dict[str, dict[str, np.ndarray]] = {ExpertPart.RATES: self.rates.arrays(labels)}
        for name, owner in self._column_owners().items():
            arrays = owner.arrays() if isinstance(owner, Neighbours) else owner.arrays(features, labels)
            parts[_PART_OF[name]] = arrays
        if "label_history" in self.names:
            parts[ExpertPart.LABEL_HISTORY] = self.label_history.arrays(labels)
        return join_parts(parts)

    def load_arrays(self, arrays: Mapping[str, np.ndarray], features: int, labels: int) -> None:
        """Load the state; raises `SnapshotError` when a shape differs."""
        parts = split_parts(arrays)
        self.rates.load_arrays(parts[ExpertPart.RATES], labels)
        for name, owner in self._column_owners().items():
            owner.load_arrays(parts.get(_PART_OF[name], {}), features, labels)
        if "label_history" in self.names:
            self.label_history.load_arrays(parts.get(ExpertPart.LABEL_HISTORY, {}), labels)

    @staticmethod
    def bytes_bound(names: Collection[str], features: int, labels: int) -> int:
        """Return the largest size in bytes of these experts with that many columns and labels."""
        bounds = {
            "slow_linear": AdaGrad.bytes_bound(features, labels),
            "softmax": AdaGrad.bytes_bound(features, labels),
            "fast_linear": ConstantStep.bytes_bound(features, labels),
            "neighbours": Neighbours.bytes_bound(features, labels),
            "naive_bayes": NaiveBayes.bytes_bound(features, labels),
            "label_history": LabelHistory.bytes_bound(labels),
            "label_tree": LabelTrees.bytes_bound(features, labels),
        }
        bound = Rates.bytes_bound(labels)
        for name in set(bounds).intersection(names):
            bound += bounds[name]
        return bound
