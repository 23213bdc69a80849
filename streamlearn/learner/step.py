"""The step: one kernel that walks rows, predicts and learns, and returns early when the owner has to act.

Structural work (the partition's test, a label that joins) happens between two calls, always at the same row, so results
do not depend on how rows are cut into batches.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from streamlearn.arithmetic.compile import kernel
from streamlearn.learner.decode.label_sets import (
    LEAST_ROWS,
    LabelSetsState,
    label_sets_learn_row,
    label_sets_rows,
)
from streamlearn.learner.decode.rules import best_labels, decide_row, probability
from streamlearn.learner.drift.adwin import AdwinState
from streamlearn.learner.drift.monitors import MonitorScratch, monitors_learn_row
from streamlearn.learner.entries import Entries
from streamlearn.learner.experts.adagrad import AdaGradState, adagrad_learn_row, adagrad_predict_row
from streamlearn.learner.experts.constant_step import (
    ConstantStepState,
    constant_step_learn_row,
    constant_step_predict_row,
)
from streamlearn.learner.experts.rates import RatesState, rates_learn_row, rates_predict_row
from streamlearn.learner.mixture.logistic import MixerScratch, MixerState, mixer_learn_row, mixer_predict_row
from streamlearn.learner.partition.clusters import PartitionState, partition_learn_row
from streamlearn.learner.partition.clusters import due as partition_due

PREDICT = 1
LEARN = 2

END = 0
STRUCTURE_DUE = 1
OUTPUT_FULL = 2
EVENTS_FULL = 3

ADAGRAD = 0
CONSTANT_STEP = 1
FAST_RATE = 2
SLOW_RATE = 3
EXPERTS = 4

LABEL_SETS_READY = -1
"""In an event's cluster: from this row on enough label sets were seen to be decoded jointly."""


class LearnerState(NamedTuple):
    """Everything that learning changes. ``counters`` int64[2]: rows learnt, complete rows learnt; ``positives`` int64
    and ``previous`` int8 [labels]: rows in which the label was learnt as true, and whether it was in the last one.
    """

    adagrad: AdaGradState
    constant_step: ConstantStepState
    rates: RatesState
    mixer: MixerState
    label_sets: LabelSetsState
    partition: PartitionState
    adwin: AdwinState
    counters: np.ndarray
    positives: np.ndarray
    previous: np.ndarray


class Scratch(NamedTuple):
    """Memory of one row, never state; all sized to the labels' capacity."""

    logits: np.ndarray
    mixed: np.ndarray
    truth: np.ndarray
    gradient: np.ndarray
    value: np.ndarray
    order: np.ndarray
    allowed: np.ndarray
    chosen: np.ndarray
    members: np.ndarray
    mixer: MixerScratch
    monitors: MonitorScratch


class Operations(NamedTuple):
    """Rows to walk, in order.

    ``kind`` uint8[n] of PREDICT and LEARN; the instance is ``entries`` from ``first`` to ``last`` int64[n]; the truth
    is ``truth_slots`` int32 (ascending) and ``truth_signs`` int8 from ``truth_starts`` int64[n + 1], ``complete``
    uint8[n]; ``rule``, ``rule_count`` int64[n] and ``rule_threshold`` float64[n] as in `decode.rules`. A row that only
    learns brings what its answer knew of recent label sets: ``recent_columns`` int32 and ``recent_values`` float32 from
    ``recent_starts`` int64[n + 1].
    """

    kind: np.ndarray
    first: np.ndarray
    last: np.ndarray
    entries: Entries
    truth_starts: np.ndarray
    truth_slots: np.ndarray
    truth_signs: np.ndarray
    complete: np.ndarray
    rule: np.ndarray
    rule_count: np.ndarray
    rule_threshold: np.ndarray
    recent_starts: np.ndarray
    recent_columns: np.ndarray
    recent_values: np.ndarray


class Answers(NamedTuple):
    """Results, a range per operation: ``starts`` int64[n + 1] into ``slots`` int32, ``scores`` float64 and
    ``logits`` float32, which the scores are rounded from. The first ``chosen`` int64[n] of a range are the answer's
    label set, best first; the best other labels follow. ``learned`` int64[n] counts the rows learnt before the
    operation. What a row that only predicts knew of recent label sets is in ``recent_columns`` int32 and
    ``recent_values`` float32 from ``recent_starts`` int64[n + 1].
    """

    starts: np.ndarray
    slots: np.ndarray
    scores: np.ndarray
    logits: np.ndarray
    chosen: np.ndarray
    learned: np.ndarray
    recent_starts: np.ndarray
    recent_columns: np.ndarray
    recent_values: np.ndarray


class EventBuffer(NamedTuple):
    """Drift alarms: ``whole`` int64[n, 4] (operation, cluster or LABEL_SETS_READY, rows in the window, row) and
    ``real`` float64[n, 2] (mean before, mean after); ``size`` int64[1].
    """

    whole: np.ndarray
    real: np.ndarray
    size: np.ndarray


