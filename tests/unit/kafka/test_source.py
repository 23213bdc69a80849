"""What the Kafka client is told, and what it is not asked for: rules that hold without a broker."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import crc32c
import pytest
from kafka.record import util
from kafka.structs import OffsetAndMetadata
from kafka.structs import TopicPartition as ClientPartition

from streamlearn.errors import StopError
from streamlearn.kafka import range_reader as reader_module
from streamlearn.kafka import source as source_module
from streamlearn.kafka.sink import PRODUCER_OPTIONS
from streamlearn.kafka.source import KafkaSource, _Notes
from streamlearn.settings.settings import Settings
from streamlearn.source.base import TopicPartition


class _Told:
    """Keeps what a consumer is made with."""

    made: list[dict[str, Any]]
    version = (4, 0)

    def __init__(self, **options: Any) -> None:
        type(self).made.append(options)
        self.config = {"api_version": self.version}
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments, **named: self.calls.append(name)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> type[_Told]:
    kind = type("Told", (_Told,), {"made": []})
    for module in (source_module, reader_module):
        monkeypatch.setattr(module, "KafkaConsumer", kind)
    return kind


def test_unsafe_defaults_of_the_client_are_set(told: type[_Told]) -> None:
    """By default it reads what is not committed, commits by itself, begins at the end, and makes topics."""
    source = KafkaSource(Settings())
    source.open()
    source.observer()
    source.reader(TopicPartition("instances", 0), 0)
    assert len(told.made) == 3
    for options in told.made:
        assert options["isolation_level"] == "read_committed"
        assert options["enable_auto_commit"] is False
        assert options["auto_offset_reset"] == "none"
        assert options["allow_auto_create_topics"] is False
        assert options["check_crcs"] is True


def test_the_client_decodes_nothing(told: type[_Told]) -> None:
    """A deserializer that raises makes its poll spin for ever."""
    source = KafkaSource(Settings())
    source.open()
    source.observer()
    source.reader(TopicPartition("instances", 0), 0)
    assert not [name for options in told.made for name in options if "deserializer" in name]


def test_topics_are_known_before_the_first_poll(told: type[_Told]) -> None:
    source = KafkaSource(Settings.model_validate({"topics": {"labels": "labels"}}))
    source.open()
    calls: list[str] = source.consumer.calls  # type: ignore[attr-defined]
    assert calls == ["subscribe", "partitions_for_topic", "partitions_for_topic"]


def test_listeners_only_take_notes() -> None:
    """They run on the client's own thread: a call that waits there raises, or holds up the heartbeats."""

    class Strict:
        generation = 1

        def group_metadata(self) -> int:
            return self.generation

    source = KafkaSource(Settings())
    client = source._consumer = Strict()  # type: ignore[assignment]
    notes = _Notes(source)
    place = ClientPartition("instances", 0)
    notes.on_partitions_revoked([place])
    notes.on_partitions_assigned([place])
    # The membership runs ahead of the assignment: from here on it is the next one's.
    client.generation = 2
    notes.on_partitions_lost([place])
    kinds = [(change.kind, change.token) for change in source.changes()]
    assert kinds == [("revoked", None), ("assigned", 1), ("revoked", None)]


def test_what_the_client_reads_by_itself_says_nothing_of_the_position_it_began_at() -> None:
    """An unclean leader's records may lie there by then; shown with their epoch, the position would be in order."""
    place = TopicPartition("instances", 0)
    record = SimpleNamespace(
        topic="instances", partition=0, offset=150, timestamp=0, key=None, value=b"", headers=[], leader_epoch=1
    )
    sought: list[Any] = []
    client = SimpleNamespace(
        poll=lambda **options: {ClientPartition(*place): [record]},
        committed=lambda *arguments, **options: OffsetAndMetadata(150, "5:c0ffee", 0),
        assignment=set,
        seek=lambda *arguments: None,
        group_metadata=lambda: None,
        _subscription=SimpleNamespace(seek=lambda partition, position: sought.append(position)),
        _fetcher=SimpleNamespace(config={}),
        _coordinator=SimpleNamespace(_heartbeat_enabled=True),
    )
    source = KafkaSource(Settings())
    source._consumer = client  # type: ignore[assignment]
    _Notes(source).on_partitions_assigned([ClientPartition(*place)])
    assert source.poll(0.0, 10)
    source.committed([place])
    source.seek(place, 150)
    assert [position.leader_epoch for position in sought] == [0]
    source.poll(0.0, 10)
    assert source.leader_epoch(place, 151) == 1


def test_checksums_are_computed_by_the_native_library() -> None:
    """In plain Python the client reads a fortieth of the records a second."""
    assert util._crc32c is crc32c.crc32c


def test_a_transaction_that_must_wait_for_the_last_one_is_tried_again_soon() -> None:
    """The client tries again after its backoff, 100 ms by default; the brokers of these tests do not ask it to."""
    assert PRODUCER_OPTIONS["retry_backoff_ms"] <= 5


def test_brokers_that_cannot_fence_a_stale_worker_are_refused(told: type[_Told]) -> None:
    told.version = (2, 4)
    with pytest.raises(StopError, match=r"the brokers are of version 2\.4: exactly once needs 2\.5 or newer"):
        KafkaSource(Settings()).open()
