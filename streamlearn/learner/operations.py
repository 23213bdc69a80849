"""Arrays of a micro-batch: the operations given to a step kernel, and the answers that it writes."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.learner.entries import Entries
from streamlearn.learner.scores import best_labels, probability


class OperationKind(IntEnum):
    """Bits of an operation's kind; PREDICT | LEARN predicts a row, then learns it."""

    PREDICT = 1  # answer the row
    LEARN = 2  # learn the row's truth
    CORRECT = 4  # learn a later truth of a learnt row; not part of `Operations`, see `Correction`


# As plain integers for Python code that runs once per row: reading a member of an enum takes 0.1 us in Python 3.11.
PREDICT, LEARN, CORRECT = map(int, OperationKind)


class StopReason(IntEnum):
    """Why a step kernel returned."""

    END = 0  # all operations were applied
    STRUCTURE_DUE = 1  # the last operation made structural work due
    OUTPUT_FULL = 2  # the answers have no capacity for the next operation
    EVENTS_FULL = 3  # the event buffer has no capacity for the next operation


class Operations(NamedTuple):
    """n operations in the order in which they are applied.

    An operation that only learns gets the recent label sets that its answer was given with: from the answer of an
    earlier operation of the same arrays, or from ``recent_columns`` and ``recent_values``.

    Attributes
    ----------
    kind
        uint8[n], bits of `OperationKind`: PREDICT, LEARN or both.
    first, last
        int64[n], the range of the instance in ``entries``, ``last`` excluded.
    entries
        The instances.
    truth_starts
        int64[n + 1], the range of each truth in ``truth_slots`` and ``truth_signs``.
    truth_slots
        int32, label slots, ascending within a truth.
    truth_signs
        int8, 1 or 0.
    complete
        uint8[n], 1 if all labels without an entry are known to be 0.
    rule, rule_count
        int64[n], the decision rule and its count, as in `decode.label_set_choice`.
    rule_threshold
        float64[n], the rule's threshold.
    recent_of
        int64[n], the operation whose answer has the recent label sets, -1 if they are given below.
    recent_starts
        int64[n + 1], the range of each operation in ``recent_columns`` and ``recent_values``.
    recent_columns, recent_values
        int32 and float32, features of recent label sets (`experts.label_history`).
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
    recent_of: np.ndarray
    recent_starts: np.ndarray
    recent_columns: np.ndarray
    recent_values: np.ndarray


class Answers(NamedTuple):
    """Answers of n operations.

    Attributes
    ----------
    starts
        int64[n + 1], the range of each answer in ``slots``, ``scores`` and ``logits``.
    slots
        int32, label slots: first the label set of the answer, best first, then the best other labels.
    scores
        float64, probabilities, rounded to six decimals.
    logits
        float32, what the scores are computed from.
    chosen
        int64[n], size of the answer's label set.
    learned
        int64[n], rows learnt before the operation.
    recent_starts
        int64[n + 1], the range of each operation in ``recent_columns`` and ``recent_values``.
    recent_columns, recent_values
        int32 and float32, features of recent label sets, of operations that only predict.
    all_logits
        float32[n, labels], the logits of all labels, of operations that predict; float32[0, 0] without an observer.
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
    all_logits: np.ndarray


class CorrectionArrays(NamedTuple):
    """A `Correction` as kernels read it.

    Attributes
    ----------
    entries
        The instance.
    changed
        int8[labels], the truth of labels that became known or got another value, else -1.
    added
        int8[labels], the truth of labels that became known, else -1.
    added_members
        int32, slots of the labels that became known as 1, ascending.
    truth
        int8[labels], the later truth: 1, 0 or -1 (unknown).
    members
        int32, slots of the labels that are 1 in the later truth, ascending.
    complete
        1 if the later truth is complete, else 0.
    completes
        1 if the later truth is complete and the earlier one was not, else 0.
    row
        The learnt row, -1 if it was not learnt.
    """

    entries: Entries
    changed: np.ndarray
    added: np.ndarray
    added_members: np.ndarray
    truth: np.ndarray
    members: np.ndarray
    complete: int
    completes: int
    row: int


