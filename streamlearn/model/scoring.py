"""Scoring: hands the measures each truth beside what was answered for its instance."""

from __future__ import annotations

import numpy as np

from streamlearn.encoder.labels import LabelTable
from streamlearn.learner.operations import Answers, Correction, OperationKind, Operations
from streamlearn.model.measures import Measures, Scored
from streamlearn.model.prior_answers import PriorAnswers
from streamlearn.model.segment import Segment


def score_segment(
    measures: Measures,
    labels: LabelTable,
    prior: PriorAnswers,
    segment: Segment,
    operations: Operations,
    answers: Answers,
) -> None:
    """Score every row of a segment that has a truth."""
    kinds = np.array(segment.kinds, np.uint8)
    rows = np.flatnonzero(kinds & OperationKind.LEARN)
    if not rows.size:
        return
    if (kinds[rows] & OperationKind.PREDICT).all():
        sizes = answers.chosen[rows]
        answered_starts = np.zeros(rows.size + 1, np.int64)
        np.cumsum(sizes, out=answered_starts[1:])
        skipped = answers.starts[rows] - answered_starts[:-1]
        answered = answers.slots[np.arange(answered_starts[-1]) + np.repeat(skipped, sizes)]
    else:
        parts = [prior.label_set(segment.ops[row]) for row in rows.tolist()]
        answered_starts = np.zeros(rows.size + 1, np.int64)
        np.cumsum([slots.size for slots in parts], out=answered_starts[1:])
        answered = np.concatenate(parts).astype(np.int32)
    # Rows that only predict have no truth, so the truth's ranges stay as they are.
    truth_starts = np.concatenate([operations.truth_starts[:1], operations.truth_starts[1:][rows]])
    measures.score_rows(
        answered_starts,
        answered,
        truth_starts,
        operations.truth_slots,
        operations.truth_signs,
        operations.complete[rows].astype(np.int8),
        np.full(rows.size, labels.known_count, np.int32),
    )


def score_correction(measures: Measures, labels: LabelTable, answered: np.ndarray, correction: Correction) -> None:
    """Score the labels that became known; and the whole label set when it is known for the first time.

    ``answered`` has the slots of the answer.
    """
    added = correction.added
    added[labels.vacant] = -1
    slots = np.flatnonzero(added >= 0).astype(np.int32)
    members = np.flatnonzero(correction.after == 1).astype(np.int32)
    parts = [(slots, added[slots], Scored.PAIRS)] if slots.size else []
    parts += [(members, np.ones(members.size, np.int8), Scored.LABEL_SET)] if correction.completes else []
    for truth, signs, mode in parts:
        measures.score_rows(
            np.array([0, answered.size], np.int64),
            answered.astype(np.int32),
            np.array([0, truth.size], np.int64),
            truth,
            signs,
            np.array([mode], np.int8),
            np.array([labels.known_count], np.int32),
        )
