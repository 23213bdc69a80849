"""Options of every consumer of a worker, and a record as it gives it."""

from __future__ import annotations

import re
from typing import Any

from streamlearn.source.base import RawRecord

POLL_RECORDS = 5_000
CALL_MS = 15_000
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
