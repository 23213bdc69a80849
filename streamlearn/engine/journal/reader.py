"""Reads the journal of a task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from streamlearn.cleanup import Cleanup
from streamlearn.engine.journal import records as journal
from streamlearn.errors import JournalError
from streamlearn.source.base import RawRecord, Source, TopicPartition


class JournalEntry(NamedTuple):
    """An entry of the journal: its offset, its record, and the record's bytes."""

    offset: int
    record: journal.JournalRecord
    data: bytes


def decode_entry(raw: RawRecord) -> JournalEntry:
    """Return the entry that a record of the journal topic holds; raises `JournalError` when it cannot be read."""
    record = journal.decode(raw.value, f"{raw.topic}[{raw.partition}]@{raw.offset}")
    return JournalEntry(raw.offset, record, raw.value or b"")


class JournalReader:
    """The entries of a task's journal from an offset, or from the log's start, up to the committed end.

    ``log_start`` is the first offset that the log still has.
    """

    def __init__(self, source: Source, topic: str, task: int, start: int = 0) -> None:
        partition = TopicPartition(topic, task)
        bounds = source.bounds([partition])[partition]
        self.log_start = bounds.start
        self.entries: list[JournalEntry] = []
        reader = source.reader(partition, max(bounds.start, start))
        with Cleanup(reader.close):
            for raw in reader.read_to(bounds.end):
                entry = decode_entry(raw)
                if entry.record.task == task:
                    self.entries.append(entry)

    def lineage(self) -> journal.LineageRecord | None:
        """Return the newest lineage record: that of the current model, if several models were started."""
        return next((e.record for e in reversed(self.entries) if isinstance(e.record, journal.LineageRecord)), None)

    def last_numbered(self) -> journal.NumberedRecord | None:
        """Return the last batch, rollback or upgrade."""
        return last_numbered(self.entries)

    def since_lineage(self) -> list[JournalEntry]:
        """Return the entries from the newest lineage record on; empty when the log no longer has it."""
        for index in range(len(self.entries) - 1, -1, -1):
            if isinstance(self.entries[index].record, journal.LineageRecord):
                return self.entries[index:]
        return []


def last_numbered(entries: Sequence[JournalEntry]) -> journal.NumberedRecord | None:
    """Return the last batch, rollback or upgrade among entries."""
    return next((e.record for e in reversed(entries) if isinstance(e.record, journal.NumberedRecord)), None)


def find_offset(source: Source, topic: str, task: int, start: int, mark: journal.Mark) -> int:
    """Return where the journal has the record of a mark, which was committed after the offset ``start``.

    Raises
    ------
    JournalError
        When the journal does not have it.
    """
    for entry in JournalReader(source, topic, task, start + 1).entries:
        if isinstance(entry.record, journal.NumberedRecord) and entry.record.mark == mark:
            return entry.offset
    raise JournalError(
        f"{mark} is committed, but {topic}[{task}] does not have its record after offset {start}: the journal and the "
        "group's offsets do not belong together"
    )
