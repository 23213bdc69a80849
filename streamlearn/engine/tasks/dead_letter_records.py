"""Dead letters: input records that could not be used, with their original bytes and the reason."""

from __future__ import annotations

from streamlearn._version import __version__
from streamlearn.errors import RecordError
from streamlearn.records.dead_letter import HEADER_PREFIX, REPLAYED
from streamlearn.records.size import LONGEST_VALUE_BYTES
from streamlearn.sink.base import OutputRecord
from streamlearn.source.base import RawRecord


def dead_letter(record: RawRecord, error: RecordError, topic: str) -> OutputRecord:
    """Return the dead letter of a record: its key, value and headers unchanged, followed by headers with the reason.

    A value that is too large to be written again, or that cannot be read, is left out: the header ``pointer`` then says
    that topic, partition and offset name the original. The same holds for a key and headers that are too large even
    without the value. The client refuses to write a record without key and value, or a header without a value: the key
    or the header's value is empty then.
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
    key, value = record.key, record.value
    headers = [(name, content or b"") for name, content in record.headers]
    size_without_value = len(key or b"") + sum(len(name) + len(content) for name, content in headers)
    if error.code == "corrupt_record" or size_without_value + len(value or b"") > LONGEST_VALUE_BYTES:
        value = None
        added["pointer"] = "the value is in the record named by topic, partition and offset"
        if size_without_value > LONGEST_VALUE_BYTES:
            key, headers = None, [(name, content) for name, content in headers if name == REPLAYED]
            added["pointer"] = "key, value and headers are in the record named by topic, partition and offset"
    if key is None and value is None:
        key = b""
    headers += [(f"{HEADER_PREFIX}{name}", text.encode()) for name, text in added.items()]
    return OutputRecord(topic, record.partition, key, value, headers)


def was_replayed(record: RawRecord) -> bool:
    """Return whether a record is a dead letter that was sent to its topic again."""
    return any(name == REPLAYED for name, _ in record.headers)
