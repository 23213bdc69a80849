"""The step kernel: predicts and learns rows in order, and returns early when the owner has to act.

Structural work (a test of the partition, a label that joins) happens between two calls and always at the same row, so
results do not depend on how rows are divided into batches.
"""

from __future__ import annotations

from enum import IntEnum
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
from streamlearn.learner.decode.label_set_choice import choose_label_set
from streamlearn.learner.decode.pool_scores import LEAST_ROWS
from streamlearn.learner.drift.cluster_loss import cluster_loss_learn_row
from streamlearn.learner.drift.detectors import ClusterLossScratch, DriftState
from streamlearn.learner.entries import Entries
from streamlearn.learner.event_buffer import EventAction, EventBuffer, EventKind, note_event
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
    Answers,
    OperationKind,
    Operations,
    StopReason,
    read_truth,
    write_answer,
    write_empty_answer,
)
from streamlearn.learner.partition.clusters import (
    PartitionState,
    partition_due,
    partition_learn_row,
    partition_retest_time,
)


class Counter(IntEnum):
    """Fields of `LearnerState.counters`."""

    ROWS = 0  # rows learnt
    COMPLETE_ROWS = 1  # rows learnt with a complete truth
    COLUMN_END = 2  # highest column of a learnt row + 1
    USED_COLUMNS = 3  # different columns of learnt rows


COUNTERS = len(Counter)


class LearnerState(NamedTuple):
    """Everything that learning changes.

    Attributes
    ----------
    ensemble, mixer, decision, partition, drift
        The states of the parts.
    counters
        int64[COUNTERS], fields `Counter`.
    positives
        int64[labels], rows learnt in which the label is 1.
    previous
        int8[labels], 1 if the label is 1 in the last row learnt.
    used
        uint8[columns], 1 if a learnt row has the column.
    """

    ensemble: EnsembleState
    mixer: MixerState
    decision: DecisionState
    partition: PartitionState
    drift: DriftState
    counters: np.ndarray
    positives: np.ndarray
    previous: np.ndarray
    used: np.ndarray


class NeighbourSets(NamedTuple):
    """The label sets of the nearest rows, as `experts.neighbour_votes.neighbours_label_sets` fills them.

    Attributes
    ----------
    code
        int64[NEIGHBOURS], hash of each set.
    weight
        float64[NEIGHBOURS], weight of each set.
    starts
        int64[NEIGHBOURS + 1], range of each set in ``members``.
    members
        int32, label slots.
    """

    code: np.ndarray
    weight: np.ndarray
    starts: np.ndarray
    members: np.ndarray


class Scratch(NamedTuple):
    """Memory of one row, not state; the arrays have the capacity of the labels.

    Attributes
    ----------
    mixed
        float32[labels], the mixer's logits.
    truth
        int8[labels]: 1, 0 or -1 (unknown).
    order
        int32[labels], scratch of the decision rules.
    allowed
        uint8[labels], 1 for labels that may be predicted.
    chosen
        uint8[labels], 1 for the labels of the answer.
    members
        int32[labels], the positive labels of the truth.
    ensemble, mixer, decision, neighbour_sets, cluster_losses
        Scratch of the parts.
    """

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
    """Compute the ensemble's logits and ``scratch.mixed`` for the instance in entries ``first`` to ``last`` (excluded).

    The features of recent label sets are in the ensemble's scratch already.
    """
    used_columns = state.counters[Counter.USED_COLUMNS]
    ensemble_predict_row(state.ensemble, scratch.ensemble, entries, first, last, labels, used_columns)
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
    """Write the features of recent label sets into the ensemble's scratch, and into the answer of a prediction.

    An operation that only learns takes them from its own prediction; others compute them.
    """
    ensemble = scratch.ensemble
    start = answers.recent_starts[operation]
    kind = operations.kind[operation]
    if kind == OperationKind.LEARN:
        row = operations.recent_of[operation]
        starts, columns, values = operations.recent_starts, operations.recent_columns, operations.recent_values
        if row >= 0:
            starts, columns, values = answers.recent_starts, answers.recent_columns, answers.recent_values
        else:
            row = operation
        size = starts[row + 1] - starts[row]
        for i in range(size):
            ensemble.recent_columns[i] = columns[starts[row] + i]
            ensemble.recent_values[i] = values[starts[row] + i]
        ensemble.recent_size[0] = size
    else:
        ensemble_history_features(state.ensemble, ensemble, labels)
    end = start
    if kind == OperationKind.PREDICT:
        for i in range(ensemble.recent_size[0]):
            answers.recent_columns[end] = ensemble.recent_columns[i]
            answers.recent_values[end] = ensemble.recent_values[i]
            end += 1
    answers.recent_starts[operation + 1] = end


