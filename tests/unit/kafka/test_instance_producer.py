"""The records that a stream becomes, their order and their times; integration tests send them to a broker."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from streamlearn.codec.decode import decode_instance, decode_label
from streamlearn.codec.encode import encode_event
from streamlearn.errors import UsageError
from streamlearn.kafka.instance_producer import SendResult, _send_rows, send_stream
from streamlearn.settings.settings import LimitSettings
from streamlearn.streams import open_stream
from streamlearn.streams.base import StreamRow


class ListStream:
    """A stream of given rows, with declared features or none."""

    name = "rows"
    labels: Sequence[str] = ()
    columns = 0

    def __init__(self, rows: list[StreamRow], features: Sequence[str] = ()) -> None:
        self._rows = rows
        self.features = features

    def __iter__(self) -> Iterator[StreamRow]:
        return iter(self._rows)


class RecordingSender:
    """Records what is sent, and when."""

    def __init__(self, now: Any = lambda: 0.0) -> None:
        self.records: list[tuple[str, str, dict[str, Any]]] = []
        self.times: list[float] = []
        self.finished = 0
        self._now = now

    def send(self, topic: str, key: str, record: dict[str, Any]) -> None:
        assert not self.finished
        self.records.append((topic, key, record))
        self.times.append(self._now())

    def finish(self) -> None:
        self.finished += 1


class Clock:
    """A clock that only sleeping advances."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds


def send(
    stream: Any, *, labels_topic: str | None = None, delay: int = 0, rate: float | None = None, limit: int | None = None
) -> tuple[SendResult, RecordingSender]:
    clock = Clock()
    sender = RecordingSender(clock)
    result = _send_rows(stream, sender, "in", labels_topic, delay, rate, limit, clock, clock.sleep)  # type: ignore[arg-type]
    assert sender.finished == 1, "only acknowledged records are reported as sent"
    return result, sender


ROWS = [
    StreamRow({"f": 1.0, "colour": "red"}, ["a"], "first"),
    StreamRow({"f": 2.0}, None),
    StreamRow({"f": 3.0}, {"a": True, "b": False}),
    StreamRow({}, []),
]


def test_truths_are_part_of_the_instances_and_a_missing_id_is_the_row_number() -> None:
    result, sender = send(ListStream(ROWS))
    assert result == SendResult(4, 0)
    assert [(topic, key) for topic, key, _ in sender.records] == [
        ("in", "first"), ("in", "1"), ("in", "2"), ("in", "3"),
    ]  # fmt: skip
    records = [record for _, _, record in sender.records]
    assert records[0] == {"id": "first", "x": {"f": 1.0, "colour": "red"}, "y": ["a"]}
    assert "y" not in records[1]
    assert records[2]["y"] == {"a": True, "b": False}
    assert records[3]["y"] == [], "an empty truth is a truth"


@pytest.mark.parametrize(
    ("delay", "order"),
    [
        (0, ["i first", "l first", "i 1", "i 2", "l 2", "i 3", "l 3"]),
        (1, ["i first", "i 1", "l first", "i 2", "i 3", "l 2", "l 3"]),
        (2, ["i first", "i 1", "i 2", "l first", "i 3", "l 2", "l 3"]),
        (100, ["i first", "i 1", "i 2", "i 3", "l first", "l 2", "l 3"]),
    ],
)
def test_truths_on_their_own_topic_follow_their_instances_after_the_delay(delay: int, order: list[str]) -> None:
    result, sender = send(ListStream(ROWS), labels_topic="truth", delay=delay)
    assert result == SendResult(4, 3)
    assert [f"{'i' if topic == 'in' else 'l'} {key}" for topic, key, _ in sender.records] == order
    for topic, key, record in sender.records:
        assert record["id"] == key
        assert set(record) == ({"id", "x"} if topic == "in" else {"id", "y"})


def test_the_engine_can_read_the_records() -> None:
    _, sender = send(open_stream("synthetic:drifting", seed=1, instances=50), labels_topic="truth", delay=3)
    rows = list(open_stream("synthetic:drifting", seed=1, instances=50))
    limits = LimitSettings()
    instances = [decode_instance(encode_event(record), limits) for topic, _, record in sender.records if topic == "in"]
    truths = [decode_label(encode_event(record), limits) for topic, _, record in sender.records if topic == "truth"]
    assert [instance.id for instance in instances] == [row.id for row in rows]
    assert [instance.x for instance in instances] == [row.x for row in rows]
    assert [(truth.id, truth.y) for truth in truths] == [(row.id, row.y) for row in rows]


def test_a_rate_spaces_instances_evenly() -> None:
    _, sender = send(ListStream([StreamRow({}, None)] * 5), rate=4.0)
    assert sender.times == [100.0, 100.25, 100.5, 100.75, 101.0]


def test_a_limit_ends_the_stream_and_sends_the_delayed_truths() -> None:
    result, sender = send(ListStream(ROWS), labels_topic="truth", delay=10, limit=3)
    assert result == SendResult(3, 2)
    assert [key for topic, key, _ in sender.records if topic == "truth"] == ["first", "2"]


def test_vectors_of_a_stream_that_names_its_columns_are_sent_by_name() -> None:
    named = ListStream([StreamRow([1.0, None, "red"], ["a"])], features=["f", "g", "colour"])
    unnamed = ListStream([StreamRow([1.0, None], ["a"])])
    assert send(named)[1].records[0][2]["x"] == {"f": 1.0, "colour": "red"}
    assert send(unnamed)[1].records[0][2]["x"] == [1.0, None]


@pytest.mark.parametrize("values", [[1.0], [1.0, 2.0, 3.0]])
def test_a_row_that_does_not_match_the_declared_columns_is_an_error(values: list[float]) -> None:
    ragged = ListStream([StreamRow([0.0, 1.0], ["a"]), StreamRow(values, ["a"])], features=["f", "g"])
    with pytest.raises(UsageError, match=rf"rows, row 1: it has {len(values)} values, but .* 2 features"):
        send(ragged)


@pytest.mark.parametrize("bootstrap", ["", "localhost:abc", "::1", "a:1,b:c"])
def test_an_invalid_address_is_refused_before_anything_is_sent(bootstrap: str) -> None:
    with pytest.raises(UsageError, match=r"--bootstrap .*host:port"):
        send_stream(ListStream(ROWS), bootstrap=bootstrap, topic="in")
