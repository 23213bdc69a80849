"""The hazards of the client on a real broker, and the rules that avoid them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer
from kafka.producer.transaction_manager import AddPartitionsToTxnHandler
from kafka.structs import ConsumerGroupMetadata, OffsetAndMetadata
from kafka.structs import TopicPartition as ClientPartition

from streamlearn.engine.commit import read_mark
from streamlearn.errors import NameTakenError, OvertakenError, RetryableError
from streamlearn.kafka import source as source_module
from streamlearn.kafka.sink import PRODUCER_OPTIONS, KafkaSink
from streamlearn.kafka.source import KafkaSource
from streamlearn.settings.settings import EngineSettings, Settings
from streamlearn.sink.base import OutputRecord
from streamlearn.source.base import AssignmentChange, Committed, TopicPartition
from tests.integration.reference import settings_of
from tests.integration.service import Service

PARTITIONS = ["topics.partitions=2", "engine.scope=partition"]
MARK = "1:" + "a" * 24


class Member:
    """A source that is a member of the group and records its assignment changes."""

    def __init__(self, settings: Settings) -> None:
        self.source = KafkaSource(settings)
        self.source.open()
        self.changes: list[AssignmentChange] = []

    @property
    def token(self) -> Any:
        return next((c.token for c in reversed(self.changes) if c.kind == "assigned"), None)

    @property
    def owned(self) -> tuple[TopicPartition, ...]:
        return self.changes[-1].partitions if self.changes and self.changes[-1].kind == "assigned" else ()

    def poll(self, seconds: float = 0.02) -> list[Any]:
        polled = self.source.poll(seconds, 100)
        changes = self.source.changes()
        self.changes.extend(changes)
        for partition in self.owned if changes else ():
            self.source.seek(partition, 0)
        return [] if changes else [record for records in polled.values() for record in records]


def until(condition: Callable[[], bool], *members: Member, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        for member in members:
            member.poll()


@pytest.fixture
def two(service: Service) -> tuple[Settings, Settings]:
    """Create topics with two partitions; return the settings of two workers."""
    service.make_topics(more=PARTITIONS)
    first, second = (
        settings_of(service, labels=False, more=[*PARTITIONS, f"worker.name={name}", "kafka.session_timeout_ms=3000"])
        for name in ("w0", "w1")
    )
    return first, second


def test_a_commit_shows_the_generation_of_the_assignment_not_a_later_one(two: tuple[Settings, Settings]) -> None:
    """Between join and sync the client's metadata is of the next generation already, the assignment of the old one."""
    first = Member(two[0])
    until(lambda: len(first.owned) == 2, first)
    before = first.token
    second = Member(two[1])
    until(lambda: len(first.owned) == 1 and len(second.owned) == 1, first, second)
    assert first.token.generation_id > before.generation_id
    sink = KafkaSink(two[0])
    sink.open()
    lost = second.owned[0]
    with pytest.raises(Exception, match=r"(?i)generation|rebalance|member|commit"):
        sink.commit([], {lost: Committed(1, MARK)}, before)
    sink.close()
    assert first.source.committed([lost]) == {lost: None}, "the old generation's commit must not be accepted"
    sink.open()
    sink.commit([], {first.owned[0]: Committed(1, MARK)}, first.token)
    sink.close()
    for member in (first, second):
        member.source.close(leave=True)


def test_no_commit_without_a_membership(two: tuple[Settings, Settings]) -> None:
    member = Member(two[0])
    until(lambda: bool(member.owned), member)
    sink = KafkaSink(two[0])
    sink.open()
    for token in (None, member.token._replace(generation_id=-1), member.token._replace(member_id="")):
        with pytest.raises(OvertakenError, match="membership"):
            sink.commit([], {member.owned[0]: Committed(1, MARK)}, token)
    sink.close()
    member.source.close(leave=True)


def test_a_first_join_survives_short_polls(two: tuple[Settings, Settings]) -> None:
    """Without the topics' metadata before the first poll, a join stalls if a poll ends between join and sync."""
    for attempt in range(4):
        settings = two[0].model_copy(
            update={"kafka": two[0].kafka.model_copy(update={"group_id": f"{two[0].kafka.group_id}-{attempt}"})}
        )
        member = Member(settings)
        deadline = time.monotonic() + 60
        while not member.owned:
            assert time.monotonic() < deadline, "the join stalled"
            member.poll(0.005)
        member.source.close(leave=True)


