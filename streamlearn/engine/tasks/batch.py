"""A batch: the input records of one transaction of a task, and their application to the task.

Its result depends on the records, the journalled clock and the task's state alone. Nothing of it is visible to others
before its transaction is committed (`engine.commit`).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from streamlearn.codec.decode import DecodedLabel, Truth, decode_instance, decode_label
from streamlearn.codec.encode import encode_event, encode_prediction
from streamlearn.engine.journal import records as journal
from streamlearn.engine.tasks.dead_letter_records import dead_letter, was_replayed
from streamlearn.engine.tasks.event_records import event_record
from streamlearn.engine.tasks.task import Task
from streamlearn.engine.waiting.pending_instances import InstanceState, PendingEntry
from streamlearn.engine.waiting.truth_updates import close_world, combine, decode_truth
from streamlearn.errors import RecordError
from streamlearn.model.batch_result import MicroBatchResult
from streamlearn.model.stored_instance import StoredInstance
from streamlearn.sink.base import OutputRecord
from streamlearn.source.base import RawRecord, TopicPartition

_INSTANCE = b"i"
_LABEL = b"l"
_WELL_FORMED = frozenset(("duplicate_label", "label_expired", "unknown_instance"))
"""Reasons for dead letters of records that can be read."""


_EXPIRED = int(InstanceState.EXPIRED)
"""A plain integer: in Python 3.11 reading an enum's member takes 0.1 us, and late labels may be most records."""


class AppliedBatch(NamedTuple):
    """What happened to the records of a batch, for metrics and views."""

    records: list[RawRecord]
    bad: list[bool]  # of each record: whether it could not be read
    outputs: list[OutputRecord]  # empty in a replay
    predicted: int  # instances that were answered
    learned: int  # first truths of instances
    corrected: int  # later truths of instances
    assumed: int  # instances whose missing labels were taken as negative
    letters: list[tuple[RawRecord, RecordError]]  # the record of each dead letter, and why
    replayed: int  # dead letters of records that had been sent again from the dead-letter topic
    orphans: set[tuple[int, int]]  # partition and offset of the labels that began to wait for their instance
    adopted: set[tuple[int, int]]  # the same of those whose instance has come
    events: list[Any]
    dropped: dict[str, int]  # values that were left out, by reason
    most_bad: int  # as `BadRecordWindow.add` returns
    stamps: dict[str, int]  # records whose timestamp is `ahead` of event time, or `missing`


