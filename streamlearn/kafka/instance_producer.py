# pyright: reportCallIssue=false
# The stubs that come with the type checker describe an older client than the one installed.
"""Sending a stream to Kafka, as a producer of instances and labels would."""

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
from streamlearn.settings.addresses import parse_broker_addresses
from streamlearn.settings.security import SecuritySettings
from streamlearn.streams.base import Stream, StreamRow

UNCHECKED_AT_MOST = 10_000


class NoBrokerError(RetryableError):
    """No broker could be reached."""


class Sent(NamedTuple):
    """How many records were acknowledged."""

    instances: int
    labels: int


class _Sender:
    """Sends records and checks that each was acknowledged."""

    def __init__(self, producer: KafkaProducer) -> None:
        self._producer = producer
        self._futures: deque[Any] = deque()
        self._encode = msgspec.json.Encoder().encode

    def send(self, topic: str, identity: str, record: dict[str, Any]) -> None:
        self._futures.append(self._producer.send(topic, value=self._encode(record), key=identity.encode()))
        while len(self._futures) > UNCHECKED_AT_MOST:
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
    security: SecuritySettings | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Sent:
    """Send rows in order, and return when all are acknowledged.

    Parameters
    ----------
    labels_topic:
        Where truths go, ``label_delay`` instances after their own; without it they are inside the instances.
    rate:
        Instances a second; None is as fast as it goes.
    security:
        TLS and SASL; None: neither.

    Raises
    ------
    UsageError
        When ``bootstrap`` is no address, a topic does not exist, or a row does not fit the stream's features.
    RetryableError
        When the brokers cannot be reached or do not acknowledge.
    """
    try:
        servers = parse_broker_addresses(bootstrap)
    except ValueError as error:
        raise UsageError(f"--bootstrap {bootstrap!r}: {error}") from None
    try:
        producer = KafkaProducer(
            **security_options(security or SecuritySettings()),
            bootstrap_servers=servers,
            bootstrap_timeout_ms=5_000,
            max_block_ms=10_000,
            linger_ms=5,
            batch_size=256 << 10,
            acks="all",
            allow_auto_create_topics=False,
        )
    except kafka_errors.KafkaError as error:
        raise NoBrokerError(f"no broker answers at {bootstrap}: {error}") from error
    try:
        for name in (topic, labels_topic):
            if name is not None and not _exists(producer, name):
                raise UsageError(
                    f"topic {name} does not exist at {bootstrap}: create it, as with "
                    f"`streamlearn topics create --set topics.instances={name}`"
                )
        return _send(stream, _Sender(producer), topic, labels_topic, label_delay, rate, limit, clock, sleep)
    except kafka_errors.KafkaError as error:
        raise RetryableError(f"records were not acknowledged by {bootstrap}: {error}") from error
    finally:
        producer.close(timeout=10)


def _exists(producer: KafkaProducer, topic: str) -> bool:
    try:
        return bool(producer.partitions_for(topic))
    except kafka_errors.KafkaError:
        return False


def _send(
    stream: Stream,
    sender: _Sender,
    topic: str,
    labels_topic: str | None,
    label_delay: int,
    rate: float | None,
    limit: int | None,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> Sent:
    waiting: deque[tuple[int, str, Any]] = deque()
    begun = clock()
    instances = labels = 0

    def send_label() -> None:
        _, identity, truth = waiting.popleft()
        assert labels_topic is not None
        sender.send(labels_topic, identity, {"id": identity, "y": truth})

    for row in itertools.islice(stream, limit):
        if rate is not None:
            ahead = instances / rate - (clock() - begun)
            if ahead > 0:
                sleep(ahead)
        identity = row.id if row.id is not None else str(instances)
        record: dict[str, Any] = {"id": identity, "x": _named(row, stream, instances)}
        if labels_topic is None:
            if row.y is not None:
                record["y"] = row.y
        elif row.y is not None:
            waiting.append((instances + label_delay, identity, row.y))
        sender.send(topic, identity, record)
        while waiting and waiting[0][0] <= instances:
            send_label()
            labels += 1
        instances += 1
    while waiting:
        send_label()
        labels += 1
    sender.finish()
    return Sent(instances, labels)


def _named(row: StreamRow, stream: Stream, number: int) -> Any:
    """Return the features by name where the stream names its columns."""
    if isinstance(row.x, dict) or not stream.features:
        return row.x
    if len(row.x) != len(stream.features):
        raise UsageError(
            f"{stream.name}, row {number}: it has {len(row.x)} values, but the stream declares "
            f"{len(stream.features)} features: correct the row, or leave it out"
        )
    return {name: value for name, value in zip(stream.features, row.x, strict=True) if value is not None}
