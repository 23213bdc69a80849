"""Checks that this machine's clock agrees with the clocks that stamp the records."""

from __future__ import annotations

import time

from kafka import KafkaAdminClient
from kafka import errors as kafka_errors
from kafka.structs import TopicPartition

from streamlearn.cleanup import Cleanup
from streamlearn.kafka.admin.topics import TopicDescription
from streamlearn.kafka.client_options import connection_options, convert_client_errors
from streamlearn.settings.settings import Settings

_MAX_TIMESTAMP = -3
"""Asks ListOffsets for the record with the largest timestamp (KIP-734)."""


def find_clock_faults(settings: Settings, topics: dict[str, TopicDescription]) -> list[str]:
    """Return the inputs that hold records from the future, beyond `labels.clock_tolerance_seconds`, a sentence each.

    Ages, such as how long an instance waits for its labels, come from the records' timestamps, capped at this machine's
    clock. Brokers before 3.0 do not report the largest timestamp, so nothing is found there.
    """
    inputs = [topic for topic in (settings.topics.instances, settings.topics.labels) if topic in topics]
    specs = {
        TopicPartition(topic, number): _MAX_TIMESTAMP for topic in inputs for number in range(topics[topic].partitions)
    }
    if not specs:
        return []
    with convert_client_errors(settings, "the newest timestamps"):
        admin = KafkaAdminClient(**connection_options(settings))
    try:
        with Cleanup(admin.close):
            newest = admin.list_partition_offsets(specs)  # pyright: ignore[reportAttributeAccessIssue]
    except kafka_errors.KafkaError:
        # Other checks name what may not be read or has no leader.
        return []
    now = time.time()
    tolerance_seconds = settings.labels.clock_tolerance_seconds
    return [
        f"{partition.topic}[{partition.partition}] has a record stamped {entry.timestamp / 1000 - now:.0f} s after "
        f"this machine's clock (labels.clock_tolerance_seconds: {tolerance_seconds:g}): correct the clock here, or "
        "that of the producer that stamps the records; a lower message.timestamp.after.max.ms makes brokers refuse them"
        for partition, entry in sorted(newest.items())
        if entry.timestamp / 1000 > now + tolerance_seconds
    ]
