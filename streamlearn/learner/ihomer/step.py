"""The step of the published method: one kernel that walks rows, predicts and learns, and stops where work is due."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.learner.decode.decision_rules import choose_by_score
from streamlearn.learner.ihomer.learn_row import ihomer_due, ihomer_learn_row
from streamlearn.learner.ihomer.predict_row import ihomer_predict_row
from streamlearn.learner.ihomer.state import HierarchyScratch, HierarchyState
from streamlearn.learner.operations import (
    Answers,
    OperationKind,
    Operations,
    StopReason,
    read_truth,
    write_answer,
    write_empty_answer,
)


class IHomerStepState(NamedTuple):
    """Everything that learning changes: the method's own state, ``positives`` int64[labels], the rows in which a label
    was learnt as true, and ``learned`` int64[1], the rows learnt."""

    paper: HierarchyState
    positives: np.ndarray
    learned: np.ndarray


class IHomerStepScratch(NamedTuple):
    """Memory of one row, all sized to the labels' capacity: ``logits`` float32; ``own`` (the method's choice),
    ``chosen`` and ``allowed`` uint8; ``truth`` int8; ``members`` and ``order`` int32."""

    paper: HierarchyScratch
    logits: np.ndarray
    own: np.ndarray
    chosen: np.ndarray
    allowed: np.ndarray
    truth: np.ndarray
    members: np.ndarray
    order: np.ndarray


@kernel
def ihomer_step(
    state: IHomerStepState,
    scratch: IHomerStepScratch,
    operations: Operations,
    answers: Answers,
    begin: int,
    labels: int,
    scores_top: int,
    minimum_support: int,
) -> tuple[int, int | np.int64]:
    """MicroBatchRunner operations from ``begin`` on.

    The method gives one label set, so all rules but ``top_k`` and ``threshold``, which look at scores, choose it.

    Returns
    -------
    (next, reason): END, or STRUCTURE_DUE after the row at which something has become due or happened to a tree, or
    OUTPUT_FULL before the row that finds no room.
    """
    entries = operations.entries
    for operation in range(begin, operations.kind.size):
        kind = operations.kind[operation]
        if answers.starts[operation] + labels + scores_top > answers.slots.size:
            return operation, np.int64(StopReason.OUTPUT_FULL)
        answers.learned[operation] = state.learned[0]
        answers.recent_starts[operation + 1] = answers.recent_starts[operation]
        first = operations.first[operation]
        last = operations.last[operation]
        columns, values, bins = entries.columns[first:last], entries.values[first:last], entries.bins[first:last]
        ihomer_predict_row(state.paper, scratch.paper, columns, values, bins, labels, scratch.logits, scratch.own)
        if kind & OperationKind.PREDICT:
            for label in range(labels):
                scratch.allowed[label] = 1 if state.positives[label] >= minimum_support else 0
            if not choose_by_score(
                operations.rule[operation],
                operations.rule_count[operation],
                operations.rule_threshold[operation],
                scratch.logits,
                labels,
                scratch.allowed,
                scratch.order,
                scratch.chosen,
            ):
                for label in range(labels):
                    scratch.chosen[label] = scratch.own[label] & scratch.allowed[label]
            write_answer(answers, operation, scratch.logits, labels, scratch.chosen, scratch.allowed, scores_top)
        else:
            write_empty_answer(answers, operation)
        if kind & OperationKind.LEARN:
            members = read_truth(operations, operation, labels, scratch.truth, scratch.members)
            complete = operations.complete[operation] != 0
            on = scratch.members[:members]
            ihomer_learn_row(state.paper, scratch.paper, columns, values, bins, scratch.truth, on, complete, labels)
            for place in range(members):
                state.positives[on[place]] += 1
            state.learned[0] += 1
            if scratch.paper.change_count[0] > 0 or ihomer_due(state.paper):
                return operation + 1, np.int64(StopReason.STRUCTURE_DUE)
    return operations.kind.size, np.int64(StopReason.END)
