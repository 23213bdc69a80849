"""Options that every consumer of a worker shares, and conversion of what it returns."""

from __future__ import annotations

import contextlib
from typing import Any

from kafka import errors as kafka_errors
from kafka.structs import TopicPartition as ClientPartition

from streamlearn.kafka.client_internals import local_position
from streamlearn.source.base import RawRecord, TopicPartition

MAX_POLL_RECORDS = 5_000
CALL_TIMEOUT_MS = 15_000
"""Longest wait for an answer that the worker needs to go on."""
LOOKUP_TIMEOUT_MS = 1_000
"""Longest wait for an answer that only a check needs."""
FETCH_WAIT_MS = 50
"""Longest wait of a broker for records. A broker answers one fetch of a consumer at a time: while it waits for labels,
it returns no instances."""
UNASSIGNED_ERRORS = (kafka_errors.IllegalStateError, ValueError)
"""Errors of the client when it is asked about a partition that is not, or no longer, assigned."""
READ_OPTIONS: dict[str, Any] = {
    "metrics_enabled": False,
    "enable_auto_commit": False,
    "auto_offset_reset": "none",
    "isolation_level": "read_committed",
    "allow_auto_create_topics": False,
    "check_crcs": True,
    "fetch_max_wait_ms": FETCH_WAIT_MS,
    "max_partition_fetch_bytes": 8 << 20,
}


def to_raw_record(record: Any) -> RawRecord:
    """Convert a record of the client to ours."""
    return RawRecord(
        record.topic, record.partition, record.offset, record.timestamp, record.key, record.value, record.headers
    )


def fetch_position_and_end(consumer: Any, partition: TopicPartition) -> tuple[int, int] | None:
    """Return the next offset to read of a partition and its last stable offset; None when one of them is unknown.

    The leader is asked for the end only when the high watermark lies beyond the position; the client's error is raised
    when it does not answer.
    """
    client = ClientPartition(*partition)
    with contextlib.suppress(KeyError, *UNASSIGNED_ERRORS):
        highwater, position = consumer.highwater(client), local_position(consumer, client)
        if highwater is not None and position is not None:
            if position >= highwater:
                return position, position
            return position, consumer.end_offsets([client], timeout_ms=LOOKUP_TIMEOUT_MS)[client]
    return None
