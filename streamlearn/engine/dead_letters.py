"""Records that could not be used, on their way to the dead-letter topic: original bytes, and why."""

from __future__ import annotations

from streamlearn import __version__
from streamlearn.errors import RecordError
from streamlearn.records.dead_letter import HEADER_PREFIX
from streamlearn.sink.base import OutputRecord
from streamlearn.source.base import RawRecord

POINTER_ABOVE_BYTES = 900_000
"""A dead letter with a larger value would not fit a broker's default record limit with our headers behind it."""


def dead_letter(record: RawRecord, error: RecordError, topic: str) -> OutputRecord:
    """Return the dead letter of a record: its key, value and headers untouched, and headers of ours behind them.

    A value too large to be written again, or that cannot be read, stays where it is: the dead letter then has
    no value, and the header ``pointer`` says that topic, partition and offset name the original. One that has neither
    key nor value gets an empty key, because the client refuses to write nothing.
    """
    ours = {
        "topic": record.topic,
        "partition": str(record.partition),
        "offset": str(record.offset),
        "timestamp": str(record.timestamp_ms),
        "reason": error.code,
        "text": error.text,
        "version": __version__,
    }
    value = record.value
    if error.code == "corrupt_record" or (value is not None and len(value) > POINTER_ABOVE_BYTES):
        value = None
        ours["pointer"] = "the value is in the record named by topic, partition and offset"
    headers = [*record.headers, *((f"{HEADER_PREFIX}{name}", value.encode()) for name, value in ours.items())]
    key = b"" if record.key is None and value is None else record.key
    return OutputRecord(topic, record.partition, key, value, headers)
