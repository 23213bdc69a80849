"""Dead letters: input records that could not be used, with their original bytes and the reason."""

from __future__ import annotations

from streamlearn._version import __version__
from streamlearn.errors import RecordError
from streamlearn.records.dead_letter import HEADER_PREFIX, REPLAYED, leave_out_original
from streamlearn.records.size import LONGEST_VALUE_BYTES
from streamlearn.sink.base import OutputRecord
from streamlearn.source.base import RawRecord


def dead_letter(record: RawRecord, error: RecordError, topic: str) -> OutputRecord:
    """Return the dead letter of a record: its key, value and headers unchanged, followed by headers with the reason.

    What is too large to be written again, or cannot be read, is left out (`leave_out_original`); a sink leaves out more
    where the topic takes less.
    """
    added = {
        "topic": record.topic,
        "partition": str(record.partition),
        "offset": str(record.offset),
        "timestamp": str(record.timestamp_ms),
        "size": str(len(record.value or b"")),
        "reason": error.code,
        "text": error.text,
        "version": __version__,
    }
    headers: list[tuple[str, bytes | None]] = list(record.headers)
    headers += [(f"{HEADER_PREFIX}{name}", text.encode()) for name, text in added.items()]
    key, value, headers = leave_out_original(
        record.key, record.value, headers, LONGEST_VALUE_BYTES, without_value=error.code == "corrupt_record"
    )
    return OutputRecord(topic, record.partition, key, value, headers)


def was_replayed(record: RawRecord) -> bool:
    """Return whether a record is a dead letter that was sent to its topic again."""
    return any(name == REPLAYED for name, _ in record.headers)