class Batch:
    """The input records of one transaction of a task, in applied order.

    Records are decoded as they are added, and their operations collected; between two records a caller may ask whether
    a label's instance has been seen. `run` then applies the batch to the task.

    Parameters
    ----------
    task:
        The task.
    now_ns:
        The clock to journal, in nanoseconds since the epoch: the only time that the model sees.
    journal_version:
        The version of the batch's journal record, which the chain covers; in a replay that of the record.
    """

    def __init__(self, task: Task, now_ns: int, journal_version: int = journal.VERSION) -> None:
        self._task = task
        self._now = now_ns
        self._journal_version = journal_version
        self._now_ms = now_ns // 1_000_000
        self._settings = task.settings
        self._limits = task.settings.limits
        self._labels_topic = task.settings.topics.labels
        self._text_fields = task.settings.encoder.text_fields
        self._micro_batch = task.model.new_batch(frozen=task.settings.engine.frozen)
        self._records: list[RawRecord] = []
        self._instances: list[tuple[int, str, RawRecord]] = []  # operation, id and record of each answer
        self._labels: list[tuple[int, RawRecord]] = []  # operation and record of each truth from the labels topic
        self._learned = 0
        self._corrected = 0
        self._assumed = 0
        # Entries of `Pending` by number, with the operation that answers or learns them in this batch.
        self._answered_here: dict[int, tuple[PendingEntry, int]] = {}
        self._learned_here: dict[int, tuple[PendingEntry, int]] = {}
        self._verdicts: list[bytes] = []
        self._bad: list[bool] = []
        self._dead: list[tuple[RawRecord, RecordError]] = []
        self._orphans: set[tuple[int, int]] = set()
        self._adopted: set[tuple[int, int]] = set()
        self._dropped: dict[str, int] = {}
        clock = task.pending.clock
        self._stamps_before = clock.ahead, clock.missing
        self._crc = 0
        self._spans: dict[tuple[str, int], list[int]] = {}  # number of records and end offset, by partition

    def __len__(self) -> int:
        return len(self._records)

    def decode_label(self, record: RawRecord) -> DecodedLabel | RecordError:
        """Return the label of a record, or why the record cannot be used."""
        try:
            return decode_label(record.value, self._limits)
        except RecordError as error:
            return error

    def must_wait(self, label: DecodedLabel | RecordError) -> bool:
        """Return whether a label can be used, but its instance has not been seen."""
        return isinstance(label, DecodedLabel) and not self._task.pending.has_seen(label.id)

    def add(self, record: RawRecord, label: DecodedLabel | RecordError | None = None) -> None:
        """Add the next record; ``label`` is what `decode_label` gave for it, if the caller has asked."""
        self._records.append(record)
        span = self._spans.get((record.topic, record.partition))
        if span is None:
            span = self._spans[record.topic, record.partition] = [0, 0]
        span[0] += 1
        span[1] = record.offset + 1
        self._crc = zlib.crc32(record.value or b"", self._crc)
        stamp_ms = self._task.pending.observe(record.timestamp_ms, self._now_ms)
        is_label = record.topic == self._labels_topic
        try:
            if is_label:
                self._add_label(record, self.decode_label(record) if label is None else label)
            else:
                self._add_instance(record, stamp_ms)
        except RecordError as error:
            self._dead.append((record, error))
            self._verdicts.append((_LABEL if is_label else _INSTANCE) + error.code.encode())
            self._bad.append(error.code not in _WELL_FORMED)
        else:
            self._verdicts.append(_LABEL if is_label else _INSTANCE)
            self._bad.append(False)

    def _add_instance(self, record: RawRecord, stamp_ms: int) -> None:
        """Predict an instance, learn its inline truth, and keep it for labels that come later, under its time."""
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
        entry = pending.add(identity, stamp_ms, instance.y)
        self._answered_here[entry.number] = entry, operation
        if instance.y is not None:
            self._note_learned(entry, operation)
        for orphan in pending.orphans.adopt(identity):
            self._adopted.add((orphan.partition, orphan.offset))
            try:
                # Decoded a second time: `limits` may have changed since the orphan came, and one from a snapshot was
                # never decoded in this process.
                self._add_label(orphan, self.decode_label(orphan))
            except RecordError as error:
                self._dead.append((orphan, error))

    def _add_label(self, record: RawRecord, label: DecodedLabel | RecordError) -> None:
        """Learn what a label says of an instance that has been seen; keep the label as an orphan otherwise."""
        if isinstance(label, RecordError):
            raise label
        pending = self._task.pending
        entry = pending.get(label.id)
        if entry is None:
            tombstone = pending.tombstone(label.id)
            if tombstone is not None:
                is_expired = tombstone == _EXPIRED
                what = "no longer waits" if is_expired else "was learnt, and may no longer be corrected"
                raise RecordError("label_expired", f"{label.id!r} {what}: its time or its room was over")
            self._orphans.add((record.partition, record.offset))
            for leaving in pending.orphans.add(label.id, record, pending.watermark_ms):
                reason = "duplicate_label" if leaving is record else "unknown_instance"
                self._dead.append((leaving, RecordError(reason, f"no room or no use for a label of {label.id!r}")))
            return
        before = decode_truth(entry.truth)
        after = combine(before, label.y)
        if after is None and not entry.assumed:
            raise RecordError("duplicate_label", f"all that it says of {label.id!r} was known before")
        entry.assumed = False
        if after is not None:
            self._labels.append((self._learn(entry, before, after), record))

    def _learn(self, entry: PendingEntry, before: Truth | None, after: Truth) -> int:
        """Add the operation that learns or corrects an instance; return the operation's number."""
        if before is None:
            operation = self._micro_batch.learn(self._instance_of(entry), after)
            self._note_learned(entry, operation)
            self._learned += 1
        else:
            _, learned_by = self._learned_here.get(entry.number, (entry, -1))
            operation = self._micro_batch.correct(
                self._instance_of(entry), before, after, row=entry.row, learned_by=learned_by
            )
            self._corrected += 1
        self._task.pending.set_truth(entry, after)
        return operation

    def _instance_of(self, entry: PendingEntry) -> StoredInstance | int:
        """Return an instance as a micro-batch takes it: as stored, or the operation of this batch that answers it."""
        found = self._answered_here.get(entry.number)
        return StoredInstance.unpacked(entry.instance) if found is None else found[1]

    def _note_learned(self, entry: PendingEntry, operation: int) -> None:
        if not self._settings.engine.frozen:
            self._learned_here[entry.number] = entry, operation

    def run(self, *, outputs: bool) -> tuple[AppliedBatch, list[bytes]]:
        """Apply the batch and move the task to the next sequence number.

        1. Apply the operations to the model.
        2. Store the results with the instances that wait, and apply the bounds of that store; count the bad records.
        3. Chain the batch to the journal, and advance the task's mark and positions.
        4. Build the output records; a replay, with ``outputs`` False, needs none.

        Returns
        -------
        AppliedBatch
            What happened to the records.
        list of bytes
            The journal records of the transaction, encoded; the last one is that of the batch.
        """
        # Step 1.
        result = self._apply_operations()
        # Step 2.
        self._update_pending(result)
        most_bad = self._task.bad_records.add(self._bad)
        # Step 3.
        journalled = self._chain_to_journal(result)
        # Step 4.
        built = self._build_outputs(result) if outputs else []
        return self._summarize(result, built, most_bad), journalled

    def _apply_operations(self) -> MicroBatchResult:
        """Close the labels that are overdue by now, then apply all operations in order."""
        for entry, known in self._task.pending.find_overdue():
            # Events of the operation name the record that moved event time.
            self._labels.append((self._learn(entry, known, close_world(known)), self._records[-1]))
            entry.assumed = True
            self._assumed += 1
        return self._task.model.apply(self._micro_batch)

    def _update_pending(self, result: MicroBatchResult) -> None:
        """Store the answered instances and the learnt rows; remove what is over a bound."""
        pending = self._task.pending
        for entry, operation in self._answered_here.values():
            pending.store_instance(entry, result.packed(operation))
        for entry, operation in self._learned_here.values():
            entry.row = result.learned(operation)
        for record in pending.sweep():
            self._dead.append((record, RecordError("unknown_instance", "no instance of this id came in time")))

    def _chain_to_journal(self, result: MicroBatchResult) -> list[bytes]:
        """Move the task to the batch's mark and positions; return the journal records since the last batch."""
        task = self._task
        ends = dict(task.positions)
        counts: dict[TopicPartition, int] = {}
        for (topic, number), (count, end) in self._spans.items():
            partition = TopicPartition(topic, number)
            counts[partition] = count
            ends[partition] = end
        ranges, range_counts = journal.moved_ranges(task.positions, ends, counts)
        seq = task.mark.seq + 1
        body = journal.BatchRecord(self._journal_version, task.number, seq, ranges, range_counts, self._crc, self._now)
        chain = journal.Chain(task.mark.chain)
        for data in task.preamble:
            chain.add(data)
        chain.add(journal.encode(body))
        chain.add(self._outcome(result))
        record = journal.BatchRecord(body.v, body.task, seq, body.rng, body.n, body.crc, body.now, chain.value())
        task.positions = ends
        task.mark = record.mark
        task.now_ns = self._now
        journalled = [*task.preamble, journal.encode(record)]
        task.preamble = []
        # Unreadable records have dead letters but no part in the outcome: a control record accounts for them.
        self._dead = [*task.unreadable, *self._dead]
        task.unreadable = []
        return journalled

    def _outcome(self, result: MicroBatchResult) -> bytes:
        """Return the kind and verdict of every record, the reasons of dead letters, and the slots and logits of every
        answer."""
        parts = self._verdicts + [error.code.encode() for _, error in self._dead]
        return b"\0".join([*parts, result.outcome()])

    def _build_outputs(self, result: MicroBatchResult) -> list[OutputRecord]:
        """Return the predictions, events and dead letters."""
        topics = self._settings.topics
        rule, preset = self._settings.learner.rule, self._settings.learner.preset
        lineage = self._task.lineage
        outputs: list[OutputRecord] = []
        # The names in records are texts.
        answers: Iterator[tuple[list[Any], dict[Any, float], int, int]]
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

    def _summarize(self, result: MicroBatchResult, outputs: list[OutputRecord], most_bad: int) -> AppliedBatch:
        frozen = self._settings.engine.frozen
        clock, (ahead, missing) = self._task.pending.clock, self._stamps_before
        return AppliedBatch(
            records=self._records,
            bad=self._bad,
            outputs=outputs,
            predicted=len(self._instances),
            learned=0 if frozen else self._learned,
            corrected=0 if frozen else self._corrected,
            assumed=self._assumed,
            letters=self._dead,
            replayed=sum(was_replayed(record) for record, _ in self._dead),
            orphans=self._orphans - self._adopted,
            adopted=self._adopted,
            events=result.events,
            dropped=result.dropped | self._dropped,
            most_bad=most_bad,
            stamps={"ahead": clock.ahead - ahead, "missing": clock.missing - missing},
        )
