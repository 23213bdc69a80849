"""Applies a micro-batch: names of truths become slots in order, and the learner takes the rows in segments.

A label that joins or leaves is a structural change. The rows before it are applied first, so that it happens at the
same row however operations are cut into batches.
"""

from __future__ import annotations

import numpy as np

from streamlearn.encoder.labels import LabelTable, ResolvedCorrection, ResolvedTruth
from streamlearn.encoder.row import EncodedRows
from streamlearn.learner.operations import CORRECT, LEARN, PREDICT, Correction
from streamlearn.learner.stream_learner import StreamLearner
from streamlearn.model.answers import BatchAnswers, SegmentAnswers
from streamlearn.model.batch_rows import batch_rows
from streamlearn.model.measures import Measures
from streamlearn.model.micro_batch import MicroBatch
from streamlearn.model.model_event import ModelEvent, label_event, name_event
from streamlearn.model.prior_answers import PriorAnswers
from streamlearn.model.scoring import score_correction, score_segment
from streamlearn.model.segment import Segment

_NO_TRUTH = ResolvedTruth([], [], False, [], [], 0)


class MicroBatchRunner:
    """Applies a batch's operations to the learner and scores what was answered.

    Attributes
    ----------
    answers, rows, events:
        What `MicroBatchResult` is made of.
    refused:
        Names of labels for which there was no room.
    """

    def __init__(
        self, labels: LabelTable, learner: StreamLearner, measures: Measures, encoded: EncodedRows, batch: MicroBatch
    ) -> None:
        self._labels = labels
        self._learner = learner
        self._measures = measures
        self._batch = batch
        self.rows = batch_rows(encoded, batch)
        self.answers = BatchAnswers(len(batch))
        self.events: list[ModelEvent] = []
        self.refused = 0
        self._prior = PriorAnswers(batch, self.answers, labels)
        self._segment = Segment()

    def run(self) -> None:
        """Apply all operations."""
        table, batch = self._labels, self._batch
        joins = not batch.frozen
        retires = joins and table.retire_after > 0
        for op, (kind, truth) in enumerate(zip(batch.kinds, batch.truths, strict=True)):
            if truth is None:
                self._prior.note_prediction(op)
                self._add(op, PREDICT, _NO_TRUTH)
                continue
            if kind == CORRECT:
                self._correct(op)
                continue
            if kind & PREDICT:
                known = table.resolve_known(truth, count=joins)
                if known is not None:
                    self._add(op, kind, known)
                    if retires:
                        self._retire(op)
                    continue
            if joins and not table.knows_all(truth) and table.may_join(truth):
                # The answer is given before the truth is known, so its names join after it.
                if kind & PREDICT:
                    self._add(op, PREDICT, _NO_TRUTH)
                    kind = LEARN
                self._flush()
            resolved = table.resolve(truth, join=joins)
            if resolved.joined:
                self._join(op, resolved)
            self.refused += resolved.refused
            self._add(op, kind, resolved)
            if retires:
                self._retire(op)
        self._flush()

    def _add(self, op: int, kind: int, truth: ResolvedTruth) -> None:
        self.answers.expect(op, len(self._segment))
        self._segment.add(op, kind, truth)

    def _flush(self) -> None:
        """Apply the segment's rows, score those with a truth, and begin another segment."""
        segment = self._segment
        if not len(segment):
            return
        self._segment = Segment()
        operations = segment.operations(self._batch, self.rows, self._prior)
        answers, events = self._learner.apply(operations)
        names = self._labels.names
        slots = answers.slots[: answers.starts[-1]]
        self.answers.segments.append(
            SegmentAnswers(
                [names[slot] for slot in slots.tolist()],
                self._labels.generations,
                answers.starts.tolist(),
                answers.scores[: slots.size].tolist(),
                answers.chosen.tolist(),
                answers.learned.tolist(),
                slots,
                answers.logits[: slots.size],
                answers.recent_starts,
                answers.recent_columns,
                answers.recent_values,
            )
        )
        score_segment(self._measures, self._labels, self._prior, segment, operations, answers)
        self.events.extend(name_event(event, segment.ops[event.operation], self._labels) for event in events)

    def _correct(self, op: int) -> None:
        """Learn and score a second truth for a row, alone."""
        self._flush()
        batch, frozen = self._batch, self._batch.frozen
        after = batch.truths[op]
        assert after is not None
        second = batch.second[op]
        resolved = self._labels.correct(second.before, after, join=not frozen)
        if resolved.joined:
            self._join(op, resolved)
        self.refused += resolved.refused
        row = second.row
        if second.learned_by >= 0 and not frozen:
            answered, answered_row = self.answers.of(second.learned_by)
            row = answered.learned[answered_row]
        correction = Correction(
            self.rows.of(op),
            *self._prior.recent(op),
            self._truth_row(resolved.before, resolved.was_complete),
            self._truth_row(resolved.after, resolved.complete),
            resolved.was_complete,
            resolved.complete,
            row,
        )
        if not frozen:
            events = self._learner.correct(correction)
            self.events.extend(name_event(event, op, self._labels) for event in events)
        score_correction(self._measures, self._labels, self._prior.label_set(op), correction)

    def _truth_row(self, signs: dict[int, int], complete: bool) -> np.ndarray:
        """Return int8[labels]: a truth's sign of each slot, 0 for others if it is complete, else -1."""
        row = np.full(self._learner.labels, 0 if complete else -1, np.int8)
        for slot, sign in signs.items():
            row[slot] = sign
        return row

    def _join(self, op: int, truth: ResolvedTruth | ResolvedCorrection) -> None:
        """Add the labels that a truth mentions first; the rows before it are applied."""
        for slot in truth.replaced:
            self._learner.replace_label(slot)
            self._measures.replace(slot)
        self._learner.join_labels(self._labels.count)
        self._measures.grow(self._labels.count)
        row = self._learner.learned
        for slot in truth.joined:
            self.events.append(label_event(op, row, self._labels.names[slot], 0.0, 1.0 / (row + 1), row + 1))

    def _retire(self, op: int) -> None:
        """Retire the labels that were not true for too long, after the row added last."""
        table = self._labels
        slots = table.slots_to_retire()
        if not slots:
            return
        self._flush()
        row = self._learner.learned - 1
        for slot in slots:
            share = table.supports[slot] / (row + 1)
            self.events.append(label_event(op, row, table.names[slot], share, 0.0, table.retire_after))
            self._learner.replace_label(slot)
            self._measures.retire(slot)
        table.retire(slots)
