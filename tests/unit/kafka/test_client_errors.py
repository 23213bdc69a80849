"""No error of the Kafka client leaves a source, a sink or a reader: each becomes one of ours."""

from __future__ import annotations

import inspect
from types import SimpleNamespace
from typing import Any

import pytest
from kafka import errors as kafka_errors
from kafka.structs import TopicPartition as ClientPartition

from streamlearn.errors import FencedError, RetryableError, StopError, StreamlearnError
from streamlearn.kafka import plain_producer, range_reader, sink, source, transaction_markers
from streamlearn.kafka.client_errors import convert_error, raises_no_client_errors
from streamlearn.kafka.stalled_partitions import StalledPartitionDetector
from streamlearn.settings.settings import Settings
from streamlearn.source.base import TopicPartition

PARTITION = TopicPartition("instances", 0)
BORDER = [source.KafkaSource, sink.KafkaSink, range_reader.KafkaRangeReader, plain_producer.PlainProducer]
ERRORS = [
    kafka_errors.CommitFailedError(),
    kafka_errors.KafkaConnectionError("socket disconnected"),
    kafka_errors.KafkaTimeoutError("no answer"),
    kafka_errors.NotCoordinatorError(),
    kafka_errors.UnknownTopicOrPartitionError(),
]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (kafka_errors.KafkaTimeoutError("late"), RetryableError),
        (kafka_errors.ProducerFencedError(), FencedError),
        (kafka_errors.MessageSizeTooLargeError("larger than max.message.bytes"), StopError),
        (kafka_errors.GroupAuthorizationFailedError("group"), StopError),
        (kafka_errors.IncompatibleBrokerVersion("old"), StopError),
        (kafka_errors.FencedInstanceIdError(), StopError),
    ],
)
def test_an_error_says_whether_it_may_pass(error: kafka_errors.KafkaError, expected: type[StreamlearnError]) -> None:
    converted = convert_error(error)
    assert type(converted) is expected
    assert type(error).__name__ in str(converted)


def test_an_error_is_converted_with_its_cause_whatever_method_is_added() -> None:
    @raises_no_client_errors
    class Border:
        def ask(self) -> None:
            raise kafka_errors.KafkaTimeoutError("late")

        def _inner(self) -> None:
            raise kafka_errors.KafkaTimeoutError("late")

    with pytest.raises(RetryableError, match="KafkaTimeoutError: late") as raised:
        Border().ask()
    assert isinstance(raised.value.__cause__, kafka_errors.KafkaTimeoutError)
    with pytest.raises(kafka_errors.KafkaTimeoutError):
        Border()._inner()


class _Failing:
    """Stands for a connection of the client: every call raises."""

    def __init__(self, error: Exception) -> None:
        self._error = error
        self._fetcher = SimpleNamespace(_next_partition_records=None, config={})
        self._subscription = SimpleNamespace(assignment={})
        self._manager = SimpleNamespace(_conns={})

    def subscription(self) -> set[str]:
        return {"instances"}

    def assignment(self) -> set[ClientPartition]:
        return {ClientPartition(*PARTITION)}

    @property
    def config(self) -> dict[str, Any]:
        return {"api_version": (4, 0)}

    def __getattr__(self, name: str) -> Any:
        def fail(*arguments: Any, **named: Any) -> Any:
            raise self._error

        return fail


ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "at_end": (PARTITION,),
    "bounds": ([PARTITION],),
    "check": (),
    "commit": ([], {}, None),
    "committed": ([PARTITION],),
    "ends": ([PARTITION],),
    "follow": (0.1,),
    "leader_epoch": (PARTITION, 5),
    "partitions": ("instances",),
    "poll": (0.1, 10),
    "publish": (sink.OutputRecord("metrics", 0, None, b"{}"),),
    "read_to": (10,),
    "reader": (PARTITION, 0),
    "record_change": ("revoked", [], None),
    "seek": (PARTITION, 5),
    "topic_id": ("instances",),
}
NAMED: dict[str, dict[str, Any]] = {"send": {"key": None, "value": b"", "headers": ()}, "close": {"leave": True}}


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("kind", BORDER, ids=lambda kind: kind.__name__)
def test_no_public_method_raises_an_error_of_the_client(
    kind: type, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = _Failing(error)
    for module in (source, sink, range_reader):
        for name in ("KafkaConsumer", "KafkaProducer", "KafkaAdminClient"):
            monkeypatch.setattr(module, name, lambda **options: failing, raising=False)
    monkeypatch.setattr(sink.HangingTransactions, "admin", property(lambda self: failing))
    monkeypatch.setattr(transaction_markers, "COMPLETION_SECONDS", 0.1)
    raised = []
    methods = [name for name, method in vars(kind).items() if inspect.isfunction(method) and not name.startswith("_")]
    assert len(methods) > 2
    for name in methods:
        made: Any
        if kind is source.KafkaSource:
            made = kind(Settings(), failing)
        elif kind is plain_producer.PlainProducer:
            made = kind(lambda: failing)
        elif kind is sink.KafkaSink:
            made = kind(Settings())
            made._producer = failing if name != "close" else None
        else:
            with pytest.raises(StreamlearnError):
                kind(Settings(), PARTITION, 0)
            made = kind.__new__(kind)
            made._consumer, made._partition, made._client_partition = failing, PARTITION, ClientPartition(*PARTITION)
            made._read_ahead, made._start, made._name = [], 0, "instances[0]"
            made._stalled = StalledPartitionDetector(lambda partition: None)
        arguments = ("metrics",) if name == "send" else ARGUMENTS.get(name, ())
        named = {} if name == "close" and kind is not source.KafkaSource else NAMED.get(name, {})
        try:
            getattr(made, name)(*arguments, **named)
        except StreamlearnError:
            raised.append(name)
    assert raised, "the client was not asked"
