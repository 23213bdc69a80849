"""The step: one kernel that walks rows, predicts and learns, and returns early when the owner has to act.

Structural work (the partition's test, a label that joins) happens between two calls, always at the same row, so results
do not depend on how rows are cut into batches.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.learner.decode.decision import (
    DecisionScratch,
    DecisionState,
    decision_infer_row,
    decision_learn_row,
    decision_rows,
)
from streamlearn.learner.decode.decision_rules import choose_row
from streamlearn.learner.decode.pool_scores import LEAST_ROWS
from streamlearn.learner.drift.cluster_loss import cluster_loss_learn_row
from streamlearn.learner.drift.detectors import ClusterLossScratch, DriftState
from streamlearn.learner.entries import Entries
from streamlearn.learner.event_buffer import LABEL_SETS, NOTHING, RESET, TREE, EventBuffer, note_event
from streamlearn.learner.experts.ensemble import (
    EnsembleScratch,
    EnsembleState,
    ensemble_history_features,
    ensemble_learn_row,
    ensemble_predict_row,
)
from streamlearn.learner.experts.label_history import MAXIMUM_HISTORY_FEATURES
from streamlearn.learner.experts.logit_rows import LogitRow
from streamlearn.learner.experts.neighbour_votes import neighbours_label_sets
from streamlearn.learner.experts.neighbour_window import WindowCursor, window_number_row
from streamlearn.learner.mixture.logistic_mixing import MixerScratch, MixerState, mixer_learn_row, mixer_predict_row
from streamlearn.learner.operations import (
    END,
    EVENTS_FULL,
    LEARN,
    OUTPUT_FULL,
    PREDICT,
    STRUCTURE_DUE,
    Answers,
    Operations,
    leave_answer_out,
    read_truth,
    write_answer,
)
from streamlearn.learner.partition.clusters import PartitionState, partition_learn_row, partition_testable
from streamlearn.learner.partition.clusters import due as partition_due

LEARNT, COMPLETE, COLUMN_END, USED_COLUMNS = range(4)


class LearnerState(NamedTuple):
    """Everything that learning changes. ``counters`` int64[4]: rows learnt, complete rows learnt, columns up to the
    last one that a learnt row has used, and columns that learnt rows have used; ``used`` uint8[columns] says which;
    ``positives`` int64 and ``previous`` int8 [labels]: rows in which the label was learnt as true, and
    whether it was in the last one.
    """

    ensemble: EnsembleState
    mixer: MixerState
    decision: DecisionState
    partition: PartitionState
    watch: DriftState
    counters: np.ndarray
    positives: np.ndarray
    previous: np.ndarray
    used: np.ndarray


class NeighbourSets(NamedTuple):
    """The label sets of the nearest rows: ``code`` int64 and ``weight`` float64 [50], ``starts`` int64[51], ``members``
    int32, as `experts.neighbours.neighbours_label_sets` fills them."""

    code: np.ndarray
    weight: np.ndarray
    starts: np.ndarray
    members: np.ndarray


class Scratch(NamedTuple):
    """Memory of one row, never state; all sized to the labels' capacity."""

    mixed: np.ndarray
    truth: np.ndarray
    order: np.ndarray
    allowed: np.ndarray
    chosen: np.ndarray
    members: np.ndarray
    ensemble: EnsembleScratch
    mixer: MixerScratch
    decision: DecisionScratch
    neighbour_sets: NeighbourSets
    cluster_losses: ClusterLossScratch


@kernel
def predict_logits(state: LearnerState, scratch: Scratch, entries: Entries, first: int, last: int, labels: int) -> None:
    """Fill the ensemble's logits and ``scratch.mixed`` float32[labels] for one instance, from ``first`` to ``last``.

    What is known of recent label sets is in the ensemble's scratch already.
    """
    ensemble_predict_row(state.ensemble, scratch.ensemble, entries, first, last, labels, state.counters[USED_COLUMNS])
    mixer_predict_row(
        state.mixer,
        scratch.mixer,
        scratch.ensemble.logits,
        state.positives,
        state.previous,
        labels,
        scratch.mixed,
    )


@kernel
def _recall(
    state: LearnerState, scratch: Scratch, operations: Operations, answers: Answers, operation: int, labels: int
) -> None:
    """Take what is known of recent label sets, or what a late row brings of it; keep it for a truth that is late."""
    ensemble = scratch.ensemble
    start = answers.recent_starts[operation]
    kind = operations.kind[operation]
    if kind == LEARN:
        row = operations.recent_of[operation]
        starts, columns, values = operations.recent_starts, operations.recent_columns, operations.recent_values
        if row >= 0:
            starts, columns, values = answers.recent_starts, answers.recent_columns, answers.recent_values
        else:
            row = operation
        size = starts[row + 1] - starts[row]
        for place in range(size):
            ensemble.recent_columns[place] = columns[starts[row] + place]
            ensemble.recent_values[place] = values[starts[row] + place]
        ensemble.recent_size[0] = size
    else:
        ensemble_history_features(state.ensemble, ensemble, labels)
    end = start
    if kind == PREDICT:
        for place in range(ensemble.recent_size[0]):
            answers.recent_columns[end] = ensemble.recent_columns[place]
            answers.recent_values[end] = ensemble.recent_values[place]
            end += 1
    answers.recent_starts[operation + 1] = end


