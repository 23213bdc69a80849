"""How large the batches of each topic may be, and what to do with records that are too large for their topic.

A broker refuses a batch that has more bytes than the topic's ``max.message.bytes``, both as it was sent and after the
broker has compressed it. Batches are therefore filled up to that limit before any compression.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from kafka import KafkaAdminClient
from kafka import errors as kafka_errors
from kafka.admin import ConfigResource
from kafka.record.default_records import DefaultRecordBatchBuilder

from streamlearn.errors import RetryableError, StopError
from streamlearn.records.dead_letter import leave_out_original
from streamlearn.records.size import LONGEST_KEY_AND_VALUE_BYTES
from streamlearn.settings.settings import Settings
from streamlearn.sink.base import OutputRecord

LIMIT_SETTING = "max.message.bytes"
DEFAULT_LIMIT_BYTES = 1_048_588
"""The brokers' default."""
LARGEST_BATCH_BYTES = 512 << 10
PLAIN_OVERHEAD_BYTES = 100
"""A batch with one record without headers is at most this much larger than its key and value."""
LARGEST_REQUEST_BYTES = 64 << 20
TOO_LARGE_ERRORS = (kafka_errors.MessageSizeTooLargeError, kafka_errors.RecordListTooLargeError)
_USUAL_REQUEST_BYTES = 2 << 20
_LEAST_BATCH_BYTES = 4 << 10
_RESERVED_SHARE = 64
"""A batch that does not compress grows a little when a broker compresses it: this fraction of the limit is left."""


class RecordTooLargeError(StopError):
    """A record has more bytes than its topic takes."""


