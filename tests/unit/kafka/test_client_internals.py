"""The installed client still has the private parts that `client_internals` uses, and no other module uses any.

The clients here are real ones that never connect: a release given as ``api_version`` keeps a consumer or a producer
from asking a broker for it.
"""

from __future__ import annotations

import ast
import contextlib
import inspect
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka import errors as kafka_errors
from kafka.consumer.fetcher import Fetcher
from kafka.coordinator.base import BaseCoordinator, MemberState
from kafka.net.connection import KafkaConnection
from kafka.net.manager import KafkaConnectionManager
from kafka.net.transport import KafkaTCPTransport
from kafka.producer.sender import Sender
from kafka.producer.transaction_manager import (
    ProducerIdAndEpoch,
    TransactionalRequestResult,
    TransactionManager,
    TransactionState,
)
from kafka.record.default_records import DefaultRecordBatchBuilder
from kafka.record.memory_records import MemoryRecords
from kafka.structs import OffsetAndMetadata, TopicPartition

from streamlearn.kafka import client_internals

PACKAGE = Path(client_internals.__file__).parents[1]
NOWHERE: dict[str, Any] = {"bootstrap_servers": "127.0.0.1:1", "api_version": (4, 0)}
PARTITION = TopicPartition("instances", 3)


def parameters(function: Any) -> list[str]:
    return list(inspect.signature(function).parameters)


@pytest.fixture
def consumer() -> Iterator[KafkaConsumer]:
    client = KafkaConsumer(**NOWHERE, group_id="group", enable_auto_commit=False)
    yield client
    client.close(autocommit=False, timeout_ms=100)


@pytest.fixture
def producer() -> Iterator[KafkaProducer]:
    client = KafkaProducer(**NOWHERE, transactional_id="id")
    yield client
    client.close(timeout=1)


@pytest.fixture
def transaction(producer: KafkaProducer) -> TransactionManager:
    """Open a transaction, as after `init_transactions` and `begin_transaction`."""
    manager = producer._transaction_manager
    manager._current_state = TransactionState.READY
    manager.set_producer_id_and_epoch(ProducerIdAndEpoch(17, 0))
    producer.begin_transaction()
    return manager


def test_the_fetcher_reads_the_wait_for_every_request(consumer: KafkaConsumer) -> None:
    client_internals.set_fetch_wait(consumer, 123)
    assert isinstance(consumer._fetcher, Fetcher)
    assert consumer._fetcher.config["fetch_max_wait_ms"] == 123
    assert "max_wait_ms=self.config['fetch_max_wait_ms']" in inspect.getsource(Fetcher._create_fetch_requests)


def test_a_position_takes_a_leader_epoch(consumer: KafkaConsumer) -> None:
    consumer.assign([PARTITION])
    client_internals.seek_with_leader_epoch(consumer, PARTITION, 5, 7)
    assert consumer._subscription.assignment[PARTITION].position == OffsetAndMetadata(5, "", 7)
    with pytest.raises(ValueError, match="int"):
        # The public call does not take one; once it does, use it.
        consumer.seek(PARTITION, OffsetAndMetadata(5, "", 7))


def test_a_poll_after_a_record_that_cannot_be_unpacked_returns(consumer: KafkaConsumer) -> None:
    """The public call raises once; at the same position the next one never returns."""
    lone = KafkaConsumer(**NOWHERE, group_id=None, auto_offset_reset="none")
    lone.assign([PARTITION])
    lone.seek(PARTITION, 41)
    for _ in range(2):
        lone._fetcher._next_partition_records = Fetcher.PartitionRecords(41, PARTITION, corrupt_records())
        with pytest.raises(kafka_errors.CorruptRecordError):
            client_internals.poll(lone, 0, 10)
        polled: list[Any] = []
        thread = threading.Thread(target=lambda: polled.append(client_internals.poll(lone, 0, 10)), daemon=True)  # noqa: B023
        thread.start()
        thread.join(10)
        assert polled == [{}], "the poll does not return"
        lone.seek(PARTITION, 41)
    lone.close(autocommit=False, timeout_ms=100)


def test_a_position_is_read_without_brokers(consumer: KafkaConsumer) -> None:
    consumer.assign([PARTITION])
    assert client_internals.local_position(consumer, PARTITION) is None
    consumer.seek(PARTITION, 5)
    assert client_internals.local_position(consumer, PARTITION) == 5
    assert client_internals.local_position(consumer, TopicPartition("instances", 4)) is None
    assert "self._subscription.assignment[partition].position" in inspect.getsource(KafkaConsumer.position)


