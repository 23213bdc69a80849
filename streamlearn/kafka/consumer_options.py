"""Options of every consumer of a worker, and a record as it gives it."""

from __future__ import annotations

import contextlib
import re
from typing import Any

from kafka import errors as kafka_errors
from kafka.structs import TopicPartition as ClientPartition

from streamlearn.source.base import RawRecord, TopicPartition

POLL_RECORDS = 5_000
CALL_MS = 15_000
LOOK_MS = 1_000
UNASSIGNED = (kafka_errors.IllegalStateError, ValueError)
"""What the client raises when asked about a partition that is not, or no longer, assigned."""
FETCH_WAIT_MS = 50
"""Longest wait of the brokers for records. They answer one question at a time: while labels are waited for, instances
are not asked for."""
DAMAGED = re.compile(r"TopicPartition\(topic='([^']+)', partition=(\d+)\) at offset (\d+)")
"""What the client says of a batch that fails its checksum."""
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


def raw_record(record: Any) -> RawRecord:
    """Return a record of the client as one of ours."""
    return RawRecord(
        record.topic, record.partition, record.offset, record.timestamp, record.key, record.value, record.headers
    )


def places(consumer: Any, partition: TopicPartition) -> tuple[int, int] | None:
    """Return where a partition is read next, and where what is committed ends; None when nobody knows."""
    client = ClientPartition(*partition)
    with contextlib.suppress(kafka_errors.KafkaError, KeyError, *UNASSIGNED):
        highwater, position = consumer.highwater(client), consumer.position(client, timeout_ms=LOOK_MS)
        if highwater is not None and position is not None:
            if position >= highwater:
                return position, position
            return position, consumer.end_offsets([client], timeout_ms=LOOK_MS)[client]
    return None