class Correction(NamedTuple):
    """A later truth of a learnt row, with the earlier one.

    Attributes
    ----------
    entries
        The instance alone.
    recent_columns, recent_values
        int32 and float32, the features of recent label sets that its answer was given with.
    before, after
        int8[labels], the earlier and the later truth: 1, 0 or -1 (unknown).
    was_complete, complete
        Whether the earlier and the later truth are complete.
    row
        The learnt row, -1 if it was not learnt.
    """

    entries: Entries
    recent_columns: np.ndarray
    recent_values: np.ndarray
    before: np.ndarray
    after: np.ndarray
    was_complete: bool
    complete: bool
    row: int

    @property
    def completes(self) -> bool:
        """Whether all labels become known."""
        return self.complete and not self.was_complete

    @property
    def changed(self) -> np.ndarray:
        """int8[labels], the truth of labels that became known or got another value, else -1."""
        return np.where((self.after >= 0) & (self.after != self.before), self.after, -1).astype(np.int8)

    @property
    def added(self) -> np.ndarray:
        """int8[labels], the truth of labels that became known, else -1."""
        return np.where(self.before < 0, self.after, -1).astype(np.int8)

    def arrays(self) -> CorrectionArrays:
        """Return the correction as kernels read it."""
        added = self.added
        return CorrectionArrays(
            entries=self.entries,
            changed=self.changed,
            added=added,
            added_members=_positives(added),
            truth=self.after,
            members=_positives(self.after),
            complete=int(self.complete),
            completes=int(self.completes),
            row=int(self.row),
        )


def _positives(truth: np.ndarray) -> np.ndarray:
    return np.flatnonzero(truth == 1).astype(np.int32)


@kernel
def read_truth(
    operations: Operations, operation: int, labels: int, truth: np.ndarray, members: np.ndarray
) -> int | np.int64:
    """Copy the truth of an operation and return its number of positive labels.

    ``truth`` int8[labels] receives 1, 0 or -1 (unknown), ``members`` int32 the positive labels, ascending.
    """
    unknown = np.int8(0) if operations.complete[operation] else np.int8(-1)
    for label in range(labels):
        truth[label] = unknown
    count = 0
    for entry in range(operations.truth_starts[operation], operations.truth_starts[operation + 1]):
        slot = operations.truth_slots[entry]
        truth[slot] = operations.truth_signs[entry]
        if operations.truth_signs[entry] == 1:
            members[count] = slot
            count += 1
    return count


@kernel
def write_answer(
    answers: Answers,
    operation: int,
    logits: np.ndarray,
    labels: int,
    chosen: np.ndarray,
    allowed: np.ndarray,
    scores_top: int,
) -> None:
    """Write the ``chosen`` labels uint8[labels], then the best others among the ``allowed`` labels uint8[labels].

    ``logits`` float32[labels] order and score them. ``allowed`` is set to 0 for the chosen labels.
    """
    start = answers.starts[operation]
    count = best_labels(logits, labels, chosen, labels, answers.slots[start:])
    for label in range(labels):
        if chosen[label]:
            allowed[label] = 0
    others = best_labels(logits, labels, allowed, scores_top, answers.slots[start + count :])
    end = start + count + others
    for entry in range(start, end):
        answers.logits[entry] = logits[answers.slots[entry]]
        answers.scores[entry] = probability(answers.logits[entry])
    answers.chosen[operation] = count
    answers.starts[operation + 1] = end
    if answers.all_logits.shape[0] > 0:
        for label in range(labels):
            answers.all_logits[operation, label] = logits[label]


@kernel
def write_empty_answer(answers: Answers, operation: int) -> None:
    """Write an empty answer, for an operation that only learns."""
    answers.chosen[operation] = 0
    answers.starts[operation + 1] = answers.starts[operation]