def test_the_last_answer_is_the_last_read_of_a_connection(
    consumer: KafkaConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert client_internals.last_answer(consumer) is None

    def connection(*, connected: bool, last_read: float) -> Any:
        return SimpleNamespace(connected=connected, transport=SimpleNamespace(last_read=last_read))

    open_, closed = connection(connected=True, last_read=7.5), connection(connected=False, last_read=9.0)
    monkeypatch.setattr(consumer._manager, "_conns", {1: open_, 2: closed})
    assert client_internals.last_answer(consumer) == 7.5
    assert "self.last_read = time.monotonic()" in inspect.getsource(KafkaTCPTransport)
    assert "self.connected = True" in inspect.getsource(KafkaConnection)


def test_a_coordinator_is_looked_for_within_a_time(consumer: KafkaConsumer) -> None:
    assert client_internals.find_coordinator(consumer, 20) is False
    assert parameters(BaseCoordinator.ensure_coordinator_ready) == ["self", "timeout_ms"]


def test_a_stable_member_without_heartbeats_is_noticed(consumer: KafkaConsumer) -> None:
    coordinator = consumer._coordinator
    assert not client_internals.heartbeats_have_stopped(consumer), "it has not joined"
    coordinator.state = MemberState.STABLE
    coordinator._heartbeat_enabled = True
    assert not client_internals.heartbeats_have_stopped(consumer)
    coordinator._disable_heartbeat()
    assert client_internals.heartbeats_have_stopped(consumer)
    # A fenced member still only logs the error and stops its heartbeats.
    assert "_disable_heartbeat" in inspect.getsource(BaseCoordinator._do_heartbeat).partition("FencedInstanceId")[2]


def corrupt_records() -> MemoryRecords:
    """Return fetched records whose first batch, at offset 41, fails its checksum."""
    builder = DefaultRecordBatchBuilder(2, 0, False, -1, -1, -1, 1 << 16)
    builder.append(0, timestamp=0, key=None, value=b"a value", headers=[])
    batch = bytearray(builder.build())
    batch[0:8] = (41).to_bytes(8, "big")
    batch[-2] ^= 1
    return MemoryRecords(bytes(batch))


def test_a_corrupt_record_error_names_partition_and_offset() -> None:
    records = Fetcher.PartitionRecords(0, PARTITION, corrupt_records(), check_crcs=True)
    with pytest.raises(kafka_errors.CorruptRecordError) as raised:
        records.take(1)
    assert client_internals.parse_corrupt_record(str(raised.value)) == (*PARTITION, 41)
    assert client_internals.parse_corrupt_record("another message") is None


def test_metadata_of_several_topics_are_asked_for(producer: KafkaProducer) -> None:
    client_internals.request_metadata(producer, ("first", "second"))
    assert producer._sender._topics_to_add | set(producer._metadata._topics) >= {"first", "second"}
    assert parameters(Sender.add_topic) == ["self", "topic"]


def test_each_batch_has_the_size_that_is_set_when_it_begins(
    producer: KafkaProducer, transaction: TransactionManager
) -> None:
    accumulator = producer._accumulator
    for partition, size in ((0, 300), (1, 3_000)):
        client_internals.set_batch_bytes(producer, size)
        for _ in range(20):
            accumulator.append(TopicPartition("instances", partition), 0, None, b"v" * 100, [])
    batches = {partition.partition: queue for partition, queue in accumulator._batches.items()}
    assert {number: len(queue) for number, queue in batches.items()} == {0: 10, 1: 1}
    assert all(batch.records.size_in_bytes() <= 300 for batch in batches[0])
    # One record may be larger than a batch.
    assert accumulator.append(TopicPartition("instances", 0), 0, None, b"v" * 9_000, [])[2]
    accumulator.abort_incomplete_batches()


def test_null_values_of_headers_are_written_as_null() -> None:
    headers = [("a", b"1"), ("null", None), ("empty", b"")]
    plain = KafkaProducer(**NOWHERE)
    try:
        with pytest.raises(TypeError, match="headers"):
            # Once it takes them, use it.
            plain.send("topic", value=b"v", headers=headers, partition=0)
        taken = client_internals.with_null_headers(headers)
        assert all(isinstance(content, bytes) for _, content in taken), "what `send` checks"
        plain._accumulator.append(PARTITION, 0, None, b"v", taken)
        (batch,) = plain._accumulator._batches[PARTITION]
        batch.records.close()
        (records,) = MemoryRecords(batch.records.buffer())
        assert [record.headers for record in records] == [headers]
    finally:
        with contextlib.suppress(kafka_errors.KafkaTimeoutError):
            # What was appended cannot be sent.
            plain.close(timeout=0.1)


def test_a_transactional_producer_has_an_id(producer: KafkaProducer, transaction: TransactionManager) -> None:
    assert client_internals.get_producer_id(producer) == 17


def test_a_partition_is_added_to_a_transaction_without_a_record(
    producer: KafkaProducer, transaction: TransactionManager
) -> None:
    client_internals.add_partition_to_transaction(producer, PARTITION)
    assert transaction.is_partition_pending_add(PARTITION)
    assert parameters(TransactionManager.maybe_add_partition_to_transaction) == ["self", "topic_partition"]


def test_offsets_are_waited_for_within_a_time(producer: KafkaProducer, transaction: TransactionManager) -> None:
    offsets = {PARTITION: OffsetAndMetadata(5, "", -1)}
    assert not client_internals.send_offsets(producer, offsets, "group", 20)
    assert parameters(TransactionManager.send_offsets_to_transaction) == ["self", "offsets", "group_metadata"]
    assert "timeout_ms" not in parameters(KafkaProducer.send_offsets_to_transaction), "use the public call"


def test_a_commit_is_waited_for_within_a_time(producer: KafkaProducer, transaction: TransactionManager) -> None:
    # An empty transaction is committed without a request.
    client_internals.add_partition_to_transaction(producer, PARTITION)
    assert not client_internals.commit_transaction(producer, 20)
    assert transaction._current_state is TransactionState.COMMITTING_TRANSACTION
    assert parameters(TransactionManager.begin_commit) == ["self"]
    assert "timeout_ms" not in parameters(KafkaProducer.commit_transaction), "use the public call"


def test_an_abort_is_waited_for_within_a_time(producer: KafkaProducer, transaction: TransactionManager) -> None:
    transaction._partitions_in_transaction.add(PARTITION)
    transaction._transaction_started = True
    assert not client_internals.abort_transaction(producer, 20)
    assert transaction._current_state is TransactionState.ABORTING_TRANSACTION
    assert parameters(TransactionManager.begin_abort) == ["self"]
    assert "timeout_ms" not in parameters(KafkaProducer.abort_transaction), "use the public call"


def test_a_result_tells_whether_it_came_and_raises_what_went_wrong() -> None:
    result = TransactionalRequestResult()
    assert result.wait(1) is False
    result.done()
    assert result.wait(1) is True
    failed = TransactionalRequestResult()
    failed.done(error=kafka_errors.CommitFailedError())
    with pytest.raises(kafka_errors.CommitFailedError):
        failed.wait(1)


def test_requests_are_sent_to_the_leader_of_each_partition(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing connects: what the administrator would learn and send is replaced, the calls are its own."""
    monkeypatch.setattr(KafkaConnectionManager, "bootstrap", lambda self, timeout_ms: None)
    admin = KafkaAdminClient(**NOWHERE)
    other = TopicPartition("instances", 4)
    sent: list[tuple[Any, int]] = []

    async def metadata(topics: set[str]) -> dict[str, Any]:
        described = [{"partition_index": part, "leader_id": part + 1} for part in (3, 4)]
        return {"topics": [{"name": topic, "partitions": described} for topic in topics]}

    async def send(request: Any, node_id: int) -> str:
        sent.append((request, node_id))
        return f"response of {node_id}"

    monkeypatch.setattr(admin, "_get_cluster_metadata", metadata)
    signature = inspect.signature(admin._manager.send)
    monkeypatch.setattr(admin._manager, "send", send)
    responses = client_internals.send_to_leaders(admin, [PARTITION, other], sorted)
    admin.close()
    assert sorted(sent, key=lambda each: each[1]) == [([PARTITION], 4), ([other], 5)]
    assert sorted(responses) == ["response of 4", "response of 5"]
    signature.bind("request", node_id=4)


def client_modules() -> list[Path]:
    """Return the modules that import the client, and all of the folder that is about it."""
    return sorted(
        path
        for path in PACKAGE.rglob("*.py")
        if PACKAGE / "kafka" in path.parents
        or any(name.partition(".")[0] == "kafka" for name in imported(ast.parse(path.read_text(encoding="utf-8"))))
    )


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def private_uses(source: str) -> list[str]:
    """Return the private attributes that a module uses of anything but its own instances."""

    def is_private(name: str) -> bool:
        return name.startswith("_") and not name.startswith("__")

    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            if not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")):
                found.append(ast.unparse(node))
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "setattr", "hasattr", "delattr"):
            name = node.args[1] if len(node.args) > 1 else None
            if isinstance(name, ast.Constant) and is_private(str(name.value)):
                found.append(ast.unparse(node))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "kafka":
            names = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
            found += [f"from {node.module} import {name}" for name in names if is_private(name)]
    return found


def test_no_other_module_touches_a_private_attribute_of_the_client() -> None:
    own = Path(client_internals.__file__)
    modules = client_modules()
    assert own in modules
    assert len(modules) > 15
    uses = {
        f"{path.relative_to(PACKAGE)}: {use}"
        for path in modules
        if path != own
        for use in private_uses(path.read_text(encoding="utf-8"))
    }
    assert uses == set()


def test_consumers_are_polled_and_positions_read_by_the_adapter_only() -> None:
    """The client's own calls may never return after an error, and ask brokers."""
    own = Path(client_internals.__file__)
    uses = {
        f"{path.relative_to(PACKAGE)}: {ast.unparse(node.func)}"
        for path in client_modules()
        if path != own
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("poll", "position")
        and "consumer" in ast.unparse(node.func.value).lower()
    }
    assert uses == set()


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("self.consumer._fetcher.config", ["self.consumer._fetcher"]),
        ("manager = producer._transaction_manager", ["producer._transaction_manager"]),
        ("getattr(producer, '_sender')", ["getattr(producer, '_sender')"]),
        ("from kafka.admin import _topics", ["from kafka.admin import _topics"]),
        ("self._consumer.poll(); cls._made; x.__class__", []),
    ],
)
def test_private_uses_are_found(source: str, found: list[str]) -> None:
    assert private_uses(source) == found
