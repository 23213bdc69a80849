"""Sends a stream to Kafka, as a producer of instances and labels would."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec
from kafka import KafkaAdminClient, KafkaProducer
from kafka import errors as kafka_errors

from streamlearn.cleanup import Cleanup
from streamlearn.errors import RetryableError, UsageError
from streamlearn.kafka.client_options import ANSWER_TIMEOUT_MS, security_options
from streamlearn.kafka.codecs import compression_options
from streamlearn.kafka.topic_limits import (
    LIMIT_SETTING,
    TOO_LARGE_ERRORS,
    batch_bytes_of,
    largest_batch,
    read_limits,
)
from streamlearn.settings.addresses import parse_broker_addresses
from streamlearn.settings.names import check_topic_name
from streamlearn.settings.settings import KafkaSettings
from streamlearn.sink.base import OutputRecord
from streamlearn.streams.base import Stream, StreamRow

LARGEST_BATCH_BYTES = 256 << 10
LARGEST_REQUEST_BYTES = 1 << 20
ACKNOWLEDGE_SECONDS = 30.0
FINISH_SECONDS = 60.0
MAX_UNCHECKED = 10_000
"""Records whose acknowledgement has not been checked yet, at most."""


class BootstrapError(RetryableError):
    """The client could not connect to any broker."""


class SendResult(NamedTuple):
    """Numbers of records that were acknowledged."""

    instances: int
    labels: int


class _Sender:
    """Sends records and checks that each was acknowledged.

    Parameters
    ----------
    limits:
        The largest batch, in bytes, of each topic whose limit is known.
    """

    def __init__(self, producer: KafkaProducer, limits: Mapping[str, int]) -> None:
        self._producer = producer
        self._limits = limits
        self._sent: deque[tuple[OutputRecord, Any]] = deque()
        self._encode = msgspec.json.Encoder().encode

    def send(self, topic: str, key: str, record: dict[str, Any]) -> None:
        sent = OutputRecord(topic, 0, key.encode(), self._encode(record))
        try:
            self._sent.append((sent, self._producer.send(topic, value=sent.value, key=sent.key)))
        except TOO_LARGE_ERRORS as error:
            raise self._too_large_error(sent) from error
        while len(self._sent) > MAX_UNCHECKED:
            self._check_first(ACKNOWLEDGE_SECONDS)

    def finish(self) -> None:
        deadline = time.monotonic() + FINISH_SECONDS
        while self._sent:
            self._check_first(max(0.1, deadline - time.monotonic()))

    def _check_first(self, timeout_seconds: float) -> None:
        record, future = self._sent.popleft()
        try:
            future.get(timeout=timeout_seconds)
        except TOO_LARGE_ERRORS as error:
            raise self._too_large_error(record) from error

    def _too_large_error(self, record: OutputRecord) -> UsageError:
        limit = self._limits.get(record.topic)
        return UsageError(
            f"the record with key {(record.key or b'').decode()!r} for topic {record.topic} has "
            f"{batch_bytes_of(record):,} bytes, more than the topic takes ({LIMIT_SETTING}: "
            f"{'unknown' if limit is None else f'{limit:,} bytes'}): raise its {LIMIT_SETTING}, or leave the row out"
        )


def send_stream(
    stream: Stream,
    *,
    bootstrap: str,
    topic: str,
    labels_topic: str | None = None,
    label_delay: int = 0,
    rate: float | None = None,
    limit: int | None = None,
    kafka: KafkaSettings | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> SendResult:
    """Send rows in order, and return when all are acknowledged.

    Parameters
    ----------
    labels_topic:
        Topic of the truths, which are sent ``label_delay`` instances after their own; by default they are part of the
        instances.
    rate:
        Instances per second; by default as many as possible.
    kafka:
        Compression, TLS and SASL; by default none of them.

    Raises
    ------
    UsageError
        When ``bootstrap`` is no address, a name is none that a topic can have, a topic does not exist, a row does not
        match the stream's features or is too large for its topic, or the codec cannot be used here.
    RetryableError
        When the brokers cannot be reached (`BootstrapError`) or do not acknowledge.
    """
    try:
        servers = parse_broker_addresses(bootstrap)
    except ValueError as error:
        raise UsageError(f"--bootstrap {bootstrap!r}: {error}") from None
    for option, name in (("--topic", topic), ("--labels-topic", labels_topic)):
        if name is not None:
            try:
                check_topic_name(name)
            except ValueError as error:
                raise UsageError(f"{option} {name!r}: {error}") from None
    kafka = kafka or KafkaSettings()
    options: dict[str, Any] = {
        **security_options(kafka.security),
        "bootstrap_servers": servers,
        "bootstrap_timeout_ms": 5_000,
    }
    compression = compression_options(kafka)
    try:
        limits = _read_limits(options, [name for name in (topic, labels_topic) if name is not None])
        producer = KafkaProducer(
            **options,
            **compression,
            max_block_ms=10_000,
            linger_ms=5,
            batch_size=min([LARGEST_BATCH_BYTES, *map(largest_batch, limits.values())]),
            max_request_size=max([LARGEST_REQUEST_BYTES, *limits.values()]),
            acks="all",
            allow_auto_create_topics=False,
        )
    except kafka_errors.KafkaError as error:
        raise BootstrapError(f"no broker answers at {bootstrap}: {error}") from error
    with Cleanup(lambda: producer.close(timeout=10)):
        for name in (topic, labels_topic):
            if name is not None and not _topic_exists(producer, name):
                raise UsageError(
                    f"topic {name} does not exist at {bootstrap}: create it, as with "
                    f"`streamlearn topics create --set topics.instances={name}`"
                )
        try:
            return _send_rows(
                stream, _Sender(producer, limits), topic, labels_topic, label_delay, rate, limit, clock, sleep
            )
        except kafka_errors.KafkaError as error:
            raise RetryableError(
                f"records were not acknowledged by {bootstrap}: {error}; check the brokers, then send them again"
            ) from error


def _read_limits(options: dict[str, Any], topics: list[str]) -> dict[str, int]:
    admin = KafkaAdminClient(**options, request_timeout_ms=ANSWER_TIMEOUT_MS)
    with Cleanup(admin.close):
        return read_limits(admin, topics)


def _topic_exists(producer: KafkaProducer, topic: str) -> bool:
    try:
        return bool(producer.partitions_for(topic))
    except kafka_errors.KafkaError:
        return False


def _send_rows(
    stream: Stream,
    sender: _Sender,
    topic: str,
    labels_topic: str | None,
    label_delay: int,
    rate: float | None,
    limit: int | None,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> SendResult:
    delayed: deque[tuple[int, str, Any]] = deque()
    start = clock()
    instances = labels = 0

    def send_label() -> None:
        _, instance_id, truth = delayed.popleft()
        assert labels_topic is not None
        sender.send(labels_topic, instance_id, {"id": instance_id, "y": truth})

    for row in itertools.islice(stream, limit):
        if rate is not None:
            ahead = instances / rate - (clock() - start)
            if ahead > 0:
                sleep(ahead)
        instance_id = row.id if row.id is not None else str(instances)
        record: dict[str, Any] = {"id": instance_id, "x": _name_features(row, stream, instances)}
        if labels_topic is None:
            if row.y is not None:
                record["y"] = row.y
        elif row.y is not None:
            delayed.append((instances + label_delay, instance_id, row.y))
        sender.send(topic, instance_id, record)
        while delayed and delayed[0][0] <= instances:
            send_label()
            labels += 1
        instances += 1
    while delayed:
        send_label()
        labels += 1
    sender.finish()
    return SendResult(instances, labels)


def _name_features(row: StreamRow, stream: Stream, number: int) -> Any:
    """Return a row's features by name when the stream names its columns, else as they are."""
    if isinstance(row.x, dict) or not stream.features:
        return row.x
    if len(row.x) != len(stream.features):
        raise UsageError(
            f"{stream.name}, row {number}: it has {len(row.x)} values, but the stream declares "
            f"{len(stream.features)} features: correct the row, or leave it out"
        )
    return {name: value for name, value in zip(stream.features, row.x, strict=True) if value is not None}
