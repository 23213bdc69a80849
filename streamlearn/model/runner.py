"""One run of a batch: truths become slots in order, and the learner walks the rows between two structural changes."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import numpy as np

from streamlearn.encoder.labels import LabelTable, ResolvedCorrection, ResolvedTruth
from streamlearn.encoder.row import EncodedRows
from streamlearn.learner.decode.decision_rules import CODES
from streamlearn.learner.entries import Entries
from streamlearn.learner.event_buffer import LearnerEvent
from streamlearn.learner.operations import Answers, Correction, OperationKind, Operations
from streamlearn.learner.stream_learner import StreamLearner
from streamlearn.model.measures import LABEL_SET, PAIRS, Measures
from streamlearn.model.micro_batch import Answered, MicroBatch, ModelEvent, Rows
from streamlearn.settings.rule import Rule

_NO_TRUTH = ResolvedTruth([], [], False, [], [], 0)


class _Segment:
    """Rows that are gathered to be walked in one go: the operation of each, its kind and its truth in slots."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.kinds: list[int] = []
        self.truths: list[ResolvedTruth] = []


class MicroBatchRunner:
    """Applies a batch's operations to the learner and scores what was answered.

    A label that joins or leaves is a structural change: the rows gathered so far are walked first, so that it happens
    at the same row however operations are cut into plans.
    """

    def __init__(
        self, labels: LabelTable, learner: StreamLearner, measures: Measures, encoded: EncodedRows, batch: MicroBatch
    ) -> None:
        self._labels = labels
        self._learner = learner
        self._measures = measures
        self._batch = batch
        self.rows = _place_rows(encoded, batch)
        self.refused = 0
        self.answered: list[Answered] = []
        self.stretch = [-1] * len(batch)
        self.place = [-1] * len(batch)
        self.events: list[ModelEvent] = []
        self._predicted_by: dict[int, int] = {}
        self._gathered = _Segment()
        if batch.second:
            # A second truth may be for an instance that was answered and learnt in one go.
            operations = enumerate(zip(batch.kinds, batch.places, strict=True))
            self._predicted_by = {place: number for number, (kind, place) in operations if kind & OperationKind.PREDICT}

    def run(self) -> None:
        """Apply all operations."""
        table, batch = self._labels, self._batch
        joins = not batch.frozen
        retires = joins and table.retire_after > 0
        for number, (kind, instance, truth) in enumerate(zip(batch.kinds, batch.places, batch.truths, strict=True)):
            if truth is None:
                self._predicted_by[instance] = number
                self._add(number, OperationKind.PREDICT, _NO_TRUTH)
                continue
            if kind == OperationKind.CORRECT:
                self._correct(number)
                continue
            if kind & OperationKind.PREDICT:
                known = table.known(truth, count=joins)
                if known is not None:
                    self._add(number, kind, known)
                    if retires:
                        self._retire(number)
                    continue
            if joins and not table.knows_all(truth) and table.may_join(truth):
                # The answer is given before the truth is known, so its names join after it.
                if kind & OperationKind.PREDICT:
                    self._add(number, OperationKind.PREDICT, _NO_TRUTH)
                    kind = OperationKind.LEARN
                self._flush()
            resolved = table.resolve(truth, join=joins)
            if resolved.joined:
                self._restructure(number, resolved)
            self.refused += resolved.refused
            self._add(number, kind, resolved)
            if retires:
                self._retire(number)
        self._flush()

    def _add(self, number: int, kind: int, truth: ResolvedTruth) -> None:
        gathered = self._gathered
        if self.stretch[number] < 0:
            self.stretch[number] = len(self.answered)
            self.place[number] = len(gathered.numbers)
        gathered.numbers.append(number)
        gathered.kinds.append(kind)
        gathered.truths.append(truth)

    def _correct(self, number: int) -> None:
        """Let a second truth for a row be learnt and scored by itself."""
        self._flush()
        batch, frozen = self._batch, self._batch.frozen
        after = batch.truths[number]
        assert after is not None
        second = batch.second[number]
        resolved = self._labels.correct(second.before, after, join=not frozen)
        if resolved.joined:
            self._restructure(number, resolved)
        self.refused += resolved.refused
        row = second.row
        if second.learned_by >= 0 and not frozen:
            row = self.answered[self.stretch[second.learned_by]].learned[self.place[second.learned_by]]
        entries = slice(int(self.rows.first[number]), int(self.rows.last[number]))
        correction = Correction(
            Entries(*(view[entries] for view in self.rows.entries)),
            *self._recent_of(number),
            self._truth_row(resolved.before, resolved.was_complete),
            self._truth_row(resolved.after, resolved.complete),
            resolved.was_complete,
            resolved.complete,
            row,
        )
        if not frozen:
            events = self._learner.correct(correction)
            self.events.extend(self._named(event, [number]) for event in events)
        self._score_correction(number, correction)

    def _truth_row(self, signs: dict[int, int], complete: bool) -> np.ndarray:
        row = np.full(self._learner.labels, 0 if complete else -1, np.int8)
        for slot, sign in signs.items():
            row[slot] = sign
        return row

    def _score_correction(self, number: int, correction: Correction) -> None:
        """Score the labels that became known; and the whole label set when it is known for the first time."""
        added = correction.added
        vacant = self._labels.vacant
        added[vacant] = -1
        slots = np.flatnonzero(added >= 0).astype(np.int32)
        members = np.flatnonzero(correction.after == 1).astype(np.int32)
        emitted = self._emitted(number)
        parts = [(slots, added[slots], PAIRS)] if slots.size else []
        parts += [(members, np.ones(members.size, np.int8), LABEL_SET)] if correction.completes else []
        for truth, signs, mode in parts:
            self._measures.score_rows(
                np.array([0, emitted.size], np.int64),
                emitted.astype(np.int32),
                np.array([0, truth.size], np.int64),
                truth,
                signs,
                np.array([mode], np.int8),
                np.array([self._labels.known_count], np.int32),
            )

    def _restructure(self, number: int, truth: ResolvedTruth | ResolvedCorrection) -> None:
        for slot in truth.replaced:
            self._learner.replace_label(slot)
            self._measures.replace(slot)
        self._learner.join_labels(self._labels.count)
        self._measures.grow(self._labels.count)
        row = self._learner.learned
        for slot in truth.joined:
            self._note_label(number, row, slot, 0.0, 1.0 / (row + 1), row + 1)

    def _retire(self, number: int) -> None:
        """Let labels go that were not true for too long, after the row gathered last."""
        table = self._labels
        slots = table.too_long_false()
        if not slots:
            return
        self._flush()
        row = self._learner.learned - 1
        for slot in slots:
            self._note_label(number, row, slot, table.supports[slot] / (row + 1), 0.0, table.retire_after)
            self._learner.replace_label(slot)
            self._measures.retire(slot)
        table.retire(slots)

    def _note_label(self, number: int, row: int, slot: int, before: float, after: float, rows: int) -> None:
        """Note that a label joined or retired; the share of rows in which it is true is the signal."""
        joins = after > before
        self.events.append(
            ModelEvent(
                op=number,
                row=row,
                kind="label",
                scope="label",
                name=self._labels.names[slot],
                signal="rate",
                direction="better" if joins else "worse",
                before=before,
                after=after,
                n=rows,
                since_row=max(0, row - rows + 1),
                action="none" if joins else "reset",
            )
        )

    def _flush(self) -> None:
        """Let the learner walk the rows gathered so far, then score what they learnt."""
        gathered = self._gathered
        if not gathered.numbers:
            return
        self._gathered = _Segment()
        operations = self._operations(gathered)
        answers, events = self._learner.apply(operations)
        names = self._labels.names
        slots = answers.slots[: answers.starts[-1]]
        self.answered.append(
            Answered(
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
        self._score(gathered, operations, answers)
        self.events.extend(self._named(event, gathered.numbers) for event in events)

    def _operations(self, gathered: _Segment) -> Operations:
        batch, rows = self._batch, self.rows
        count = len(gathered.numbers)
        numbers = np.array(gathered.numbers, np.int64)
        kinds = np.array(gathered.kinds, np.uint8)
        truth_starts = np.zeros(count + 1, np.int64)
        truths = gathered.truths
        np.cumsum([len(truth.slots) for truth in truths], out=truth_starts[1:])
        rule, rule_count, rule_threshold = _coded(batch.rule)
        operations = Operations(
            kinds & np.uint8(OperationKind.PREDICT) if batch.frozen else kinds,
            rows.first[numbers],
            rows.last[numbers],
            rows.entries,
            truth_starts,
            _joined((truth.slots for truth in truths), int(truth_starts[-1]), np.int32),
            _joined((truth.signs for truth in truths), int(truth_starts[-1]), np.int8),
            np.array([truth.complete for truth in truths], np.uint8),
            np.full(count, rule, np.int64),
            np.full(count, rule_count, np.int64),
            np.full(count, rule_threshold),
            *self._recent(gathered, kinds),
        )
        for place, number in enumerate(gathered.numbers if batch.has_rules else ()):
            own = batch.rules[number]
            if own is not None:
                coded = _coded(own)
                operations.rule[place], operations.rule_count[place], operations.rule_threshold[place] = coded
        return operations

    def _recent(self, gathered: _Segment, kinds: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return what late truths' answers knew of recent label sets, as `Operations` has it; empty for other rows."""
        recent_of = np.full(len(gathered.numbers), -1, np.int64)
        starts = np.zeros(len(gathered.numbers) + 1, np.int64)
        columns: list[np.ndarray] = [np.zeros(0, np.int32)]
        values: list[np.ndarray] = [np.zeros(0, np.float32)]
        late = np.flatnonzero(kinds == OperationKind.LEARN).tolist()
        for place in late:
            number = gathered.numbers[place]
            predicted_by = self._predicted_by.get(self._batch.places[number], -1)
            if predicted_by >= 0 and self.stretch[predicted_by] == len(self.answered):
                # Its answer is given in the same walk.
                recent_of[place] = self.place[predicted_by]
                continue
            own_columns, own_values = self._recent_of(number)
            columns.append(own_columns)
            values.append(own_values)
            starts[place + 1] = own_columns.size
        np.cumsum(starts, out=starts)
        return recent_of, starts, np.concatenate(columns), np.concatenate(values)

    def _recent_of(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        instance = self._batch.places[number]
        if instance < 0:
            stored = self._batch.late[-instance - 1]
            return stored.recent_columns, stored.recent_values
        predicted_by = self._predicted_by.get(instance, number)
        answered, row = self.answered[self.stretch[predicted_by]], self.place[predicted_by]
        recent = slice(int(answered.recent_starts[row]), int(answered.recent_starts[row + 1]))
        return answered.recent_columns[recent], answered.recent_values[recent]

    def _score(self, gathered: _Segment, operations: Operations, answers: Answers) -> None:
        """Give the measures every row whose truth is there, beside what was answered."""
        kinds = np.array(gathered.kinds, np.uint8)
        places = np.flatnonzero(kinds & OperationKind.LEARN)
        if not places.size:
            return
        if (kinds[places] & OperationKind.PREDICT).all():
            sizes = answers.chosen[places]
            emitted_starts = np.zeros(places.size + 1, np.int64)
            np.cumsum(sizes, out=emitted_starts[1:])
            skipped = answers.starts[places] - emitted_starts[:-1]
            emitted = answers.slots[np.arange(emitted_starts[-1]) + np.repeat(skipped, sizes)]
        else:
            parts = [self._emitted(gathered.numbers[place]) for place in places.tolist()]
            emitted_starts = np.zeros(places.size + 1, np.int64)
            np.cumsum([slots.size for slots in parts], out=emitted_starts[1:])
            emitted = np.concatenate(parts).astype(np.int32)
        # Rows that only predict have no truth, so the truth's ranges stay as they are.
        truth_starts = np.concatenate([operations.truth_starts[:1], operations.truth_starts[1:][places]])
        self._measures.score_rows(
            emitted_starts,
            emitted,
            truth_starts,
            operations.truth_slots,
            operations.truth_signs,
            operations.complete[places].astype(np.int8),
            np.full(places.size, self._labels.known_count, np.int32),
        )

    def _emitted(self, number: int) -> np.ndarray:
        """Return the slots answered for an operation's instance that still belong to the same labels."""
        instance = self._batch.places[number]
        if instance < 0:
            stored = self._batch.late[-instance - 1]
            slots, then = stored.slots, stored.generations.tolist()
        else:
            number = self._predicted_by.get(instance, number)
            answered, place = self.answered[self.stretch[number]], self.place[number]
            start = answered.starts[place]
            slots = answered.slots[start : start + answered.chosen[place]]
            if answered.generations is self._labels.generations:
                return slots
            then = [answered.generations[slot] for slot in slots.tolist()]
        now = [self._labels.generations[slot] for slot in slots.tolist()]
        return slots[np.array(then, np.int64) == np.array(now, np.int64)]

    def _named(self, event: LearnerEvent, numbers: list[int]) -> ModelEvent:
        name = ""
        if event.scope != "model" and event.slot < self._labels.count:
            others = event.size - 1
            name = (self._labels.names[event.slot] or "a retired label") + (f" and {others} more" if others else "")
        return ModelEvent(
            op=numbers[event.operation],
            row=event.row,
            kind=event.kind,
            scope=event.scope,
            name=name,
            signal=event.signal,
            direction=event.direction,
            before=event.before,
            after=event.after,
            n=event.rows,
            since_row=event.since_row,
            action=event.action,
        )


def _joined(parts: Iterable[list[int]], count: int, dtype: type) -> np.ndarray:
    return np.fromiter(itertools.chain.from_iterable(parts), dtype, count)


def _coded(rule: Rule) -> tuple[int, int, float]:
    return CODES[rule.kind], rule.count, rule.threshold


def _place_rows(encoded: EncodedRows, batch: MicroBatch) -> Rows:
    """Put the encoded instances and the stored ones behind each other, and say where each operation's entries lie."""
    late = batch.late
    sizes = np.array([instance.columns.size for instance in late], np.int64)
    late_starts = np.zeros(sizes.size + 1, np.int64)
    np.cumsum(sizes, out=late_starts[1:])
    starts = np.concatenate([encoded.starts[:-1], encoded.columns.size + late_starts])
    place = np.array(batch.places, np.int64)
    place = np.where(place >= 0, place, encoded.starts.size - 2 - place)
    entries = Entries(encoded.columns, encoded.values, encoded.rarity_weighted, encoded.bins)
    if late:
        views = (
            np.concatenate([view, *(getattr(instance, name) for instance in late)])
            for name, view in zip(Entries._fields, entries, strict=True)
        )
        entries = Entries(*views)
    return Rows(entries, starts[place], starts[place + 1])
