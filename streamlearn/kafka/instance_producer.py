"""Sends a stream to Kafka, as a producer of instances and labels would."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
from kafka import KafkaProducer
from kafka import errors as kafka_errors

from streamlearn.errors import RetryableError, UsageError
from streamlearn.kafka.client_options import security_options
from streamlearn.kafka.codecs import compression_options
from streamlearn.settings.addresses import parse_broker_addresses
from streamlearn.settings.names import check_topic_name
from streamlearn.settings.settings import KafkaSettings
from streamlearn.streams.base import Stream, StreamRow

MAX_UNCHECKED = 10_000
"""Records whose acknowledgement has not been checked yet, at most."""


class BootstrapError(RetryableError):
    """The client could not connect to any broker."""


class SendResult(NamedTuple):
    """Numbers of records that were acknowledged."""

    instances: int
    labels: int


class _Sender:
    """Sends records and checks that each was acknowledged."""

    def __init__(self, producer: KafkaProducer) -> None:
        self._producer = producer
        self._futures: deque[Any] = deque()
        self._encode = msgspec.json.Encoder().encode

    def send(self, topic: str, key: str, record: dict[str, Any]) -> None:
        self._futures.append(self._producer.send(topic, value=self._encode(record), key=key.encode()))
        while len(self._futures) > MAX_UNCHECKED:
            self._futures.popleft().get(timeout=30)

    def finish(self) -> None:
        self._producer.flush(timeout=60)
        for future in self._futures:
            future.get(timeout=1)


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
        match the stream's features, or the codec cannot be used here.
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
    try:
        producer = KafkaProducer(
            **security_options(kafka.security),
            **compression_options(kafka),
            bootstrap_servers=servers,
            bootstrap_timeout_ms=5_000,  # pyright: ignore[reportCallIssue]
            max_block_ms=10_000,
            linger_ms=5,
            batch_size=256 << 10,
            acks="all",
            allow_auto_create_topics=False,
        )
    except kafka_errors.KafkaError as error:
        raise BootstrapError(f"no broker answers at {bootstrap}: {error}") from error
    try:
        for name in (topic, labels_topic):
            if name is not None and not _topic_exists(producer, name):
                raise UsageError(
                    f"topic {name} does not exist at {bootstrap}: create it, as with "
                    f"`streamlearn topics create --set topics.instances={name}`"
                )
        return _send_rows(stream, _Sender(producer), topic, labels_topic, label_delay, rate, limit, clock, sleep)
    except kafka_errors.KafkaError as error:
        raise RetryableError(
            f"records were not acknowledged by {bootstrap}: {error}; check the brokers, then send them again"
        ) from error
    finally:
        producer.close(timeout=10)


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
