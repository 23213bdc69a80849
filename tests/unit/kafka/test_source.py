"""Rules for the Kafka client that hold without a broker: the options it is given, and the calls that are made."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import crc32c
import pytest
from kafka import KafkaConsumer
from kafka import errors as kafka_errors
from kafka.record import util
from kafka.structs import OffsetAndMetadata
from kafka.structs import TopicPartition as ClientPartition

from streamlearn.errors import RetryableError, StopError, TopicError
from streamlearn.kafka import range_reader as reader_module
from streamlearn.kafka import source as source_module
from streamlearn.kafka.source import KafkaSource, _ChangeRecorder
from streamlearn.settings.settings import Settings
from streamlearn.source.base import TopicPartition


class _RecordingConsumer:
    """Records the options that it is made with, and the calls."""

    made: list[dict[str, Any]]
    version = (4, 0)

    def __init__(self, **options: Any) -> None:
        type(self).made.append(options)
        self.config = {"api_version": self.version}
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments, **named: self.calls.append(name)


@pytest.fixture
def consumers(monkeypatch: pytest.MonkeyPatch) -> type[_RecordingConsumer]:
    kind = type("Consumers", (_RecordingConsumer,), {"made": []})
    for module in (source_module, reader_module):
        monkeypatch.setattr(module, "KafkaConsumer", kind)
    return kind


def test_unsafe_defaults_of_the_client_are_set(consumers: type[_RecordingConsumer]) -> None:
    """By default it reads uncommitted records, commits by itself, starts at the end, and creates topics."""
    source = KafkaSource(Settings())
    source.open()
    source.observer()
    source.reader(TopicPartition("instances", 0), 0)
    assert len(consumers.made) == 3
    for options in consumers.made:
        assert options["isolation_level"] == "read_committed"
        assert options["enable_auto_commit"] is False
        assert options["auto_offset_reset"] == "none"
        assert options["allow_auto_create_topics"] is False
        assert options["check_crcs"] is True


def test_the_client_decodes_nothing(consumers: type[_RecordingConsumer]) -> None:
    """A deserializer that raises makes its poll spin for ever."""
    source = KafkaSource(Settings())
    source.open()
    source.observer()
    source.reader(TopicPartition("instances", 0), 0)
    assert not [name for options in consumers.made for name in options if "deserializer" in name]


def test_topics_are_known_before_the_first_poll(consumers: type[_RecordingConsumer]) -> None:
    source = KafkaSource(Settings.model_validate({"topics": {"labels": "labels"}}))
    source.open()
    calls: list[str] = source.consumer.calls  # type: ignore[attr-defined]
    assert calls == ["subscribe", "partitions_for_topic", "partitions_for_topic"]


def test_listeners_only_take_notes() -> None:
    """They run on the client's own thread: a call that waits there raises, or delays the heartbeats."""

    class Strict:
        generation = 1

        def group_metadata(self) -> int:
            return self.generation

    client = Strict()
    source = KafkaSource(Settings(), client)  # type: ignore[arg-type]
    recorder = _ChangeRecorder(source)
    partition = ClientPartition("instances", 0)
    recorder.on_partitions_revoked([partition])
    recorder.on_partitions_assigned([partition])
    # The group's metadata runs ahead of the assignment: from here on it is that of the next generation.
    client.generation = 2
    recorder.on_partitions_lost([partition])
    changes = [(change.kind, change.token) for change in source.changes()]
    assert changes == [("revoked", None), ("assigned", 1), ("revoked", None)]


