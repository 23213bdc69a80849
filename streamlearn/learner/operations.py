"""What a learner is asked, row by row, and what it answers: the arrays that every step kernel reads and writes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.learner.entries import Entries
from streamlearn.learner.scores import best_labels, probability

PREDICT = 1
LEARN = 2
CORRECT = 4
"""Never walked: a second truth for a row goes to the learner by itself."""

END = 0
STRUCTURE_DUE = 1
OUTPUT_FULL = 2
EVENTS_FULL = 3


class Operations(NamedTuple):
    """Rows to walk, in order.

    ``kind`` uint8[n] of PREDICT and LEARN; the instance is ``entries`` from ``first`` to ``last`` int64[n]; the truth
    is ``truth_slots`` int32 (ascending) and ``truth_signs`` int8 from ``truth_starts`` int64[n + 1], ``complete``
    uint8[n]; ``rule``, ``rule_count`` int64[n] and ``rule_threshold`` float64[n] as in `decode.label_set_choice`. A row
    that only learns brings what its answer knew of recent label sets: ``recent_columns`` int32 and ``recent_values``
    float32 from ``recent_starts`` int64[n + 1]; or takes it from the answer of the row ``recent_of`` int64[n] of this
    walk, unless
    that is -1.
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
    """Results, a range per operation: ``starts`` int64[n + 1] into ``slots`` int32, ``scores`` float64 and
    ``logits`` float32, which the scores are rounded from. The first ``chosen`` int64[n] of a range are the answer's
    label set, best first; the best other labels follow. ``learned`` int64[n] counts the rows learnt before the
    operation. What a row that only predicts knew of recent label sets is in ``recent_columns`` int32 and
    ``recent_values`` float32 from ``recent_starts`` int64[n + 1]. ``all_logits`` float32[n, labels] are those of all
    labels, of rows that predict; float32[0, 0] where nobody asks for them.
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


class Correction(NamedTuple):
    """What is known of a learnt row before and after another truth for it.

    ``entries`` are the instance's own; ``recent_columns`` int32 and ``recent_values`` float32 what its answer knew of
    recent label sets; ``before`` and ``after`` int8[labels] the truths, 1, 0 or -1 (unknown), ``was_complete`` and
    ``complete`` whether they say all labels; ``row`` the learnt row, -1 when it was not learnt.
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
        """Whether all labels are known for the first time."""
        return self.complete and not self.was_complete

    @property
    def changed(self) -> np.ndarray:
        """int8[labels], the truth of labels that became known or were corrected, -1 for all others."""
        return np.where((self.after >= 0) & (self.after != self.before), self.after, -1).astype(np.int8)

    @property
    def added(self) -> np.ndarray:
        """int8[labels], the truth of labels that became known, -1 for all others."""
        return np.where(self.before < 0, self.after, -1).astype(np.int8)


def members_of(truth: np.ndarray) -> np.ndarray:
    """Return the positives of a truth int8[labels], int32 ascending."""
    return np.flatnonzero(truth == 1).astype(np.int32)


@kernel
def read_truth(
    operations: Operations, operation: int, labels: int, truth: np.ndarray, members: np.ndarray
) -> int | np.int64:
    """Write an operation's truth to ``truth`` int8[labels] (1, 0, -1 unknown) and the labels that are on to ``members``
    int32, ascending; return how many these are."""
    unknown = np.int8(0) if operations.complete[operation] else np.int8(-1)
    for label in range(labels):
        truth[label] = unknown
    count = 0
    for place in range(operations.truth_starts[operation], operations.truth_starts[operation + 1]):
        slot = operations.truth_slots[place]
        truth[slot] = operations.truth_signs[place]
        if operations.truth_signs[place] == 1:
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
    """Write the labels that are ``chosen`` uint8[labels], then the best others among the ``allowed`` uint8[labels].

    ``logits`` float32[labels] order and score them. ``allowed`` becomes 0 for labels that are chosen.
    """
    start = answers.starts[operation]
    count = best_labels(logits, labels, chosen, labels, answers.slots[start:])
    for label in range(labels):
        if chosen[label]:
            allowed[label] = 0
    others = best_labels(logits, labels, allowed, scores_top, answers.slots[start + count :])
    end = start + count + others
    for place in range(start, end):
        answers.logits[place] = logits[answers.slots[place]]
        answers.scores[place] = probability(answers.logits[place])
    answers.chosen[operation] = count
    answers.starts[operation + 1] = end
    if answers.all_logits.shape[0] > 0:
        for label in range(labels):
            answers.all_logits[operation, label] = logits[label]


@kernel
def leave_answer_out(answers: Answers, operation: int) -> None:
    """Give an operation that only learns an empty answer."""
    answers.chosen[operation] = 0
    answers.starts[operation + 1] = answers.starts[operation]
