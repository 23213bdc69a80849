"""Reading a task's journal."""

from __future__ import annotations

from typing import NamedTuple

from streamlearn.engine.journal import records as journal
from streamlearn.source.base import RawRecord, Source, TopicPartition


class Entry(NamedTuple):
    """A record of the journal: where it lies, what it says, and its bytes."""

    offset: int
    record: journal.JournalRecord
    data: bytes


def entry_of(raw: RawRecord) -> Entry:
    """Return what a record of the journal says; raises `JournalError` when it cannot be read."""
    record = journal.decode(raw.value, f"{raw.topic}[{raw.partition}]@{raw.offset}")
    return Entry(raw.offset, record, raw.value or b"")


class JournalReader:
    """A task's journal from an offset, or from where the log begins, up to its committed end."""

    def __init__(self, source: Source, topic: str, task: int, start: int = 0) -> None:
        partition = TopicPartition(topic, task)
        bounds = source.bounds([partition])[partition]
        self.log_start = bounds.start
        self.entries: list[Entry] = []
        reader = source.reader(partition, max(bounds.start, start))
        try:
            for raw in reader.read_to(bounds.end):
                entry = entry_of(raw)
                if entry.record.task == task:
                    self.entries.append(entry)
        finally:
            reader.close()

    def lineage(self) -> journal.LineageRecord | None:
        """Return where the model comes from; the newest, should a model have been begun anew."""
        return next((e.record for e in reversed(self.entries) if isinstance(e.record, journal.LineageRecord)), None)

    def last(self) -> journal.NumberedRecord | None:
        """Return the last batch or rollback."""
        return next((e.record for e in reversed(self.entries) if isinstance(e.record, journal.NumberedRecord)), None)

    def since_lineage(self) -> list[Entry]:
        """Return the entries from the newest beginning of a model on; empty when the log no longer has it."""
        for place in range(len(self.entries) - 1, -1, -1):
            if isinstance(self.entries[place].record, journal.LineageRecord):
                return self.entries[place:]
        return []