def test_a_worker_whose_name_was_taken_commits_nothing_and_removes_nobody_from_the_group(
    service: Service, two: tuple[Settings, Settings]
) -> None:
    """A member is removed by its name, which is then the newcomer's."""
    topic = [settings.model_copy(update={"engine": EngineSettings(scope="topic")}) for settings in two]
    first, standby = Member(topic[0]), Member(topic[1])
    until(lambda: len(first.owned) == 2 and bool(standby.changes), first, standby)
    second = Member(topic[0])
    until(lambda: len(second.owned) == 2, second, standby)
    sink = KafkaSink(topic[0])
    sink.open()
    with pytest.raises(NameTakenError, match=r"another worker called w0 on .* \(127\.0\.0\.1\) has joined"):
        sink.commit([], {first.owned[0]: Committed(1, MARK)}, first.token)
    sink.close()
    # It does not know yet that its name was taken.
    first.source.close(leave=True)
    names = second.source.members()
    assert [name.split()[0] for name in names] == ["w0", "w1"]
    third = Member(topic[0])
    until(lambda: len(third.owned) == 2, third, standby)
    with pytest.raises(NameTakenError):
        until(lambda: False, second, standby)
    second.source.close(leave=True)
    assert third.source.members() == names
    for member in (third, standby):
        member.source.close(leave=True)
    assert third.source.members() == []


class _Halves:
    """Returns committed offsets of which one half is older for a while, as while another worker commits."""

    def __init__(self, torn: int) -> None:
        self._torn = torn

    def committed(self, partitions: Any) -> dict[TopicPartition, Committed]:
        self._torn -= 1
        first, second = partitions
        newer = Committed(9, "2:" + "b" * 24)
        return {first: newer, second: Committed(5, MARK) if self._torn >= 0 else newer}


def test_two_halves_are_read_until_they_agree() -> None:
    halves = [TopicPartition("instances", 0), TopicPartition("labels", 0)]
    mark, positions = read_mark(_Halves(3), halves)  # type: ignore[arg-type]
    assert mark is not None
    assert (mark.seq, set(positions.values())) == (2, {9})
    with pytest.raises(RetryableError, match="different marks"):
        read_mark(_Halves(10**6), halves)  # type: ignore[arg-type]


def test_nothing_is_lost_when_the_position_is_set_back_with_records_parked(
    service: Service, two: tuple[Settings, Settings]
) -> None:
    """A pause would lose the buffered records of a partition; the source seeks instead."""
    values = [b"%d" % number for number in range(1_000)]
    service.produce_raw("instances", values)
    member = Member(two[0])
    until(lambda: len(member.owned) == 2, member)
    half: list[Any] = []
    while len(half) < 150:
        half.extend(member.poll())
    for partition in member.owned:
        member.source.seek(partition, 0)
    again: list[Any] = []
    deadline = time.monotonic() + 120
    while len(again) < len(values):
        assert time.monotonic() < deadline, f"{len(again)} of {len(values)} came again"
        again.extend(member.poll())
    assert sorted(int(record.value) for record in again) == list(range(len(values)))
    member.source.close(leave=True)