def test_what_the_client_reads_by_itself_says_nothing_of_the_position_it_began_at() -> None:
    """The records there may be those of an unclean leader; with their epoch, the position would be accepted."""
    partition = TopicPartition("instances", 0)
    record = SimpleNamespace(
        topic="instances", partition=0, offset=150, timestamp=0, key=None, value=b"", headers=[], leader_epoch=1
    )
    sought: list[Any] = []
    client = SimpleNamespace(
        poll=lambda **options: {ClientPartition(*partition): [record]},
        committed=lambda *arguments, **options: OffsetAndMetadata(150, "5:c0ffee", 0),
        assignment=set,
        seek=lambda *arguments: None,
        group_metadata=lambda: None,
        _subscription=SimpleNamespace(seek=lambda partition, position: sought.append(position)),
        _fetcher=SimpleNamespace(config={}),
        _coordinator=SimpleNamespace(_heartbeat_enabled=True),
        _manager=SimpleNamespace(_conns={}),
    )
    source = KafkaSource(Settings(), client)  # type: ignore[arg-type]
    _ChangeRecorder(source).on_partitions_assigned([ClientPartition(*partition)])
    assert source.poll(0.0, 10)
    source.committed([partition])
    source.seek(partition, 150)
    assert [position.leader_epoch for position in sought] == [0]
    source.poll(0.0, 10)
    assert source.leader_epoch(partition, 151) == 1


def test_what_the_loop_asks_on_every_turn_asks_no_broker() -> None:
    """The answers are needed while a batch is put together: a request that fails there would leave half of one."""
    client = KafkaConsumer(bootstrap_servers="127.0.0.1:1", api_version=(4, 0), group_id="g", auto_offset_reset="none")
    try:
        source = KafkaSource(Settings(), client)
        partition, other = TopicPartition("instances", 0), TopicPartition("instances", 1)
        client.assign([ClientPartition(*partition)])
        began = time.monotonic()
        assert not source.at_end(partition), "its position is not known"
        source.seek(partition, 5)
        assert not source.at_end(partition), "its end is not known"
        assert source.at_end(other), "it is not assigned, so nothing of it will be polled"
        source.seek(other, 5)
        assert source.leader_epoch(partition, 5) == -1
        assert source.changes() == []
        assert source.answered_at() is None
        assert time.monotonic() < began + 5, "a request that no broker answers lasts longer"
    finally:
        client.close(autocommit=False, timeout_ms=100)


def _make_keeping_alive(error: Exception, monkeypatch: pytest.MonkeyPatch) -> KafkaSource:
    """Return a source whose polls fail, and that is to keep its membership at once."""

    def poll(**options: Any) -> None:
        raise error

    monkeypatch.setattr(source_module, "KEEP_ALIVE_SECONDS", 0.0)
    fetcher = SimpleNamespace(config={}, _next_partition_records=None)
    client = SimpleNamespace(
        poll=poll,
        seek=lambda *arguments: None,
        _fetcher=fetcher,
        _subscription=SimpleNamespace(assignment={}),
        _coordinator=SimpleNamespace(_heartbeat_enabled=True),
        _manager=SimpleNamespace(_conns={}),
    )
    return KafkaSource(Settings(), client)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (kafka_errors.FencedInstanceIdError(), StopError),
        (kafka_errors.TopicAuthorizationFailedError(["instances"]), TopicError),
        (kafka_errors.GroupAuthorizationFailedError("g"), StopError),
        (kafka_errors.CoordinatorNotAvailableError(), RetryableError),
        (kafka_errors.CorruptRecordError("of no known place"), StopError),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_a_restore_ends_on_errors_that_do_not_come_again(
    error: Exception, raised: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(raised):
        _make_keeping_alive(error, monkeypatch).keep_alive()


@pytest.mark.parametrize(
    "error",
    [
        kafka_errors.OffsetOutOfRangeError({ClientPartition("instances", 0): 5}),
        kafka_errors.CorruptRecordError(f"Record batch for partition {ClientPartition('instances', 0)} at offset 5"),
        kafka_errors.NoOffsetForPartitionError(ClientPartition("instances", 0)),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_restore_goes_on_when_a_record_cannot_be_read_yet(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _make_keeping_alive(error, monkeypatch).keep_alive()


def test_checksums_are_computed_by_the_native_library() -> None:
    """In plain Python the client reads a fortieth of the records per second."""
    assert util._crc32c is crc32c.crc32c


def test_brokers_that_cannot_fence_a_stale_worker_are_refused(consumers: type[_RecordingConsumer]) -> None:
    consumers.version = (2, 4)
    with pytest.raises(StopError, match=r"the brokers are of version 2\.4: exactly once needs 2\.5 or newer"):
        KafkaSource(Settings()).open()
