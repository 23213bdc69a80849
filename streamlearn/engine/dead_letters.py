"""Records that could not be used, on their way to the dead-letter topic: original bytes, and why."""

from __future__ import annotations

from streamlearn import __version__
from streamlearn.errors import RecordError
from streamlearn.records.dead_letter import HEADER_PREFIX
from streamlearn.sink.base import OutputRecord
from streamlearn.source.base import RawRecord


def dead_letter(record: RawRecord, error: RecordError, topic: str) -> OutputRecord:
    """Return the dead letter of a record: its key, value and headers untouched, and headers of ours behind them."""
    ours = {
        "topic": record.topic,
        "partition": str(record.partition),
        "offset": str(record.offset),
        "timestamp": str(record.timestamp_ms),
        "reason": error.code,
        "text": error.text,
        "version": __version__,
    }
    headers = [*record.headers, *((f"{HEADER_PREFIX}{name}", value.encode()) for name, value in ours.items())]
    return OutputRecord(topic, record.partition, record.key, record.value, headers)
