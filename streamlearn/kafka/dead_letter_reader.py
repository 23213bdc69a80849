# pyright: reportAttributeAccessIssue=false, reportCallIssue=false, reportArgumentType=false
# The stubs that come with the type checker describe an older client than the one installed.
"""Reading the dead-letter topic from its beginning, and the records that its letters point to."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from kafka import KafkaConsumer
from kafka import errors as kafka_errors
from kafka.structs import TopicPartition as ClientPartition
from pydantic import ValidationError

from streamlearn.errors import RetryableError, UsageError
from streamlearn.kafka.client_options import answered, connection_options
from streamlearn.records.dead_letter import DeadLetter, Letter
from streamlearn.settings.settings import Settings

SILENCE_SECONDS = 30.0
_OPTIONS: dict[str, Any] = {
    "metrics_enabled": False,
    "enable_auto_commit": False,
    "auto_offset_reset": "earliest",
    "isolation_level": "read_committed",
    "allow_auto_create_topics": False,
    "group_id": None,
}


class Wanted(NamedTuple):
    """Which letters: empty sets and None want all. ``topics`` and ``partitions`` are those of the originals, ``since``
    (included) and ``until`` (excluded) milliseconds since the epoch at which letters were written.
    """

    reasons: frozenset[str] = frozenset()
    topics: frozenset[str] = frozenset()
    partitions: frozenset[int] = frozenset()
    since: int | None = None
    until: int | None = None

    def has(self, letter: Letter) -> bool:
        """Return whether a letter is wanted."""
        about = letter.about
        return (
            (not self.reasons or about.reason in self.reasons)
            and (not self.topics or about.topic in self.topics)
            and (not self.partitions or about.partition in self.partitions)
            and (self.since is None or letter.timestamp_ms >= self.since)
            and (self.until is None or letter.timestamp_ms < self.until)
        )


class DeadLetterReader:
    """Reads the dead letters that are committed now.

    Parameters
    ----------
    settings:
        The settings.

    Raises
    ------
    RetryableError
        When no broker answers.
    UsageError
        When the topic does not exist.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._topic = settings.topics.dead_letters
        self.foreign = 0
        with answered(settings, self._topic):
            self._consumer = KafkaConsumer(**connection_options(settings), **_OPTIONS)
        if not self._consumer.partitions_for_topic(self._topic):
            self._consumer.close()
            raise UsageError(
                f"{self._topic} (topics.dead_letters) does not exist at {settings.kafka.bootstrap_servers}"
            )

    def close(self) -> None:
        """Disconnect."""
        self._consumer.close()

    def read(self, wanted: Wanted) -> Iterator[Letter]:
        """Yield the letters that are wanted, partition after partition; ``foreign`` counts records of others."""
        self.foreign = 0
        with answered(self._settings, self._topic):
            for number in sorted(self._consumer.partitions_for_topic(self._topic)):
                for record in self._records(ClientPartition(self._topic, number), None):
                    letter = _letter(record)
                    if letter is None:
                        self.foreign += 1
                    elif wanted.has(letter):
                        yield letter

    def find(self, partition: int, offset: int) -> Letter:
        """Return one letter; raises `UsageError` when there is none at this place."""
        if partition in self._consumer.partitions_for_topic(self._topic):
            for record in self._records(ClientPartition(self._topic, partition), offset):
                letter = _letter(record)
                if letter is not None:
                    return letter
        raise UsageError(
            f"{self._topic} has no dead letter {partition}@{offset}: `streamlearn dead-letters list` names them"
        )

    def original(self, letter: Letter) -> Any | None:
        """Return the record that a letter points to, with its ``key``, ``value`` and ``headers``; None when the log no
        longer has it, or cannot read it."""
        about = letter.about
        try:
            return next(iter(self._records(ClientPartition(about.topic, about.partition), about.offset)), None)
        except (kafka_errors.CorruptRecordError, kafka_errors.UnknownTopicOrPartitionError):
            return None

    def _records(self, partition: ClientPartition, only: int | None) -> Iterator[Any]:
        """Yield the records of a partition up to its end as of now, or the one at an offset if it is there."""
        consumer = self._consumer
        consumer.assign([partition])
        first = consumer.beginning_offsets([partition])[partition]
        end = consumer.end_offsets([partition])[partition]
        if only is not None:
            if not first <= only < end:
                return
            first, end = only, only + 1
        consumer.seek(partition, first)
        heard = time.monotonic()
        while (consumer.position(partition) or 0) < end:
            polled = consumer.poll(timeout_ms=200).get(partition, ())
            if polled:
                heard = time.monotonic()
            elif time.monotonic() - heard > SILENCE_SECONDS:
                raise RetryableError(
                    f"{partition.topic}[{partition.partition}] gave nothing for {SILENCE_SECONDS:.0f} s at "
                    f"{consumer.position(partition)}, though it goes up to {end}: check the brokers"
                )
            for record in polled:
                if record.offset >= end:
                    return
                if only is None or record.offset == only:
                    yield record


def _letter(record: Any) -> Letter | None:
    """Return a record of the topic as a letter; None when another program wrote it."""
    try:
        about = DeadLetter.from_headers(record.headers)
    except ValidationError:
        return None
    return Letter(record.partition, record.offset, record.timestamp, record.key, record.value, record.headers, about)
