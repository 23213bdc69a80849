"""A task: one model, the instances that wait for their labels, and the positions up to which records were applied.

Its state only moves forward, batch by batch (`engine.tasks.batch`). What a batch gives depends on its records, the
journalled clock and the state alone, so a replay gives the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from streamlearn.engine.journal import records as journal
from streamlearn.engine.tasks.bad_record_window import BadRecordWindow
from streamlearn.engine.tasks.journalled_settings import journalled_settings_of
from streamlearn.engine.waiting.pending_instances import Pending
from streamlearn.errors import RecordError, SnapshotError
from streamlearn.model.stream_model import StreamModel
from streamlearn.settings.rule import Rule
from streamlearn.settings.settings import Settings
from streamlearn.source.base import RawRecord, TopicPartition
from streamlearn.state.array_names import TaskPart, join_parts
from streamlearn.state.lazy_arrays import split_parts


class Task:
    """One model and its position in the input and in the journal.

    Parameters
    ----------
    settings:
        The settings; their journalled part is that of the journal.
    number:
        The task's number: 0 in scope ``topic``, the partition in scope ``partition``.
    partitions:
        The partitions that the task reads, of instances and of labels.
    lineage:
        The model's identity.

    Attributes
    ----------
    positions:
        The next offset to apply of each partition.
    mark:
        The sequence number and chain of the last batch.
    journal_offset:
        Where the journal record of that batch is; -1 before the first batch.
    preamble:
        Journal records that go before the next batch, encoded.
    unreadable:
        Skipped records whose dead letters go with the next batch.
    snapshot_seq:
        The sequence number of the snapshot that the task was loaded from; 0 without one.
    now_ns:
        The journalled clock at the mark, in nanoseconds since the epoch.
    rollback:
        The last rollback on the path to the mark.
    upgrade:
        The last upgrade on the path to the mark that applied rows once more.
    """

    def __init__(self, settings: Settings, number: int, partitions: Sequence[TopicPartition], lineage: str) -> None:
        self.settings = settings
        self.number = number
        self.partitions = tuple(sorted(partitions))
        self.lineage = lineage
        self.model = StreamModel(settings)
        self.pending = Pending(settings.labels)
        self.bad_records = BadRecordWindow(settings.limits.bad_window)
        self.topics: dict[str, journal.TopicIdentity] = {}
        self.positions: dict[TopicPartition, int] = {}
        self.mark = journal.START
        self.journal_offset = -1
        self.preamble: list[bytes] = []
        self.unreadable: list[tuple[RawRecord, RecordError]] = []
        self.snapshot_seq = 0
        self.now_ns = 0
        self.rollback: journal.RollbackRecord | None = None
        self.upgrade: journal.UpgradeRecord | None = None

    @property
    def has_changed(self) -> bool:
        """Whether it has changed since its last batch, which the journal will have with the next one."""
        return bool(self.preamble or self.unreadable)

    @property
    def journalled_settings(self) -> dict[str, Any]:
        """The journalled settings in force."""
        return journalled_settings_of(self.settings)

    def change_settings(self, settings: Settings) -> None:
        """Use other settings from the next batch on; the caller has checked them with `check_change`."""
        self.settings = settings
        self.model.rule = Rule.parse(settings.learner.rule)
        self.model.change(
            scores_top=settings.learner.scores_top,
            minimum_support=settings.labels.min_count,
            retire_after=settings.labels.retire_after_instances,
            drift=settings.drift,
        )
        self.pending.set_bounds(settings.labels)
        self.bad_records.set_size(settings.limits.bad_window)

    def skip(self, ranges: Sequence[journal.Range]) -> None:
        """Continue after ranges that cannot be read."""
        for skipped in ranges:
            self.positions[skipped.of] = skipped.end

    def apply_rollback(self, record: journal.RollbackRecord) -> None:
        """Take the mark and the positions of a rollback; the state must be that of the mark which it goes back to."""
        self.positions = {TopicPartition(p.topic, p.partition): p.offset for p in record.positions}
        self.mark = record.mark
        self.now_ns = record.now
        self.rollback = record

    def apply_upgrade(self, record: journal.UpgradeRecord) -> None:
        """Take the mark of an upgrade; the state must be that after the rows that it applied once more."""
        self.mark = record.mark
        self.now_ns = record.now
        self.upgrade = record

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the complete state as named arrays."""
        return join_parts(
            {
                TaskPart.MODEL: self.model.arrays(),
                TaskPart.WAITING: self.pending.arrays(),
                TaskPart.BAD_RECORDS: self.bad_records.arrays(),
            }
        )

    def load_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Replace the state with that of named arrays; raises `SnapshotError` when they do not fit."""
        parts = split_parts(arrays)
        self.model.load_arrays(parts[TaskPart.MODEL])
        for name in (*self.model.encoder.columns.names, *self.model.label_names):
            if not isinstance(name, str):
                raise SnapshotError(
                    f"the name {name!r} is not a text: records carry texts only, so a group cannot start from a "
                    "classifier that was trained with other names"
                )
        self.pending.load_arrays(parts[TaskPart.WAITING])
        self.bad_records.load_arrays(parts[TaskPart.BAD_RECORDS])