@kernel
def infer_row(state: LearnerState, scratch: Scratch, labels: int, minimum_support: int) -> None:
    """Compute the posterior over label sets from the mixed logits, in the decision's scratch."""
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
    choose_label_set(
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
def note_joint_decoding(state: LearnerState, events: EventBuffer, operation: int, decided: float) -> None:
    """Raise an event if label sets are decoded jointly from the last row learnt on.

    ``decided`` is the result of `decision_rows` before that row.
    """
    rows = decision_rows(state.decision)
    if decided < LEAST_ROWS <= rows:
        note_event(
            events,
            operation,
            np.int64(EventKind.LABEL_SETS),
            0,
            np.int64(EventAction.NONE),
            state.counters[Counter.COMPLETE_ROWS],
            state.counters[Counter.ROWS] - 1,
            decided,
            rows,
        )


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
    """Learn one row, whose logits are in ``scratch``; return whether the owner has to act on drift."""
    truth = scratch.truth
    complete = operations.complete[operation] != 0
    members = read_truth(operations, operation, labels, truth, scratch.members)
    due = cluster_loss_learn_row(
        state.drift,
        scratch.cluster_losses,
        state.partition.cluster_of,
        clusters,
        scratch.decision.joint.probabilities,
        truth,
        labels,
        operation,
        state.counters[Counter.ROWS],
        partition_retest_time(state.partition, complete),
        events,
    )
    mixer_learn_row(state.mixer, scratch.mixer, scratch.mixed, truth, labels)
    first = operations.first[operation]
    last = operations.last[operation]
    if last > first:
        end = np.int64(operations.entries.columns[last - 1]) + 1
        state.counters[Counter.COLUMN_END] = max(state.counters[Counter.COLUMN_END], end)
    for entry in range(first, last):
        column = operations.entries.columns[entry]
        state.counters[Counter.USED_COLUMNS] += 1 - np.int64(state.used[column])
        state.used[column] = 1
    row = state.counters[Counter.ROWS]
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
        state.counters[Counter.COLUMN_END],
    )
    window_number_row(neighbours, number, row)
    tree = scratch.ensemble.label_tree
    for reset in range(resets):
        age, excess = tree.age[reset], tree.excess[reset]
        kind, action = np.int64(EventKind.TREE), np.int64(EventAction.RESET)
        note_event(events, operation, kind, tree.reset[reset], action, age, row, 0.0, excess)
    for label in range(labels):
        state.previous[label] = 1 if truth[label] == 1 else 0
        state.positives[label] += state.previous[label]
    state.counters[Counter.ROWS] += 1
    decided = decision_rows(state.decision)
    if complete:
        state.counters[Counter.COMPLETE_ROWS] += 1
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
        note_joint_decoding(state, events, operation, decided)
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
) -> tuple[int, int | np.int64]:
    """Apply operations from ``begin`` on until the owner has to act.

    Parameters
    ----------
    state, scratch
        The learner.
    operations
        The operations.
    answers
        Receives the answers.
    events
        Receives the events.
    begin
        The first operation to apply.
    labels, clusters
        Label slots and top-level clusters in use.
    scores_top
        Labels that get a score beside those of the answer.
    minimum_support
        Positive rows before a label may be predicted.

    Returns
    -------
    tuple[int, int]
        The next operation and the `StopReason`: STRUCTURE_DUE after the operation that made work due, OUTPUT_FULL or
        EVENTS_FULL before the operation that needs more capacity.
    """
    for operation in range(begin, operations.kind.size):
        kind = operations.kind[operation]
        full = answers.starts[operation] + labels + scores_top > answers.slots.size
        if full or answers.recent_starts[operation] + MAXIMUM_HISTORY_FEATURES > answers.recent_columns.size:
            return operation, np.int64(StopReason.OUTPUT_FULL)
        if events.size[0] + clusters + labels + 1 > events.fields.shape[0]:
            return operation, np.int64(StopReason.EVENTS_FULL)
        answers.learned[operation] = state.counters[Counter.ROWS]
        _recall(state, scratch, operations, answers, operation, labels)
        predict_logits(
            state, scratch, operations.entries, operations.first[operation], operations.last[operation], labels
        )
        infer_row(state, scratch, labels, minimum_support)
        if kind & OperationKind.PREDICT:
            _answer(state, scratch, operations, answers, operation, labels, scores_top)
        else:
            write_empty_answer(answers, operation)
        if kind & OperationKind.LEARN:
            due = _learn(state, scratch, operations, events, operation, labels, clusters)
            if due or partition_due(state.partition):
                return operation + 1, np.int64(StopReason.STRUCTURE_DUE)
    return operations.kind.size, np.int64(StopReason.END)
