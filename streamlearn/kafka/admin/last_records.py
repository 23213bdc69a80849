"""Reads the last records of topics, as a sample."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping

from kafka import KafkaConsumer
from kafka import errors as kafka_errors
from kafka.structs import TopicPartition

from streamlearn.cleanup import Cleanup
from streamlearn.kafka.client_internals import local_position, poll
from streamlearn.kafka.client_options import lookup_options
from streamlearn.kafka.consumer_options import MAX_POLL_RECORDS, READ_OPTIONS, to_raw_record
from streamlearn.settings.settings import Settings
from streamlearn.source.base import RawRecord

LAST_RECORDS = 200
"""Records of each partition that are read."""
POLL_MS = 100
READ_SECONDS = 5.0
"""Longest wait for the records, and for each of the two offsets before."""


def read_last_records(settings: Settings, counts: Mapping[str, int]) -> dict[str, list[RawRecord]]:
    """Return the last `LAST_RECORDS` records of each partition of topics; those that are read within `READ_SECONDS`.

    Parameters
    ----------
    counts:
        Number of partitions of each topic.

    Raises
    ------
    kafka.errors.KafkaError, KeyError
        A topic may not be read, or a partition has no leader: the client then leaves it out of its answers.
    """
    found: dict[str, list[RawRecord]] = {topic: [] for topic in counts}
    partitions = [TopicPartition(topic, number) for topic, count in counts.items() for number in range(count)]
    consumer = KafkaConsumer(**lookup_options(settings), **READ_OPTIONS, group_id=None)
    with Cleanup(lambda: _close(consumer)):
        consumer.assign(partitions)
        timeout_ms = int(READ_SECONDS * 1_000)
        starts = consumer.beginning_offsets(partitions, timeout_ms=timeout_ms)  # pyright: ignore[reportCallIssue]
        ends = consumer.end_offsets(partitions, timeout_ms=timeout_ms)  # pyright: ignore[reportCallIssue]
        for partition in partitions:
            consumer.seek(partition, max(starts[partition], ends[partition] - LAST_RECORDS))
        waiting = {partition for partition in partitions if ends[partition] > starts[partition]}
        deadline = time.monotonic() + READ_SECONDS
        while waiting and time.monotonic() < deadline:
            for partition, records in poll(consumer, POLL_MS, MAX_POLL_RECORDS).items():
                found[partition.topic].extend(map(to_raw_record, records))
            waiting = {
                partition for partition in waiting if (local_position(consumer, partition) or 0) < ends[partition]
            }
    return found


def _close(consumer: KafkaConsumer) -> None:
    with contextlib.suppress(kafka_errors.KafkaError):
        consumer.close(autocommit=False, timeout_ms=1_000)
