"""A record that a broker refuses, outside transactions, keeps no later record from being written."""

from __future__ import annotations

from pathlib import Path

import pytest
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType

from streamlearn.engine.loop.engine import Engine
from streamlearn.errors import RetryableError, StopError
from streamlearn.kafka.dead_letter_reader import DeadLetterFilter, DeadLetterReader
from streamlearn.kafka.dead_letter_replayer import DeadLetterReplayer
from streamlearn.kafka.sink import KafkaSink
from streamlearn.kafka.source import KafkaSource
from streamlearn.sink.base import OutputRecord
from streamlearn.snapshot.store import SnapshotStore
from tests.integration.reference import settings_of
from tests.integration.service import Service

LIMIT = 2_000


def limit_records(service: Service, role: str) -> None:
    """Let the broker refuse records of a topic above `LIMIT` bytes."""
    admin = KafkaAdminClient(bootstrap_servers=service.broker)
    resource = ConfigResource(ConfigResourceType.TOPIC, service.topic(role), {"max.message.bytes": str(LIMIT)})
    admin.alter_configs([resource])
    admin.close()


def test_measures_are_written_again_after_a_refused_record(service: Service) -> None:
    service.make_topics()
    limit_records(service, "metrics")
    sink = KafkaSink(settings_of(service, labels=False))
    sent: list[bytes] = []
    refusals: list[str] = []

    def publish(value: bytes) -> None:
        try:
            sink.publish(OutputRecord(service.topic("metrics"), 0, None, value))
        except StopError as error:
            refusals.append(str(error))
        sent.append(value)

    try:
        publish(b"before")
        service.wait("the first record", lambda: len(service.read("metrics")) == 1)
        publish(b"x" * 2 * LIMIT)

        def is_reported() -> bool:
            publish(b"%d" % len(sent))
            return bool(refusals)

        service.wait("the refusal to be reported", is_reported)
        last = sent[-1]
        publish(b"after")
        service.wait("the last record", lambda: [r.value for r in service.read("metrics")][-2:] == [last, b"after"])
    finally:
        sink.close()
    assert len(refusals) == 1
    assert "MessageSizeTooLargeError" in refusals[0]
    assert b"x" * 2 * LIMIT not in [record.value for record in service.read("metrics")]


def test_a_replay_names_a_refused_record_and_sends_the_others(service: Service, tmp_path: Path) -> None:
    service.make_topics()
    bad = [b"{%d" % number for number in range(12)]
    bad[4] = b"{" + b"x" * 2 * LIMIT
    service.produce_raw("instances", bad)
    settings = settings_of(service, labels=False, more=["limits.bad_share=1"])
    engine = Engine(settings, KafkaSource(settings), KafkaSink(settings), SnapshotStore(str(tmp_path)))
    engine.run(stop_at_end=True, leave=True)
    limit_records(service, "instances")
    reader, replayer = DeadLetterReader(settings), DeadLetterReplayer(settings)
    try:
        for letter in reader.read(DeadLetterFilter()):
            replayer.send(letter, letter.key, letter.value, letter.headers)
        expected = (
            r"^only 11 of 12 records were acknowledged; refused: 0@4 \(a record of 4,\d\d\d bytes is larger than "
            rf"max.message.bytes of {service.topic('instances')}\)\. "
        )
        with pytest.raises(RetryableError, match=expected):
            replayer.finish()
    finally:
        reader.close()
        replayer.close()
    replayed = [record.value for record in service.read("instances")[12:]]
    assert sorted(replayed) == sorted(value for value in bad if value != bad[4]), "each once"