@kernel
def predict_logits(state: LearnerState, scratch: Scratch, columns: np.ndarray, values: np.ndarray, labels: int) -> None:
    """Fill ``scratch.logits`` [experts, labels] and ``scratch.mixed`` [labels] for one instance."""
    adagrad_predict_row(state.adagrad, columns, values, 0, labels, scratch.logits[ADAGRAD])
    constant_step_predict_row(state.constant_step, columns, values, 0, labels, scratch.logits[CONSTANT_STEP])
    rates_predict_row(state.rates, 0, labels, scratch.logits[FAST_RATE], scratch.logits[SLOW_RATE])
    mixer_predict_row(
        state.mixer, scratch.mixer, scratch.logits, state.positives, state.previous, 0, labels, scratch.mixed
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
    minimum_support: int,
) -> None:
    allowed = scratch.allowed
    for label in range(labels):
        allowed[label] = 1 if state.positives[label] >= minimum_support else 0
    decide_row(
        operations.rule[operation],
        operations.rule_count[operation],
        operations.rule_threshold[operation],
        state.label_sets,
        scratch.mixed,
        labels,
        allowed,
        scratch.value,
        scratch.order,
        scratch.chosen,
    )
    start = answers.starts[operation]
    chosen = best_labels(scratch.mixed, labels, scratch.chosen, labels, answers.slots[start:])
    for label in range(labels):
        if scratch.chosen[label]:
            allowed[label] = 0
    others = best_labels(scratch.mixed, labels, allowed, scores_top, answers.slots[start + chosen :])
    end = start + chosen + others
    for place in range(start, end):
        answers.logits[place] = scratch.mixed[answers.slots[place]]
        answers.scores[place] = probability(answers.logits[place])
    answers.chosen[operation] = chosen
    answers.starts[operation + 1] = end


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
    """Learn one row from the logits in ``scratch``; return whether an alarm ended the partition's test period."""
    truth = scratch.truth
    complete = operations.complete[operation] != 0
    unknown = np.int8(0) if complete else np.int8(-1)
    for label in range(labels):
        truth[label] = unknown
    members = 0
    for place in range(operations.truth_starts[operation], operations.truth_starts[operation + 1]):
        slot = operations.truth_slots[place]
        truth[slot] = operations.truth_signs[place]
        if operations.truth_signs[place] == 1:
            scratch.members[members] = slot
            members += 1
    columns = operations.entries.columns[operations.first[operation] : operations.last[operation]]
    values = operations.entries.values[operations.first[operation] : operations.last[operation]]
    worse = monitors_learn_row(
        state.adwin,
        scratch.monitors,
        state.partition.cluster_of,
        clusters,
        scratch.mixed,
        truth,
        labels,
        operation,
        state.counters[0],
        events.whole,
        events.real,
        events.size,
    )
    mixer_learn_row(state.mixer, scratch.mixer, scratch.logits, scratch.mixed, truth, labels)
    adagrad_learn_row(state.adagrad, columns, values, truth, scratch.logits[ADAGRAD], labels, scratch.gradient)
    constant_step_learn_row(
        state.constant_step, columns, values, truth, scratch.logits[CONSTANT_STEP], labels, scratch.gradient
    )
    rates_learn_row(state.rates, truth, labels, complete)
    for label in range(labels):
        state.previous[label] = 1 if truth[label] == 1 else 0
        state.positives[label] += state.previous[label]
    state.counters[0] += 1
    if complete:
        state.counters[1] += 1
        few = label_sets_rows(state.label_sets) < LEAST_ROWS
        label_sets_learn_row(state.label_sets, scratch.members[:members])
        if few and label_sets_rows(state.label_sets) >= LEAST_ROWS:
            place = events.size[0]
            events.whole[place, 0] = operation
            events.whole[place, 1] = LABEL_SETS_READY
            events.whole[place, 2] = state.counters[1]
            events.whole[place, 3] = state.counters[0] - 1
            events.real[place, 0] = 0.0
            events.real[place, 1] = label_sets_rows(state.label_sets)
            events.size[0] = place + 1
        partition_learn_row(state.partition, scratch.members[:members])
    return worse


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
    """Walk operations from ``begin``; return the next operation and why the walk stopped.

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
        if answers.starts[operation] + labels + scores_top > answers.slots.size:
            return operation, OUTPUT_FULL
        if events.size[0] + clusters + 1 > events.whole.shape[0]:
            return operation, EVENTS_FULL
        answers.learned[operation] = state.counters[0]
        columns = operations.entries.columns[operations.first[operation] : operations.last[operation]]
        values = operations.entries.values[operations.first[operation] : operations.last[operation]]
        predict_logits(state, scratch, columns, values, labels)
        if kind & PREDICT:
            _answer(state, scratch, operations, answers, operation, labels, scores_top, minimum_support)
        else:
            answers.chosen[operation] = 0
            answers.starts[operation + 1] = answers.starts[operation]
        if kind & LEARN:
            worse = _learn(state, scratch, operations, events, operation, labels, clusters)
            if worse or partition_due(state.partition):
                return operation + 1, STRUCTURE_DUE
    return operations.kind.size, END
