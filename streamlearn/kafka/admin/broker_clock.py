"""Checks that the records are stamped, and that this machine's clock agrees with the clocks that stamp them."""

from __future__ import annotations

import time
from collections.abc import Mapping

from kafka import KafkaAdminClient
from kafka import errors as kafka_errors
from kafka.structs import TopicPartition

from streamlearn.cleanup import Cleanup
from streamlearn.kafka.admin.last_records import read_last_records
from streamlearn.kafka.admin.topics import TopicDescription
from streamlearn.kafka.client_options import convert_client_errors, lookup_options
from streamlearn.settings.settings import Settings

_MAX_TIMESTAMP = -3
"""Asks ListOffsets for the record with the largest timestamp (KIP-734)."""


def find_clock_faults(settings: Settings, topics: Mapping[str, TopicDescription]) -> list[str]:
    """Return the inputs that hold records from the future, beyond `labels.clock_tolerance_seconds`, a sentence each.

    Ages, such as how long an instance waits for its labels, come from the records' timestamps, capped at this machine's
    clock. Brokers before 3.0 do not report the largest timestamp, so nothing is found there.
    """
    specs = {
        TopicPartition(topic, number): _MAX_TIMESTAMP
        for topic, count in _inputs(settings, topics).items()
        for number in range(count)
    }
    if not specs:
        return []
    with convert_client_errors(settings, "the newest timestamps"):
        admin = KafkaAdminClient(**lookup_options(settings))
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


def find_timestamp_warnings(settings: Settings, topics: Mapping[str, TopicDescription]) -> list[str]:
    """Return which inputs have records without a timestamp (-1) among the last of each partition, a sentence each.

    Some clients write such records, and so do brokers that have converted records of the oldest format.
    """
    try:
        found = read_last_records(settings, _inputs(settings, topics))
    except (kafka_errors.KafkaError, KeyError):
        # Other checks name what may not be read or has no leader.
        return []
    counts = {
        topic: (sum(record.timestamp_ms < 0 for record in records), len(records)) for topic, records in found.items()
    }
    return [
        f"{without} of the last {of} records of {topic} have no timestamp (-1): they count as of the moment at which a "
        "worker applies them, so how long instances wait for their labels depends on how fast it reads; let the "
        "producer stamp its records, or set message.timestamp.type=LogAppendTime on the topic"
        for topic, (without, of) in counts.items()
        if without
    ]


def _inputs(settings: Settings, topics: Mapping[str, TopicDescription]) -> dict[str, int]:
    """Return the input topics that exist, with their numbers of partitions."""
    names = (settings.topics.instances, settings.topics.labels)
    return {topic: topics[topic].partitions for topic in names if topic in topics}
