# pyright: reportAttributeAccessIssue=false, reportCallIssue=false, reportArgumentType=false
# The stubs that come with the type checker describe an older client than the one installed.
"""Whether the clock here and those that stamp the records agree."""

from __future__ import annotations

import time

from kafka import KafkaAdminClient
from kafka import errors as kafka_errors
from kafka.structs import TopicPartition

from streamlearn.kafka.admin.topics import FoundTopic
from streamlearn.kafka.client_options import connection_options
from streamlearn.settings.settings import Settings

AHEAD_SECONDS = 60.0
_NEWEST = -3
"""Asks ListOffsets for the record with the largest timestamp (KIP-734)."""


def clock_faults(settings: Settings, found: dict[str, FoundTopic]) -> list[str]:
    """Return the inputs that hold records of the future, a sentence each.

    Ages, such as how long an instance waits for its labels, come from the records' timestamps, capped at this machine's
    clock. Brokers that do not tell the newest timestamp (before 3.0) are not asked.
    """
    topics = [topic for topic in (settings.topics.instances, settings.topics.labels) if topic in found]
    asked = {TopicPartition(topic, number): _NEWEST for topic in topics for number in range(found[topic].partitions)}
    if not asked:
        return []
    admin = KafkaAdminClient(**connection_options(settings))
    try:
        newest = admin.list_partition_offsets(asked)
    except kafka_errors.KafkaError:
        # What may not be read, or has no leader, is named elsewhere.
        return []
    finally:
        admin.close()
    now = time.time()
    return [
        f"{place.topic}[{place.partition}] has a record stamped {entry.timestamp / 1000 - now:.0f} s after this "
        "machine's clock: correct the clock here, or that of whoever stamps the records"
        for place, entry in sorted(newest.items())
        if entry.timestamp / 1000 > now + AHEAD_SECONDS
    ]
