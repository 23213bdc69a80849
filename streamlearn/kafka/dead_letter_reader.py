"""Reads the dead-letter topic from its beginning, and the records that its letters point to."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from kafka import KafkaConsumer
from kafka import errors as kafka_errors
from kafka.structs import TopicPartition as ClientPartition
from pydantic import ValidationError

from streamlearn.errors import RetryableError, UsageError
from streamlearn.kafka.admin.reachability import connect
from streamlearn.kafka.client_errors import raises_no_client_errors
from streamlearn.kafka.client_internals import local_position, poll
from streamlearn.kafka.client_options import convert_client_errors, lookup_options
from streamlearn.kafka.consumer_options import CALL_TIMEOUT_MS, MAX_POLL_RECORDS
from streamlearn.records.dead_letter import DeadLetter, DeadLetterRecord
from streamlearn.settings.names import check_topic_name
from streamlearn.settings.settings import Settings

MAX_SILENCE_SECONDS = 30.0
POLL_MS = 200
_OPTIONS: dict[str, Any] = {
    "metrics_enabled": False,
    "enable_auto_commit": False,
    "auto_offset_reset": "earliest",
    "isolation_level": "read_committed",
    "allow_auto_create_topics": False,
    "group_id": None,
}


class DeadLetterFilter(NamedTuple):
    """Selects dead letters; empty sets and None select all.

    ``topics`` and ``partitions`` are those of the original records. ``since`` (included) and ``until`` (excluded) are
    milliseconds since the epoch at which the letters were written.
    """

    reasons: frozenset[str] = frozenset()
    topics: frozenset[str] = frozenset()
    partitions: frozenset[int] = frozenset()
    since: int | None = None
    until: int | None = None

    def matches(self, letter: DeadLetterRecord) -> bool:
        """Return whether a letter is selected."""
        about = letter.about
        return (
            (not self.reasons or about.reason in self.reasons)
            and (not self.topics or about.topic in self.topics)
            and (not self.partitions or about.partition in self.partitions)
            and (self.since is None or letter.timestamp_ms >= self.since)
            and (self.until is None or letter.timestamp_ms < self.until)
        )


@raises_no_client_errors
class DeadLetterReader:
    """Reads the dead letters that are committed now.

    Parameters
    ----------
    settings:
        The settings.

    Raises
    ------
    RetryableError, UsageError
        As `connect`; a `UsageError` also when the topic does not exist.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._topic = settings.topics.dead_letters
        self.foreign = 0
        options = {**lookup_options(settings), **_OPTIONS}
        self._consumer = connect(settings, lambda: KafkaConsumer(**options))
        with convert_client_errors(settings, self._topic):
            exists = bool(self._partitions(self._topic))
        if not exists:
            self.close()
            raise UsageError(
                f"{self._topic} (topics.dead_letters) does not exist at {settings.kafka.bootstrap_servers}: correct "
                "the setting, or create the topic with `streamlearn topics create`"
            )

    def close(self) -> None:
        """Disconnect."""
        with contextlib.suppress(kafka_errors.KafkaError):
            self._consumer.close(autocommit=False, timeout_ms=5_000)

    def read(self, filter_: DeadLetterFilter) -> Iterator[DeadLetterRecord]:
        """Yield the letters that match, partition after partition; count records of other programs in ``foreign``."""
        self.foreign = 0
        with convert_client_errors(self._settings, self._topic):
            for number in sorted(self._partitions(self._topic)):
                for record in self._read_records(ClientPartition(self._topic, number), None):
                    letter = _parse_letter(record)
                    if letter is None:
                        self.foreign += 1
                    elif filter_.matches(letter):
                        yield letter

    def find(self, partition: int, offset: int) -> DeadLetterRecord:
        """Return the letter at an offset.

        Raises
        ------
        UsageError
            When there is none.
        """
        with convert_client_errors(self._settings, self._topic):
            if partition in self._partitions(self._topic):
                for record in self._read_records(ClientPartition(self._topic, partition), offset):
                    letter = _parse_letter(record)
                    if letter is not None:
                        return letter
        raise UsageError(
            f"{self._topic} has no dead letter {partition}@{offset}: `streamlearn dead-letters list` names them"
        )

    def original(self, letter: DeadLetterRecord) -> Any | None:
        """Return the record that a letter points to, with its ``key``, ``value`` and ``headers``.

        None when the log no longer has it, or cannot read it.
        """
        about = letter.about
        try:
            check_topic_name(about.topic)
        except ValueError:
            # Any program may have written the letter.
            return None
        partition = ClientPartition(about.topic, about.partition)
        with convert_client_errors(self._settings, about.topic):
            if about.partition not in self._partitions(about.topic):
                return None
            try:
                return next(self._read_records(partition, about.offset), None)
            except (kafka_errors.CorruptRecordError, kafka_errors.UnknownTopicOrPartitionError):
                return None

    def _partitions(self, topic: str) -> set[int]:
        return self._consumer.partitions_for_topic(topic) or set()

    def _read_records(self, partition: ClientPartition, only: int | None) -> Iterator[Any]:
        """Yield the records of a partition up to its current end, or the one at an offset if it exists."""
        consumer = self._consumer
        consumer.assign([partition])
        try:
            start = consumer.beginning_offsets([partition], timeout_ms=CALL_TIMEOUT_MS)[partition]  # pyright: ignore[reportCallIssue]
            end = consumer.end_offsets([partition], timeout_ms=CALL_TIMEOUT_MS)[partition]  # pyright: ignore[reportCallIssue]
        except KeyError:
            raise RetryableError(
                f"{partition.topic}[{partition.partition}] has no known leader: check the brokers, then try again"
            ) from None
        if only is not None:
            if not start <= only < end:
                return
            start, end = only, only + 1
        consumer.seek(partition, start)
        last_record = time.monotonic()
        while (local_position(consumer, partition) or 0) < end:
            polled = poll(consumer, POLL_MS, MAX_POLL_RECORDS).get(partition, ())
            if polled:
                last_record = time.monotonic()
            elif time.monotonic() - last_record > MAX_SILENCE_SECONDS:
                raise RetryableError(
                    f"{partition.topic}[{partition.partition}] returned nothing for {MAX_SILENCE_SECONDS:.0f} s at "
                    f"offset {local_position(consumer, partition)}, although it goes up to {end}: check the brokers"
                )
            for record in polled:
                if record.offset >= end:
                    return
                if only is None or record.offset == only:
                    yield record


def _parse_letter(record: Any) -> DeadLetterRecord | None:
    """Return a record of the topic as a dead letter; None when another program wrote it."""
    try:
        about = DeadLetter.from_headers(record.headers)
    except ValidationError:
        return None
    return DeadLetterRecord(
        record.partition, record.offset, record.timestamp, record.key, record.value, record.headers, about
    )
