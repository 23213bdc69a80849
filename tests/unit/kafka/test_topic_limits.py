"""Records are made to fit the limit of their topic, as the client encodes them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka import errors as kafka_errors
from kafka.record.default_records import DefaultRecordBatchBuilder

from streamlearn.errors import RetryableError
from streamlearn.kafka.topic_limits import RecordTooLargeError, TopicLimits, largest_batch, read_limits
from streamlearn.records.dead_letter import HEADER_PREFIX, DeadLetter
from streamlearn.settings.settings import Settings
from streamlearn.sink.base import OutputRecord

LETTER = {"topic": "in", "partition": "0", "offset": "7", "timestamp": "1", "reason": "r", "text": "t", "version": "1"}
HEADERS = [(f"{HEADER_PREFIX}{name}", text.encode()) for name, text in LETTER.items()]


def make_limits(compression: str = "none", **limits: int) -> TopicLimits:
    """Return the limits that an administrator reports by role."""
    settings = Settings.model_validate({"kafka": {"compression": compression}})
    topics = {getattr(settings.topics, role) or settings.journal_topic: limit for role, limit in limits.items()}

    def describe_configs(resources: list[Any], **options: Any) -> dict[str, Any]:
        names = {resource.name for resource in resources}
        return {"topic": {t: {"max.message.bytes": {"value": str(n)}} for t, n in topics.items() if t in names}}

    made = TopicLimits(settings)
    made.read(SimpleNamespace(describe_configs=describe_configs))  # type: ignore[arg-type]
    return made


def batch_size(record: OutputRecord) -> int:
    """Return the size of the batch that the client builds of one record."""
    builder = DefaultRecordBatchBuilder(2, 0, True, 1, 1, 0, 1 << 30)
    builder.append(0, timestamp=1 << 40, key=record.key, value=record.value, headers=record.headers)
    return len(builder.build())


def data(most: int = 3_000) -> st.SearchStrategy[bytes]:
    return st.integers(0, most).map(lambda length: b"x" * length)


@given(
    st.none() | data(), st.none() | data(), st.lists(st.tuples(st.text(max_size=3), data(40)), max_size=300),
    st.integers(600, 4_000),
)  # fmt: skip
def test_any_dead_letter_fits_and_keeps_what_fits(
    key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]], limit: int
) -> None:
    limits = make_limits(dead_letters=limit)
    letter = OutputRecord("dead-letters", 0, key, value, [*headers, *HEADERS])
    fitted = limits.fit(letter)
    assert batch_size(fitted) <= limit
    about = DeadLetter.from_headers(list(fitted.headers))
    assert (about.topic, about.offset) == ("in", 7)
    if batch_size(letter) + 100 <= limit:
        assert fitted == letter
    assert fitted == letter or (about.pointer is not None and (fitted.key is not None or fitted.value is not None))


@given(st.none() | data(), data(), st.integers(300, 4_000))
def test_any_prediction_fits_without_its_key_or_is_named(key: bytes | None, value: bytes, limit: int) -> None:
    limits = make_limits(predictions=limit)
    record = OutputRecord("predictions", 0, key, value)
    try:
        fitted = limits.fit(record)
    except RecordTooLargeError:
        assert batch_size(OutputRecord("predictions", 0, None, value)) > limit - 100
        return
    assert batch_size(fitted) <= limit
    assert fitted.value == value
    assert fitted.key in (key, None)


def test_a_refused_record_is_written_smaller_or_named() -> None:
    limits = make_limits(predictions=1_000)
    letter = OutputRecord("dead-letters", 0, b"key", b"v" * 5_000, HEADERS)
    assert limits.fit(letter) == letter
    assert isinstance(limits.note_refused_record(letter), RetryableError)
    smaller = limits.fit(letter)
    assert (smaller.key, smaller.value) == (b"key", None)
    prediction = OutputRecord("predictions", 0, None, b"v" * 500)
    error = limits.note_refused_record(prediction)
    assert isinstance(error, RecordTooLargeError)
    assert "for topic predictions (topics.predictions) has 5" in str(error)
    assert "max.message.bytes: 1,000 bytes" in str(error)


def test_batches_follow_the_limits_and_refusals_where_they_are_unknown() -> None:
    limits = make_limits(predictions=100_000)
    assert 98_000 < limits.batch_bytes("predictions") < 100_000
    before = limits.batch_bytes("events")
    for _ in range(20):
        limits.note_refused_batch()
    assert 1_000 < limits.batch_bytes("events") < before
    assert 98_000 < limits.batch_bytes("predictions") < 100_000
    assert (limits.is_certain("predictions"), limits.is_certain("events")) == (True, False)
    assert not make_limits("zstd", predictions=100_000).is_certain("predictions")
    assert make_limits(journal=10 << 20).request_bytes() >= 10 << 20
    assert largest_batch(1_048_588) == 512 << 10


@pytest.mark.parametrize("error", [kafka_errors.IncompatibleBrokerVersion, kafka_errors.KafkaTimeoutError])
def test_limits_that_cannot_be_read_are_unknown(error: type[Exception]) -> None:
    def describe_configs(resources: list[Any], **options: Any) -> dict[str, Any]:
        raise error

    assert read_limits(SimpleNamespace(describe_configs=describe_configs), ["a"]) == {}  # type: ignore[arg-type]
