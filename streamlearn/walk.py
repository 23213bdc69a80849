"""One run of a plan: truths become slots in order, and the learner walks the rows between two structural changes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from streamlearn.encoder.labels import LabelTable
from streamlearn.encoder.row import EncodedRows
from streamlearn.learner.decode import rules
from streamlearn.learner.model import Learner, LearnerEvent
from streamlearn.learner.step import LEARN, PREDICT, Answers, Operations
from streamlearn.plan import Answer, ModelEvent, Plan, Rows
from streamlearn.telemetry.measures import Measures

_RULE_CODES = {
    "subset": rules.SUBSET,
    "hamming": rules.HAMMING,
    "top_k": rules.TOP_K,
    "threshold": rules.THRESHOLD,
}


class _Entry(NamedTuple):
    """A row of the segment that is being gathered."""

    operation: int
    kind: int
    slots: list[int]
    signs: list[int]
    complete: bool


class Walk:
    """Applies a plan's operations to the learner and scores what was answered.

    A label that joins or leaves is a structural change: the rows gathered so far are walked first, so that it happens
    at the same row however operations are cut into plans.
    """

    def __init__(
        self, labels: LabelTable, learner: Learner, measures: Measures, encoded: EncodedRows, plan: Plan
    ) -> None:
        self._labels = labels
        self._learner = learner
        self._measures = measures
        self._plan = plan
        self.rows = _place_rows(encoded, plan)
        self.refused = 0
        self.answers: list[Answer] = [_NO_ANSWER] * len(plan.operations)
        self.events: list[ModelEvent] = []
        self._predicted_by: dict[int, int] = {}
        self._segment: list[_Entry] = []

    def go(self) -> None:
        """Apply all operations."""
        table = self._labels
        segment = self._segment
        for number, operation in enumerate(self._plan.operations):
            kind = operation.kind
            truth = operation.truth
            if kind & PREDICT:
                self._predicted_by[operation.instance] = number
            if truth is None:
                segment.append(_Entry(number, PREDICT, [], [], False))
                continue
            joins = not self._plan.frozen
            if joins and not table.knows_all(truth):
                # The answer is given before the truth is known, so its names join after it.
                if kind & PREDICT:
                    segment.append(_Entry(number, PREDICT, [], [], False))
                    kind = LEARN
                self._flush()
            resolved = table.resolve(truth, join=joins)
            if resolved.joined:
                self._restructure(resolved.replaced)
            self.refused += resolved.refused
            segment.append(_Entry(number, kind, resolved.slots, resolved.signs, resolved.complete))
        self._flush()

    def _restructure(self, replaced: list[int]) -> None:
        for slot in replaced:
            self._learner.replace_label(slot)
            self._measures.retire(slot)
        self._learner.join_labels(self._labels.count)
        self._measures.grow(self._labels.count)

    def _flush(self) -> None:
        """Let the learner walk the rows gathered so far, then score what they learnt."""
        segment = self._segment[:]
        self._segment.clear()
        if not segment:
            return
        plan, rows = self._plan, self.rows
        numbers = np.array([entry.operation for entry in segment], np.int64)
        kinds = np.array([entry.kind for entry in segment], np.uint8)
        truth_starts = np.zeros(len(segment) + 1, np.int64)
        np.cumsum([len(entry.slots) for entry in segment], out=truth_starts[1:])
        rule_of = [plan.operations[entry.operation].rule for entry in segment]
        operations = Operations(
            kinds & np.uint8(PREDICT) if plan.frozen else kinds,
            rows.first[numbers],
            rows.last[numbers],
            rows.columns,
            rows.values,
            truth_starts,
            np.array([slot for entry in segment for slot in entry.slots], np.int32),
            np.array([sign for entry in segment for sign in entry.signs], np.int8),
            np.array([entry.complete for entry in segment], np.uint8),
            np.array([_RULE_CODES[rule.kind] for rule in rule_of], np.int64),
            np.array([rule.count for rule in rule_of], np.int64),
            np.array([rule.threshold for rule in rule_of], np.float64),
        )
        answers, events = self._learner.walk(operations)
        self._keep_answers(segment, answers)
        self._score(segment, operations)
        self.events.extend(self._named(event, segment) for event in events)

    def _keep_answers(self, segment: list[_Entry], answers: Answers) -> None:
        names, generations = self._labels.names, self._labels.generations
        starts = answers.starts.tolist()
        chosen = answers.chosen.tolist()
        learned = answers.learned.tolist()
        for place, entry in enumerate(segment):
            if entry.kind & PREDICT or not self._plan.operations[entry.operation].kind & PREDICT:
                entries = slice(starts[place], starts[place + 1])
                self.answers[entry.operation] = Answer(
                    names,
                    generations,
                    answers.slots[entries],
                    answers.scores[entries],
                    answers.logits[entries],
                    chosen[place],
                    learned[place],
                )

    def _score(self, segment: list[_Entry], operations: Operations) -> None:
        """Give the measures every row whose truth is there, beside what was answered."""
        places = [place for place, entry in enumerate(segment) if entry.kind & LEARN]
        if not places:
            return
        emitted = [self._emitted(segment[place].operation) for place in places]
        emitted_starts = np.zeros(len(places) + 1, np.int64)
        np.cumsum([slots.size for slots in emitted], out=emitted_starts[1:])
        # Rows that only predict have no truth, so the truth's ranges stay as they are.
        truth_starts = np.concatenate([operations.truth_starts[:1], operations.truth_starts[1:][places]])
        self._measures.score_rows(
            emitted_starts,
            np.concatenate(emitted).astype(np.int32),
            truth_starts,
            operations.truth_slots,
            operations.truth_signs,
            operations.complete[places].astype(np.int8),
            np.full(len(places), self._labels.count, np.int32),
        )

    def _emitted(self, number: int) -> np.ndarray:
        """Return the slots answered for an operation's instance that still belong to the same labels."""
        operation = self._plan.operations[number]
        if operation.instance < 0:
            stored = self._plan.late[-operation.instance - 1]
            now = [self._labels.generations[slot] for slot in stored.slots.tolist()]
            return stored.slots[stored.generations == np.array(now, np.int64)]
        answer = self.answers[self._predicted_by[operation.instance]]
        slots = answer.slots[: answer.chosen]
        if answer.generations is self._labels.generations:
            return slots
        kept = [answer.generations[slot] == self._labels.generations[slot] for slot in slots.tolist()]
        return slots[np.array(kept, np.bool_)]

    def _named(self, event: LearnerEvent, segment: list[_Entry]) -> ModelEvent:
        name = ""
        if event.cluster >= 0 and event.slot < self._labels.count:
            others = event.size - 1
            name = self._labels.names[event.slot] + (f" and {others} more" if others else "")
        return ModelEvent(
            op=segment[event.operation].operation,
            row=event.row,
            kind=event.kind,
            scope="cluster" if event.cluster >= 0 else "model",
            name=name,
            signal=event.signal,
            direction=event.direction,
            before=event.before,
            after=event.after,
            n=event.count,
            since_row=event.since_row,
            action=event.action,
        )


_NO_ANSWER = Answer([], [], np.zeros(0, np.int32), np.zeros(0), np.zeros(0, np.float32), 0, 0)


def _place_rows(encoded: EncodedRows, plan: Plan) -> Rows:
    """Put the encoded instances and the stored ones behind each other, and say where each operation's entries lie."""
    late = plan.late
    sizes = np.array([instance.columns.size for instance in late], np.int64)
    late_starts = np.zeros(sizes.size + 1, np.int64)
    np.cumsum(sizes, out=late_starts[1:])
    starts = np.concatenate([encoded.starts[:-1], encoded.columns.size + late_starts])
    place = np.array([operation.instance for operation in plan.operations], np.int64)
    place = np.where(place >= 0, place, encoded.starts.size - 2 - place)
    if not late:
        columns, values = encoded.columns, encoded.values
    else:
        columns = np.concatenate([encoded.columns, *(instance.columns for instance in late)])
        values = np.concatenate([encoded.values, *(instance.values for instance in late)])
    return Rows(columns, values, starts[place], starts[place + 1])