class TopicLimits:
    """The limits of the topics that a worker writes.

    Where a limit cannot be read, the brokers' default is assumed, and batches become smaller with each refusal.

    Parameters
    ----------
    settings:
        The settings.
    """

    def __init__(self, settings: Settings) -> None:
        topics = settings.topics
        self._dead_letters = topics.dead_letters
        self._is_compressed = settings.kafka.compression != "none"
        self._settings_of = {
            topics.predictions: "topics.predictions",
            topics.events: "topics.events",
            topics.dead_letters: "topics.dead_letters",
            settings.journal_topic: "topics.journal",
        }
        if topics.metrics:
            self._settings_of[topics.metrics] = "topics.metrics"
        self._known: dict[str, int] = {}
        self._assumed_bytes = DEFAULT_LIMIT_BYTES
        # One byte less than the smallest record that the brokers have refused, by topic.
        self._refused: dict[str, int] = {}
        # Key and value of a record without headers that is certain to fit, by topic.
        self._room: dict[str, int] = {}

    def read(self, admin: KafkaAdminClient) -> None:
        """Read the limits of the topics; those that cannot be read are unknown."""
        known = read_limits(admin, list(self._settings_of))
        self._refused = {
            topic: size for topic, size in self._refused.items() if known.get(topic) == self._known.get(topic)
        }
        self._known = known
        self._room = {topic: self._plain_room(topic) for topic in self._settings_of}

    def _limit(self, topic: str) -> int:
        limit = self._known.get(topic, DEFAULT_LIMIT_BYTES)
        return min(limit, self._refused.get(topic, limit))

    def _plain_room(self, topic: str) -> int:
        return min(self._limit(topic) - PLAIN_OVERHEAD_BYTES, LONGEST_KEY_AND_VALUE_BYTES)

    def batch_bytes(self, topic: str) -> int:
        """Return up to how many bytes, uncompressed, the batches of a topic are filled."""
        return largest_batch(self._known.get(topic, self._assumed_bytes))

    def is_certain(self, topic: str) -> bool:
        """Return whether a topic takes all records that `fit` returns, unless its limit is lowered."""
        return topic in self._known and not self._is_compressed

    def request_bytes(self) -> int:
        """Return the largest request: it has room for the largest record of every topic."""
        return min(max([_USUAL_REQUEST_BYTES, *self._known.values()]), LARGEST_REQUEST_BYTES)

    def note_refused_batch(self) -> None:
        """Note that a broker has refused a batch as too large: where the limit is unknown, batches become smaller."""
        self._assumed_bytes = max(_LEAST_BATCH_BYTES, self._assumed_bytes // 2)

    def note_refused_record(self, record: OutputRecord) -> RetryableError | RecordTooLargeError:
        """Note that the brokers have refused a record as too large, alone in its batch; return the error to raise.

        It is a `RetryableError` where `fit` now makes the record smaller.
        """
        topic = record.topic
        self._refused[topic] = min(batch_bytes_of(record) - 1, self._limit(topic))
        self._room[topic] = self._plain_room(topic)
        error = self._too_large_error(record)
        try:
            return error if self.fit(record) == record else RetryableError(str(error))
        except RecordTooLargeError:
            return error

    def fit(self, record: OutputRecord) -> OutputRecord:
        """Return a record as its topic takes it: without its key if need be, and a dead letter without the original.

        So nothing that an input contains, however long, can keep the outputs from being written.

        Raises
        ------
        RecordTooLargeError
            When its topic does not take it; one that will be compressed is left to the brokers.
        """
        topic, partition, key, value, headers = record
        plain_bytes = (0 if key is None else len(key)) + (0 if value is None else len(value))
        if not headers and plain_bytes <= self._room.get(topic, 0):
            return record
        limit = self._limit(topic)
        if topic == self._dead_letters:
            for room in (sys.maxsize, 0):
                if batch_bytes_of(record) > limit:
                    left = leave_out_original(key, value, headers, room, without_value=True)
                    record = OutputRecord(topic, partition, *left)
        elif key is not None and value is not None and plain_bytes > self._room.get(topic, 0):
            record = OutputRecord(topic, partition, None, value, headers)
        if self.is_certain(topic) and batch_bytes_of(record) > limit:
            raise self._too_large_error(record)
        return record

    def _too_large_error(self, record: OutputRecord) -> RecordTooLargeError:
        size, topic = batch_bytes_of(record), record.topic
        limit, advice = "unknown", f"grant DESCRIBE_CONFIGS on it and raise its {LIMIT_SETTING}"
        if topic in self._known:
            limit, advice = f"{self._known[topic]:,} bytes", f"raise its {LIMIT_SETTING}"
        return RecordTooLargeError(
            f"a record for topic {topic} ({self._settings_of.get(topic, 'a topic of no setting')}) has {size:,} bytes, "
            f"more than the topic takes ({LIMIT_SETTING}: {limit}): {advice}, then start again; nothing that was "
            "committed is lost"
        )


def read_limits(admin: KafkaAdminClient, topics: Sequence[str]) -> dict[str, int]:
    """Return the largest batch, in bytes, that each topic takes, without topics whose settings cannot be read.

    A broker that does not answer is met again by what follows, which needs it.
    """
    resources: Any = [ConfigResource("TOPIC", topic, {LIMIT_SETTING: None}) for topic in topics]  # pyright: ignore[reportArgumentType]
    try:
        described = admin.describe_configs(resources, config_filter="all")  # pyright: ignore[reportCallIssue]
    except kafka_errors.KafkaError:
        return {}
    return {
        topic: int(configs[LIMIT_SETTING]["value"])
        for by_name in described.values()
        for topic, configs in by_name.items()
        if LIMIT_SETTING in configs
    }


def largest_batch(limit_bytes: int) -> int:
    """Return up to how many bytes, uncompressed, the batches for a topic with a limit are filled."""
    return min(LARGEST_BATCH_BYTES, limit_bytes - limit_bytes // _RESERVED_SHARE)


def batch_bytes_of(record: OutputRecord) -> int:
    """Return the maximum size of a batch with one record, uncompressed."""
    return DefaultRecordBatchBuilder.estimate_size_in_bytes(record.key, record.value, record.headers)