def test_a_source_without_records_fetches_seldom(
    service: Service, two: tuple[Settings, Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every answer costs processor time, even an empty one; a long wait of the broker ends with the first record."""
    member = Member(two[0])
    until(lambda: len(member.owned) == 2, member)
    fetcher = member.source.consumer._fetcher
    waits: list[int] = []
    create = fetcher._create_fetch_requests
    monkeypatch.setattr(
        fetcher, "_create_fetch_requests", lambda: waits.append(fetcher.config["fetch_max_wait_ms"]) or create()
    )
    until(lambda: waits[-3:] == [source_module.IDLE_FETCH_WAIT_MS] * 3, member)
    service.produce_raw("instances", [b"1"])
    while not member.poll(5.0):
        pass
    waits.clear()
    until(lambda: bool(waits), member)
    assert waits[0] == source_module.FETCH_WAIT_MS
    member.source.close(leave=True)


def test_the_engine_never_pauses_a_partition() -> None:
    text = "".join(path.read_text() for path in sorted(Path(source_module.__file__).parents[1].rglob("*.py")))
    assert ".pause(" not in text


def test_a_key_of_the_size_of_a_record_does_not_prevent_its_answer(
    service: Service, two: tuple[Settings, Settings]
) -> None:
    member = Member(two[0])
    until(lambda: len(member.owned) == 2, member)
    sink = KafkaSink(two[0])
    sink.open()
    sizes = (2_097_000, 900_000)
    sink.commit(
        [OutputRecord(service.topic("predictions"), 0, b"k" * size, b"answer") for size in sizes],
        {member.owned[0]: Committed(1, MARK)},
        member.token,
    )
    assert [len(record.key or b"") for record in service.read("predictions")] == [0, 900_000]
    sink.close()
    member.source.close(leave=True)


def test_a_thrown_away_producer_leaks_no_offsets(service: Service, two: tuple[Settings, Settings]) -> None:
    """Offsets of an aborted transaction would go into the producer's next one; the sink makes a new producer."""
    member = Member(two[0])
    until(lambda: len(member.owned) == 2, member)
    first, second = member.owned
    sink = KafkaSink(two[0])
    sink.open()
    with pytest.raises(Exception, match=r"(?i)generation|rebalance|member|commit"):
        sink.commit(
            [], {first: Committed(7, MARK)}, member.token._replace(generation_id=member.token.generation_id + 5)
        )
    sink.close()
    sink.open()
    sink.commit([], {second: Committed(3, MARK)}, member.token)
    assert member.source.committed([first, second]) == {first: None, second: Committed(3, MARK)}
    sink.close()
    member.source.close(leave=True)


def test_back_to_back_transactions_do_not_wait_for_the_default_backoff(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it completes a transaction, the coordinator refuses the next one, and the client tries again later.

    With the default backoff a transaction that was refused would take at least 100 ms.
    """
    service.make_topics()
    refused: list[object] = []
    override = AddPartitionsToTxnHandler.maybe_override_retry_backoff_ms

    def count(self: AddPartitionsToTxnHandler) -> None:
        # The client calls this only when it is answered CONCURRENT_TRANSACTIONS.
        refused.append(self)
        override(self)

    monkeypatch.setattr(AddPartitionsToTxnHandler, "maybe_override_retry_backoff_ms", count)
    producer = KafkaProducer(bootstrap_servers=service.broker, **PRODUCER_OPTIONS, transactional_id=service.name)
    producer.init_transactions()
    durations: list[float] = []
    deadline = time.monotonic() + 60
    while len(durations) < 5 and time.monotonic() < deadline:
        refused.clear()
        start = time.monotonic()
        producer.begin_transaction()
        for role in ("predictions", "events", "dead_letters"):
            producer.send(service.topic(role), value=b"{}", partition=0)
        producer.commit_transaction()
        if refused:
            durations.append(time.monotonic() - start)
    producer.close(timeout=5)
    assert durations, "the coordinator refused no transaction"
    assert min(durations) < 0.1


def test_an_open_transaction_of_a_predecessor_is_aborted_when_a_successor_opens(
    service: Service, two: tuple[Settings, Settings]
) -> None:
    sink = KafkaSink(two[0])
    orphan = KafkaProducer(bootstrap_servers=service.broker, **PRODUCER_OPTIONS, transactional_id=sink.transactional_id)
    orphan.init_transactions()
    orphan.begin_transaction()
    orphan.send(service.topic("predictions"), value=b"never committed", partition=0).get(timeout=60)
    start = time.monotonic()
    sink.open()
    reader = KafkaConsumer(bootstrap_servers=service.broker, isolation_level="read_committed")
    partition = ClientPartition(service.topic("predictions"), 0)
    reader.assign([partition])
    assert reader.end_offsets([partition])[partition] >= 2, "the abort marker follows the aborted record"
    assert time.monotonic() - start < 9, "the transaction was aborted by its timeout of 10 s"
    reader.close()
    assert service.read("predictions") == []
    with pytest.raises(Exception, match=r"(?i)fenced|epoch|transaction"):
        orphan.commit_transaction()
    orphan.close(timeout=2)
    sink.close()


def test_a_look_at_the_committed_offsets_does_not_wait_for_the_transaction_of_a_killed_worker(
    service: Service, two: tuple[Settings, Settings]
) -> None:
    sink, source = KafkaSink(two[0]), KafkaSource(two[0])
    partition = TopicPartition(service.topic("instances"), 0)
    options = {**PRODUCER_OPTIONS, "transaction_timeout_ms": 60_000}
    killed = KafkaProducer(bootstrap_servers=service.broker, **options, transactional_id=sink.transactional_id)
    killed.init_transactions()
    for offset in (1, 2):
        killed.begin_transaction()
        entry = OffsetAndMetadata(offset, MARK.replace("1:", f"{offset}:"), -1)
        killed.send_offsets_to_transaction({ClientPartition(*partition): entry}, ConsumerGroupMetadata(service.name))
        if offset == 1:
            killed.commit_transaction()
    look, observer = source.observer(settled=False), source.observer()
    assert look.committed([partition]) == {partition: Committed(1, MARK)}
    sink.open()
    assert observer.committed([partition]) == {partition: Committed(1, MARK)}
    for each in (look, observer):
        each.close(leave=False)
    killed.close(timeout=2)
    sink.close()
