"""Corrections: what the experts learn from a second truth for a row, which adds labels to the first or corrects it.

| expert | a label that becomes known | a label whose truth changes |
|---|---|---|
| linear experts, regression of the label history | one step | one step with the new value |
| softmax | learns the row when all its labels are known for the first time | one step with the new value |
| neighbours | the row in the window knows it | the row in the window knows the new value |
| rates | updated | unchanged |
| naive Bayes | the row is added to the label's sums | unchanged |
| features of the label history, label trees | unchanged | unchanged |

Counts and rates that a wrong value contributed to stay as they are: nothing is unlearnt.
"""

from __future__ import annotations

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.learner.entries import Entries
from streamlearn.learner.experts.adagrad_linear import adagrad_learn_row
from streamlearn.learner.experts.constant_step_linear import constant_step_learn_row
from streamlearn.learner.experts.ensemble import EnsembleScratch, EnsembleState
from streamlearn.learner.experts.logit_rows import LogitRow
from streamlearn.learner.experts.naive_bayes import naive_bayes_add_labels
from streamlearn.learner.experts.neighbour_window import window_amend, window_find
from streamlearn.learner.experts.rates import rates_learn_row
from streamlearn.learner.experts.softmax import softmax_correct_row, softmax_learn_row


@kernel
def ensemble_correct_row(
    state: EnsembleState,
    scratch: EnsembleScratch,
    entries: Entries,
    changed: np.ndarray,
    added: np.ndarray,
    added_members: np.ndarray,
    truth: np.ndarray,
    members: np.ndarray,
    complete: bool,
    completes: bool,
    labels: int,
    row: int,
) -> None:
    """Learn a second truth for a row, whose instance ``entries`` was the last that `ensemble_predict_row` predicted.

    Parameters
    ----------
    changed, added, truth
        int8[labels], 1, 0 or -1: the labels whose truth is new or has changed; those of them that were unknown; all
        that is known of the row.
    added_members, members
        int32, ascending: the positives of ``added`` and of ``truth``.
    complete, completes
        Whether all labels of the row are known, and whether they are for the first time.
    row
        Number of the row among all learnt rows.
    """
    columns = entries.columns
    values = entries.values
    logits = scratch.logits
    gradient = scratch.gradient
    logit_row = state.logit_row
    if logit_row[LogitRow.SLOW_LINEAR] >= 0:
        adagrad_learn_row(
            state.slow, columns, values, changed, logits[logit_row[LogitRow.SLOW_LINEAR]], labels, gradient
        )
    if logit_row[LogitRow.SOFTMAX] >= 0 and completes:
        softmax_learn_row(
            state.softmax,
            columns,
            entries.rarity_weighted,
            truth,
            members.size,
            logits[logit_row[LogitRow.SOFTMAX]],
            labels,
            gradient,
        )
    elif logit_row[LogitRow.SOFTMAX] >= 0 and complete:
        softmax_correct_row(
            state.softmax,
            columns,
            entries.rarity_weighted,
            changed,
            members.size,
            logits[logit_row[LogitRow.SOFTMAX]],
            labels,
            gradient,
        )
    if logit_row[LogitRow.FAST_LINEAR] >= 0:
        constant_step_learn_row(
            state.fast, columns, values, changed, logits[logit_row[LogitRow.FAST_LINEAR]], labels, gradient
        )
    if logit_row[LogitRow.WIDE_VOTE] >= 0:
        number = window_find(state.neighbours, row)
        if number >= 0:
            window_amend(state.neighbours, number, truth, members, complete, labels)
    if logit_row[LogitRow.NAIVE_BAYES] >= 0:
        naive_bayes_add_labels(state.naive_bayes, columns, values, added_members)
    if logit_row[LogitRow.LABEL_HISTORY] >= 0:
        size = scratch.recent_size[0]
        adagrad_learn_row(
            state.label_history.adagrad,
            scratch.recent_columns[:size],
            scratch.recent_values[:size],
            changed,
            logits[logit_row[LogitRow.LABEL_HISTORY]],
            labels,
            gradient,
        )
    rates_learn_row(state.rates, added, labels, completes)