@kernel
def infer_row(state: LearnerState, scratch: Scratch, labels: int, minimum_support: int) -> None:
    """Bring the row's mixed logits to a posterior over label sets, in the decision's scratch."""
    for label in range(labels):
        scratch.allowed[label] = 1 if state.positives[label] >= minimum_support else 0
    sets = scratch.neighbour_sets
    found = 0
    if state.ensemble.logit_row[LogitRow.WIDE_VOTE] >= 0:
        found = neighbours_label_sets(
            state.ensemble.neighbours, scratch.ensemble.neighbours, sets.code, sets.weight, sets.starts, sets.members
        )
    decision_infer_row(
        state.decision,
        state.partition.tree,
        scratch.decision,
        scratch.mixed,
        labels,
        scratch.allowed,
        sets.code[:found],
        sets.weight[:found],
        sets.starts,
        sets.members,
    )


@kernel
def _answer(
    state: LearnerState,
    scratch: Scratch,
    operations: Operations,
    answers: Answers,
    operation: int,
    labels: int,
    scores_top: int,
) -> None:
    allowed = scratch.allowed
    choose_row(
        state.decision,
        scratch.decision,
        operations.rule[operation],
        operations.rule_count[operation],
        operations.rule_threshold[operation],
        scratch.mixed,
        labels,
        allowed,
        scratch.order,
        scratch.chosen,
    )
    write_answer(answers, operation, scratch.mixed, labels, scratch.chosen, allowed, scores_top)


@kernel
def _learn(
    state: LearnerState,
    scratch: Scratch,
    operations: Operations,
    events: EventBuffer,
    operation: int,
    labels: int,
    clusters: int,
) -> bool:
    """Learn one row from the logits in ``scratch``; return whether the detectors of drift leave work to the owner."""
    truth = scratch.truth
    complete = operations.complete[operation] != 0
    members = read_truth(operations, operation, labels, truth, scratch.members)
    due = cluster_loss_learn_row(
        state.watch,
        scratch.cluster_losses,
        state.partition.cluster_of,
        clusters,
        scratch.decision.joint.probabilities,
        truth,
        labels,
        operation,
        state.counters[LEARNT],
        partition_testable(state.partition, complete),
        events,
    )
    mixer_learn_row(state.mixer, scratch.mixer, scratch.mixed, truth, labels)
    first = operations.first[operation]
    last = operations.last[operation]
    if last > first:
        state.counters[COLUMN_END] = max(state.counters[COLUMN_END], np.int64(operations.entries.columns[last - 1]) + 1)
    for entry in range(first, last):
        column = operations.entries.columns[entry]
        state.counters[USED_COLUMNS] += 1 - np.int64(state.used[column])
        state.used[column] = 1
    row = state.counters[LEARNT]
    neighbours = state.ensemble.neighbours
    number = neighbours.cursor[WindowCursor.OLDEST] + neighbours.cursor[WindowCursor.ROWS]
    resets = ensemble_learn_row(
        state.ensemble,
        scratch.ensemble,
        operations.entries,
        first,
        last,
        truth,
        scratch.members[:members],
        complete,
        labels,
        state.counters[COLUMN_END],
    )
    window_number_row(neighbours, number, row)
    tree = scratch.ensemble.label_tree
    for reset in range(resets):
        age, excess = tree.age[reset], tree.excess[reset]
        note_event(events, operation, TREE, tree.reset[reset], RESET, age, row, 0.0, excess)
    for label in range(labels):
        state.previous[label] = 1 if truth[label] == 1 else 0
        state.positives[label] += state.previous[label]
    state.counters[LEARNT] += 1
    decided = decision_rows(state.decision)
    if complete:
        state.counters[COMPLETE] += 1
    decision_learn_row(
        state.decision,
        state.partition.tree,
        scratch.decision,
        truth,
        scratch.members[:members],
        complete,
        labels,
        state.positives,
    )
    if complete:
        if decided < LEAST_ROWS <= decision_rows(state.decision):
            rows = decision_rows(state.decision)
            note_event(events, operation, LABEL_SETS, 0, NOTHING, state.counters[COMPLETE], row, decided, rows)
        partition_learn_row(state.partition, scratch.members[:members])
    return due


@kernel
def step(
    state: LearnerState,
    scratch: Scratch,
    operations: Operations,
    answers: Answers,
    events: EventBuffer,
    begin: int,
    labels: int,
    clusters: int,
    scores_top: int,
    minimum_support: int,
) -> tuple[int, int]:
    """MicroBatchRunner operations from ``begin``; return the next operation and why the walk stopped.

    Parameters
    ----------
    labels, clusters: label slots and top-level clusters in use; scores_top: how many labels beside the answer get a
    score; minimum_support: positives before a label may be predicted.

    Returns
    -------
    (next, reason): reason is END, or STRUCTURE_DUE after the row that made it due, or OUTPUT_FULL or EVENTS_FULL before
    the row that finds no room.
    """
    for operation in range(begin, operations.kind.size):
        kind = operations.kind[operation]
        full = answers.starts[operation] + labels + scores_top > answers.slots.size
        if full or answers.recent_starts[operation] + MAXIMUM_HISTORY_FEATURES > answers.recent_columns.size:
            return operation, OUTPUT_FULL
        if events.size[0] + clusters + labels + 1 > events.whole.shape[0]:
            return operation, EVENTS_FULL
        answers.learned[operation] = state.counters[LEARNT]
        _recall(state, scratch, operations, answers, operation, labels)
        predict_logits(
            state, scratch, operations.entries, operations.first[operation], operations.last[operation], labels
        )
        infer_row(state, scratch, labels, minimum_support)
        if kind & PREDICT:
            _answer(state, scratch, operations, answers, operation, labels, scores_top)
        else:
            leave_answer_out(answers, operation)
        if kind & LEARN:
            due = _learn(state, scratch, operations, events, operation, labels, clusters)
            if due or partition_due(state.partition):
                return operation + 1, STRUCTURE_DUE
    return operations.kind.size, END
