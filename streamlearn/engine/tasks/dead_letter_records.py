"""Records that could not be used, on their way to the dead-letter topic: original bytes, and why."""

from __future__ import annotations

from streamlearn._version import __version__
from streamlearn.errors import RecordError
from streamlearn.records.dead_letter import HEADER_PREFIX, REPLAYED
from streamlearn.records.size import LONGEST_VALUE_BYTES
from streamlearn.sink.base import OutputRecord
from streamlearn.source.base import RawRecord


def dead_letter(record: RawRecord, error: RecordError, topic: str) -> OutputRecord:
    """Return the dead letter of a record: its key, value and headers untouched, and headers of ours behind them.

    A value too large to be written again, or that cannot be read, stays where it is: the dead letter then has
    no value, and the header ``pointer`` says that topic, partition and offset name the original. So do key and headers
    that are too large without it. The client refuses to write a record without key and value, or a header without a
    value: key or header are empty then.
    """
    ours = {
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
    headers = [(name, given or b"") for name, given in record.headers]
    beside = len(key or b"") + sum(len(name) + len(given) for name, given in headers)
    if error.code == "corrupt_record" or beside + len(value or b"") > LONGEST_VALUE_BYTES:
        value = None
        ours["pointer"] = "the value is in the record named by topic, partition and offset"
        if beside > LONGEST_VALUE_BYTES:
            key, headers = None, [(name, given) for name, given in headers if name == REPLAYED]
            ours["pointer"] = "key, value and headers are in the record named by topic, partition and offset"
    if key is None and value is None:
        key = b""
    headers += [(f"{HEADER_PREFIX}{name}", text.encode()) for name, text in ours.items()]
    return OutputRecord(topic, record.partition, key, value, headers)


def was_replayed(record: RawRecord) -> bool:
    """Return whether a record was sent to its topic again from the dead letters."""
    return any(name == REPLAYED for name, _ in record.headers)
