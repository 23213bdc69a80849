"""The step of iHOMER: one kernel that predicts and learns row by row, and stops where structural work is due."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.learner.decode.label_set_choice import choose_by_score
from streamlearn.learner.ihomer.learn_row import ihomer_due, ihomer_learn_row
from streamlearn.learner.ihomer.predict_row import ihomer_predict_row
from streamlearn.learner.ihomer.state import HierarchyScratch, HierarchyState
from streamlearn.learner.operations import (
    END,
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


class IHomerStepState(NamedTuple):
    """Everything that learning changes.

    Attributes
    ----------
    hierarchy
        The state of the method itself.
    positives
        int64[labels], rows in which a label was learnt as true.
    learned
        int64[1], rows learnt.
    """

    hierarchy: HierarchyState
    positives: np.ndarray
    learned: np.ndarray


class IHomerStepScratch(NamedTuple):
    """Scratch memory of one row; all arrays have the size of the labels' capacity.

    Attributes
    ----------
    hierarchy
        The scratch memory of the method itself.
    logits
        float32.
    own, chosen, allowed
        uint8: the label set of the method, the label set of the rule, and the labels with enough support.
    truth
        int8.
    members, order
        int32.
    """

    hierarchy: HierarchyScratch
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
) -> tuple[int, int]:
    """Run operations from ``begin`` on.

    iHOMER predicts one label set. All rules return it, except ``top_k`` and ``threshold``, which use the scores.

    Returns
    -------
    (next, reason): END, or STRUCTURE_DUE after a row at which something has become due or a tree has changed, or
    OUTPUT_FULL before the row whose answer does not fit.
    """
    entries = operations.entries
    for operation in range(begin, operations.kind.size):
        kind = operations.kind[operation]
        if answers.starts[operation] + labels + scores_top > answers.slots.size:
            return operation, OUTPUT_FULL
        answers.learned[operation] = state.learned[0]
        answers.recent_starts[operation + 1] = answers.recent_starts[operation]
        first = operations.first[operation]
        last = operations.last[operation]
        columns, values, bins = entries.columns[first:last], entries.values[first:last], entries.bins[first:last]
        ihomer_predict_row(
            state.hierarchy, scratch.hierarchy, columns, values, bins, labels, scratch.logits, scratch.own
        )
        if kind & PREDICT:
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
            leave_answer_out(answers, operation)
        if kind & LEARN:
            members = read_truth(operations, operation, labels, scratch.truth, scratch.members)
            complete = operations.complete[operation] != 0
            on = scratch.members[:members]
            ihomer_learn_row(
                state.hierarchy, scratch.hierarchy, columns, values, bins, scratch.truth, on, complete, labels
            )
            for i in range(members):
                state.positives[on[i]] += 1
            state.learned[0] += 1
            if scratch.hierarchy.change_count[0] > 0 or ihomer_due(state.hierarchy):
                return operation + 1, STRUCTURE_DUE
    return operations.kind.size, END
