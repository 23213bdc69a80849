"""A task: one model with the instances that wait for their truth, and the positions up to which it has applied records.

Its state only moves forward. `Batch` takes records in applied order; what it gives depends on the records, the
journalled clock and the state alone, so a replay gives the same.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from streamlearn.codec.decode import Truth, decode_instance, decode_label
from streamlearn.codec.encode import encode_event, encode_prediction
from streamlearn.engine.journal import records as journal
from streamlearn.engine.tasks.dead_letter_records import dead_letter, was_replayed
from streamlearn.engine.tasks.event_records import event_record
from streamlearn.engine.tasks.journalled_settings import journalled_settings_of
from streamlearn.engine.waiting.pending import EXPIRED, Entry, Pending
from streamlearn.engine.waiting.truth_updates import merged, silent, truth_of
from streamlearn.errors import RecordError
from streamlearn.model.batch_result import MicroBatchResult
from streamlearn.model.stored_instance import StoredInstance
from streamlearn.model.stream_model import StreamModel
from streamlearn.settings.rule import Rule
from streamlearn.settings.settings import Settings
from streamlearn.sink.base import OutputRecord
from streamlearn.source.base import Committed, RawRecord, TopicPartition
from streamlearn.state.array_names import TaskPart, join_parts
from streamlearn.state.lazy_arrays import split_parts

_INSTANCE = b"i"
_LABEL = b"l"
_WELL_FORMED = frozenset(("duplicate_label", "label_expired", "unknown_instance"))
"""Reasons for dead letters of records that can be read."""


class CommitPart(NamedTuple):
    """Everything that one transaction holds of a task; it is sent again byte for byte when the outcome is unknown.

    ``before`` and ``after`` are the marks of the committed point before and after; the last of ``outputs`` is the
    journal's record of the batch.
    """

    task: int
    outputs: list[OutputRecord]
    positions: dict[TopicPartition, Committed]
    before: journal.Mark
    after: journal.Mark


class Applied(NamedTuple):
    """What happened to the records of a batch, for metrics and views; ``bad`` says of each record, in applied order,
    whether it could not be read. ``learned`` counts first truths, ``corrected`` others, ``assumed`` instances whose
    missing labels were taken for false; ``replayed`` those of the dead that were sent again from the dead letters."""

    records: list[RawRecord]
    bad: list[bool]
    outputs: list[OutputRecord]
    predicted: int
    learned: int
    corrected: int
    assumed: int
    dead: list[RecordError]
    replayed: int
    events: list[Any]
    dropped: dict[str, int]


class Task:
    """One model and what belongs to it.

    Parameters
    ----------
    settings:
        The settings, whose journalled part is that of the journal.
    number:
        The task's number: 0 in scope ``topic``, the partition in scope ``partition``.
    partitions:
        The partitions it reads, of instances and of labels.
    lineage:
        The model's identity.

    ``positions`` are the offsets to apply next, ``mark`` the sequence and chain of the last batch, ``preamble`` the
    journal's records that go before the next one, ``passed_over`` records that nobody can read, whose dead letters
    go with the next batch, ``snapshot_seq`` the sequence of the snapshot it came from, ``now_ns`` the journal's clock
    at the mark, ``rollback`` the last rollback that led there.
    """

    def __init__(self, settings: Settings, number: int, partitions: Sequence[TopicPartition], lineage: str) -> None:
        self.settings = settings
        self.number = number
        self.partitions = tuple(sorted(partitions))
        self.lineage = lineage
        self.model = StreamModel(settings)
        self.pending = Pending(settings.labels)
        self.topics: dict[str, journal.TopicIdentity] = {}
        self.positions: dict[TopicPartition, int] = {}
        self.mark = journal.Mark(0, journal.FIRST_CHAIN)
        self.journal_offset = -1
        self.preamble: list[bytes] = []
        self.passed_over: list[tuple[RawRecord, RecordError]] = []
        self.snapshot_seq = 0
        self.now_ns = 0
        self.rollback: journal.RollbackRecord | None = None

    @property
    def journalled_settings(self) -> dict[str, Any]:
        """The journalled settings in force."""
        return journalled_settings_of(self.settings)

    def change(self, settings: Settings) -> None:
        """Let other settings hold from the next batch on; `journalled_settings.check_change` has allowed them."""
        self.settings = settings
        self.model.rule = Rule.parse(settings.learner.rule)
        self.model.change(
            scores_top=settings.learner.scores_top,
            minimum_support=settings.labels.min_count,
            retire_after=settings.labels.retire_after_instances,
            drift=settings.drift,
        )
        self.pending.bound(settings.labels)

    def lose(self, ranges: Sequence[journal.Range]) -> None:
        """Go on behind ranges that the log no longer has."""
        for lost in ranges:
            self.positions[lost.of] = lost.end

    def roll_back(self, record: journal.RollbackRecord) -> None:
        """Take the sequence number and the positions of a rollback; the state is that of the point it names."""
        self.positions = {TopicPartition(p.topic, p.partition): p.offset for p in record.positions}
        self.mark = journal.Mark(record.seq, record.chain)
        self.now_ns = record.now
        self.rollback = record

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the complete state by name."""
        return join_parts({TaskPart.MODEL: self.model.arrays(), TaskPart.WAITING: self.pending.arrays()})

    def load_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take a state over; raises `SnapshotError` when it does not fit."""
        parts = split_parts(arrays)
        self.model.load_arrays(parts[TaskPart.MODEL])
        self.pending.load_arrays(parts[TaskPart.WAITING])


class Batch:
    """The records of one transaction of a task, in applied order.

    Records are planned as they are added, so that whether a label's instance is known can be asked in between.
    """

    def __init__(self, task: Task, now_ns: int) -> None:
        self._task = task
        self._now = now_ns
        self._settings = task.settings
        self._limits = task.settings.limits
        self._labels_topic = task.settings.topics.labels
        self._text_fields = task.settings.encoder.text_fields
        self._micro_batch = task.model.new_batch(frozen=task.settings.engine.frozen)
        self._records: list[RawRecord] = []
        self._instances: list[tuple[int, str, RawRecord]] = []
        self._labels: list[tuple[int, RawRecord]] = []
        self._learned = 0
        self._corrected = 0
        self._assumed = 0
        self._waiting: dict[int, tuple[Entry, int]] = {}
        self._told: dict[int, tuple[Entry, int]] = {}
        self._verdicts: list[bytes] = []
        self._bad: list[bool] = []
        self._dead: list[tuple[RawRecord, RecordError]] = []
        self._dropped: dict[str, int] = {}
        self._crc = 0
        self._spans: dict[tuple[str, int], list[int]] = {}

    def __len__(self) -> int:
        return len(self._records)

    def knows(self, record: RawRecord) -> bool:
        """Return whether a label record need not wait: its instance was seen, or it cannot be read anyway."""
        try:
            identity = decode_label(record.value, self._limits).id
        except RecordError:
            return True
        return self._task.pending.knows(identity)

    def add(self, record: RawRecord) -> None:
        """MicroBatch the next record."""
        self._records.append(record)
        span = self._spans.get((record.topic, record.partition))
        if span is None:
            span = self._spans[record.topic, record.partition] = [0, 0]
        span[0] += 1
        span[1] = record.offset + 1
        self._crc = zlib.crc32(record.value or b"", self._crc)
        self._task.pending.advance(record.timestamp_ms, self._now)
        is_label = record.topic == self._labels_topic
        try:
            if is_label:
                self._label(record)
            else:
                self._instance(record)
        except RecordError as error:
            self._dead.append((record, error))
            self._verdicts.append((_LABEL if is_label else _INSTANCE) + error.code.encode())
            self._bad.append(error.code not in _WELL_FORMED)
        else:
            self._verdicts.append(_LABEL if is_label else _INSTANCE)
            self._bad.append(False)

    def _instance(self, record: RawRecord) -> None:
        instance = decode_instance(record.value, self._limits, self._dropped, self._text_fields)
        identity = instance.id if instance.id is not None else f"{record.partition}-{record.offset}"
        pending = self._task.pending if self._labels_topic else None
        if instance.y is not None:
            operation = self._micro_batch.predict_and_learn(self._task.model.pack(instance.x), instance.y)
            self._learned += 1
        else:
            operation = self._micro_batch.predict(self._task.model.pack(instance.x))
        self._instances.append((operation, identity, record))
        if pending is None:
            return
        entry = pending.add(identity, record.timestamp_ms, instance.y)
        self._waiting[entry.number] = entry, operation
        if instance.y is not None:
            self._learns(entry, operation)
        for orphan in pending.orphans.adopt(identity):
            try:
                self._label(orphan)
            except RecordError as error:
                self._dead.append((orphan, error))

    def _label(self, record: RawRecord) -> None:
        label = decode_label(record.value, self._limits)
        pending = self._task.pending
        entry = pending.entry(label.id)
        if entry is None:
            left = pending.left(label.id)
            if left is not None:
                what = "no longer waits" if left == EXPIRED else "was learnt, and may no longer be corrected"
                raise RecordError("label_expired", f"{label.id!r} {what}: its time or its room was over")
            for leaving in pending.orphans.hold(label.id, record, pending.watermark_ms):
                reason = "duplicate_label" if leaving is record else "unknown_instance"
                self._dead.append((leaving, RecordError(reason, f"no room or no use for a label of {label.id!r}")))
            return
        before = truth_of(entry.truth)
        after = merged(before, label.y)
        if after is None and not entry.assumed:
            raise RecordError("duplicate_label", f"all that it says of {label.id!r} was known before")
        entry.assumed = False
        if after is not None:
            self._labels.append((self._learn(entry, before, after), record))

    def _learn(self, entry: Entry, before: Truth | None, after: Truth) -> int:
        """MicroBatch that all that is known of an instance is learnt; return the operation's number."""
        if before is None:
            operation = self._micro_batch.learn(self._stored(entry), after)
            self._learns(entry, operation)
            self._learned += 1
        else:
            _, learned_by = self._told.get(entry.number, (entry, -1))
            operation = self._micro_batch.correct(
                self._stored(entry), before, after, row=entry.row, learned_by=learned_by
            )
            self._corrected += 1
        self._task.pending.tell(entry, after)
        return operation

    def _stored(self, entry: Entry) -> StoredInstance | int:
        """Return an instance as a batch takes it: as it was kept, or the operation of this batch that answered it."""
        found = self._waiting.get(entry.number)
        return StoredInstance.unpacked(entry.instance) if found is None else found[1]

    def _learns(self, entry: Entry, operation: int) -> None:
        if not self._settings.engine.frozen:
            self._told[entry.number] = entry, operation

    def _assume(self) -> None:
        """Take for false what nobody has said of an instance in the time that there was for it."""
        for entry, known in self._task.pending.silent():
            # Its events name the record that moved the time.
            self._labels.append((self._learn(entry, known, silent(known)), self._records[-1]))
            entry.assumed = True
            self._assumed += 1

    def run(self, *, outputs: bool) -> tuple[Applied, list[bytes]]:
        """Apply the records, and return what happened and the journal's records of it.

        The task's state is then at the next sequence number. A replay needs no ``outputs``.
        """
        task = self._task
        self._assume()
        result = task.model.apply(self._micro_batch)
        for entry, operation in self._waiting.values():
            task.pending.place(entry, result.packed(operation))
        for entry, operation in self._told.values():
            entry.row = result.learned(operation)
        for record in task.pending.sweep():
            self._dead.append((record, RecordError("unknown_instance", "no instance of this id came in time")))
        ends = dict(task.positions)
        applied_of: dict[TopicPartition, int] = {}
        for (topic, number), (count, end) in self._spans.items():
            partition = TopicPartition(topic, number)
            applied_of[partition] = count
            ends[partition] = end
        ranges, counts = journal.ranges_of(task.positions, ends, applied_of)
        body = journal.BatchRecord(
            journal.VERSION, task.number, task.mark.seq + 1, ranges, counts, self._crc, self._now
        )
        chain = journal.Chain(task.mark.chain)
        for data in task.preamble:
            chain.add(data)
        chain.add(journal.encode(body))
        chain.add(self._outcome(result))
        mark = journal.Mark(body.seq, chain.value())
        record = journal.BatchRecord(body.v, body.task, body.seq, body.rng, body.n, body.crc, body.now, mark.chain)
        task.positions = ends
        task.mark = mark
        task.now_ns = self._now
        journalled = [*task.preamble, journal.encode(record)]
        task.preamble = []
        # They are in no outcome: the journal's record before this one tells of them.
        self._dead = [*task.passed_over, *self._dead]
        task.passed_over = []
        made = self._outputs(result, task.lineage) if outputs else []
        frozen = self._settings.engine.frozen
        applied = Applied(
            self._records,
            self._bad,
            made,
            len(self._instances),
            0 if frozen else self._learned,
            0 if frozen else self._corrected,
            self._assumed,
            [error for _, error in self._dead],
            sum(was_replayed(record) for record, _ in self._dead),
            result.events,
            result.dropped | self._dropped,
        )
        return applied, journalled

    def _outcome(self, result: MicroBatchResult) -> bytes:
        """Return kind and verdict of every record, what became of late ones, and every answer's slots and logits."""
        parts = self._verdicts + [error.code.encode() for _, error in self._dead]
        return b"\0".join([*parts, result.outcome()])

    def _outputs(self, result: MicroBatchResult, lineage: str) -> list[OutputRecord]:
        topics = self._settings.topics
        rule, preset = self._settings.learner.rule, self._settings.learner.preset
        outputs: list[OutputRecord] = []
        answers = result.answers(operation for operation, _, _ in self._instances)
        for (_, identity, record), (labels, scores, seen, learned) in zip(self._instances, answers, strict=True):
            topic, partition, offset, _, key, _, _ = record
            value = encode_prediction(
                identity, labels, scores, rule, lineage, preset, seen, learned, topic, partition, offset
            )
            outputs.append(OutputRecord(topics.predictions, partition, key, value))
        if result.events:
            source = {operation: record for operation, _, record in self._instances} | dict(self._labels)
            outputs.extend(
                OutputRecord(topics.events, 0, None, encode_event(event_record(event, self._now, source[event.op])))
                for event in result.events
            )
        outputs.extend(dead_letter(record, error, topics.dead_letters) for record, error in self._dead)
        return outputs
