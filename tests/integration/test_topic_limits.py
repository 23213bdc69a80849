"""Topics that take smaller batches than ours would be: each topic's ``max.message.bytes`` is kept, or named."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import ConfigResource

from streamlearn.engine.loop.engine import Engine
from streamlearn.errors import RetryableError, UsageError
from streamlearn.kafka import topic_limits
from streamlearn.kafka.admin.record_sizes import journal_record_bytes
from streamlearn.kafka.dead_letter_replayer import DeadLetterReplayer
from streamlearn.kafka.instance_producer import SendResult, send_stream
from streamlearn.kafka.sink import KafkaSink
from streamlearn.kafka.source import KafkaSource
from streamlearn.kafka.topic_limits import RecordTooLargeError
from streamlearn.records.dead_letter import DeadLetter, DeadLetterRecord
from streamlearn.snapshot.store import SnapshotStore
from streamlearn.streams.base import StreamRow
from tests.integration.reference import assert_equals_an_uninterrupted_run, settings_of
from tests.integration.service import Service
from tests.integration.test_faults import assert_each_handled_once, instance
from tests.integration.test_topics import create, find_problems
from tests.unit.kafka.test_instance_producer import ListStream

SMALL = 20_000
COUNT = 600
"""Their predictions have some 200,000 bytes, and are written in one transaction."""
KEY = b"k" * 2 * SMALL
BAD = b"{" * 2 * SMALL


def create_topics(service: Service, limits: dict[str, int], partitions: int = 1) -> None:
    roles = ("instances", "predictions", "events", "metrics", "dead_letters", "journal")
    create(
        service,
        **{
            role: {"partitions": partitions} | ({"max_message_bytes": limits[role]} if role in limits else {})
            for role in roles
        },
    )


def produce(service: Service, records: Sequence[tuple[bytes | None, bytes]]) -> None:
    producer = KafkaProducer(bootstrap_servers=service.broker, linger_ms=5)
    futures = [producer.send(service.topic("instances"), key=key, value=value, partition=0) for key, value in records]
    for future in futures:
        future.get(timeout=60)
    producer.close(timeout=5)


def run(service: Service, *more: str) -> KafkaSink:
    settings = settings_of(service, labels=False, more=more)
    store = SnapshotStore(settings.snapshot.location)
    sink = KafkaSink(settings)
    Engine(settings, KafkaSource(settings), sink, store).run(stop_at_end=True)
    return sink


@pytest.mark.parametrize("limits", ["known", "unknown", "outdated"])
def test_batches_keys_and_dead_letters_fit_the_limit_of_their_topic(
    service: Service, monkeypatch: pytest.MonkeyPatch, limits: str
) -> None:
    read, calls = topic_limits.read_limits, []

    def read_other(admin: KafkaAdminClient, topics: Sequence[str]) -> dict[str, int]:
        calls.append(topics)
        if limits == "unknown":
            # As for a user without DESCRIBE_CONFIGS.
            return {}
        return dict.fromkeys(topics, 1_000_000) if limits == "outdated" and len(calls) == 1 else read(admin, topics)

    monkeypatch.setattr(topic_limits, "read_limits", read_other)
    create_topics(service, dict.fromkeys(("predictions", "events", "dead_letters", "journal"), SMALL))
    produce(service, [(None, instance(row)) for row in range(COUNT)])
    produce(service, [(KEY, instance(COUNT)), (None, BAD), (KEY, b"{bad"), (b"key", b"{bad")])
    run(service)
    assert_each_handled_once(service, COUNT + 4)
    assert [record.key for record in service.read("predictions")] == [None] * (COUNT + 1)
    letters = service.read("dead_letters")
    assert [(record.key, record.value) for record in letters] == [(b"", None), (b"", None), (b"key", b"{bad")]
    pointers = [DeadLetter.from_headers(record.headers).pointer or "" for record in letters]
    assert [pointer.partition(" in the record")[0] for pointer in pointers] == [
        "the value is",
        "key, value and headers are",
        "",
    ]


def test_records_are_looked_at_one_by_one_only_until_a_refusal_is_explained(
    service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    read, calls = topic_limits.read_limits, []

    def read_old(admin: KafkaAdminClient, topics: Sequence[str]) -> dict[str, int]:
        calls.append(topics)
        return dict.fromkeys(topics, 1_000_000) if len(calls) == 1 else read(admin, topics)

    monkeypatch.setattr(topic_limits, "read_limits", read_old)
    create_topics(service, {"dead_letters": SMALL})
    produce(service, [(None, BAD)])
    sink = run(service)
    assert len(service.read("dead_letters")) == 1
    assert "a broker has refused a record as too large; reading the topics' limits again" in caplog.text
    assert not sink._refusal_is_unexplained


@pytest.mark.parametrize(("role", "known"), [("journal", True), ("predictions", False)])
def test_a_record_that_is_too_large_names_topic_and_limit_and_is_written_once_the_limit_is_raised(
    service: Service, monkeypatch: pytest.MonkeyPatch, role: str, known: bool
) -> None:
    create_topics(service, {role: 200})
    produce(service, [(None, instance(row)) for row in range(20)])
    with monkeypatch.context() as patched:
        if not known:
            patched.setattr(topic_limits, "read_limits", lambda admin, topics: {})
        limit = "200 bytes" if known else "unknown"
        said = (
            rf"for topic {service.topic(role)} \(topics\.{role}\) has [\d,]+ bytes, more .*max\.message\.bytes: {limit}"
        )
        with pytest.raises(RecordTooLargeError, match=said):
            run(service)
    (problem,) = find_problems(settings_of(service, labels=False))
    assert problem.startswith(f"topic {service.topic(role)} (topics.{role}) takes records of up to 200 bytes")
    admin = KafkaAdminClient(bootstrap_servers=service.broker)
    admin.alter_configs([ConfigResource("TOPIC", service.topic(role), {"max.message.bytes": "100000"})])
    admin.close()
    assert find_problems(settings_of(service, labels=False)) == []
    run(service)
    assert_each_handled_once(service, 20)
    assert_equals_an_uninterrupted_run(service, settings_of(service, labels=False))


def test_the_bound_for_journal_records_holds_and_follows_the_partitions(service: Service) -> None:
    create_topics(service, {}, partitions=20)
    service.produce_raw("instances", [instance(row) for row in range(200)])
    more = [f"labels.declared={','.join(f'label{number}' for number in range(300))}"]
    run(service, *more)
    settings = settings_of(service, labels=False, more=more)
    values = [record.value for record in service.read_topic(settings.journal_topic)]
    bound = journal_record_bytes(settings, {service.topic("instances"): 20})
    assert bound / 3 < max(map(len, values)) < bound
    many = {service.topic("instances"): 20_000}
    assert journal_record_bytes(settings, many) > 1_000_000
    per_partition = settings_of(service, labels=False, more=[*more, "engine.scope=partition"])
    assert journal_record_bytes(per_partition, many) < bound


def test_produce_keeps_the_limit_of_its_topics_and_names_it(service: Service) -> None:
    create(service, instances={"max_message_bytes": SMALL}, labels={"max_message_bytes": SMALL})
    rows = [StreamRow(x={f"f{row}": 1.0}, y=["label"], id=str(row)) for row in range(2_000)]
    names = {"bootstrap": service.broker, "topic": service.topic("instances"), "labels_topic": service.topic("labels")}
    assert send_stream(ListStream(rows), **names) == SendResult(2_000, 2_000)
    assert len(service.read("instances")) == 2_000
    rows.append(StreamRow(x={"f" * SMALL: 1.0}, y=["label"], id="long"))
    said = f"'long' for topic {service.topic('instances')} has .* than the topic takes .max.message.bytes: 20,000 bytes"
    with pytest.raises(UsageError, match=said):
        send_stream(ListStream(rows), **names)


def test_a_replayed_record_that_is_too_large_names_its_topic(service: Service) -> None:
    create(service, instances={"max_message_bytes": SMALL})
    about = DeadLetter(
        topic=service.topic("instances"), partition=0, offset=0, timestamp=0, reason="not_json", text="", version="1"
    )
    replayer = DeadLetterReplayer(settings_of(service, labels=False))
    for value in (b"{", b"{" * SMALL):
        letter = DeadLetterRecord(0, 0, 0, None, value, [], about)
        replayer.send(letter, letter.key, letter.value, letter.headers)
    with pytest.raises(RetryableError, match=f"only 1 of 2 .* larger than max.message.bytes of {about.topic}"):
        replayer.finish()
    replayer.close()
