"""The decoder and the pydantic models accept the same records with the same meaning, and the models read what the
encoders write.

One difference is intended: the decoder limits the length of ids (`limits.id_bytes`), while the models describe only
their type. An integer id counts by the length of its text.
"""

from __future__ import annotations

import json
from typing import Any

import pydantic
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streamlearn.codec.decode import decode_instance, decode_label
from streamlearn.codec.encode import encode_event, encode_metrics, encode_prediction
from streamlearn.errors import RecordError
from streamlearn.records.event import Event, EventPoint
from streamlearn.records.instance import Instance
from streamlearn.records.label import Label
from streamlearn.records.metrics import Metrics
from streamlearn.records.prediction import Prediction
from streamlearn.settings.settings import LimitSettings

LIMITS = LimitSettings()
TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
SCALAR = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**330), 10**330), st.floats(allow_nan=False, allow_infinity=False), TEXT
)
ANY = st.recursive(SCALAR, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3))
X = st.dictionaries(TEXT, SCALAR, max_size=4) | st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=4)
LABEL_VALUE = st.sampled_from([True, False, 1, 0, 1.0, 0.0, None, 2, 0.2, "1"])
Y = (
    st.lists(TEXT, max_size=3)
    | st.dictionaries(TEXT, st.booleans(), max_size=3)
    | st.dictionaries(TEXT, LABEL_VALUE, max_size=3)
    | st.none()
)
RECORD = st.fixed_dictionaries(
    {}, optional={"id": TEXT | st.integers(0, 99) | ANY, "x": X | ANY, "y": Y | ANY, "ts": ANY}
)


def _result(decode: Any) -> Any:
    """Return what a decoder returns, None when it refuses the record."""
    try:
        return decode()
    except (RecordError, pydantic.ValidationError):
        return None


def _equal(decoded: Any, expected: Any) -> bool:
    """Return whether two values are equal and of the same types (1, 1.0 and True differ)."""
    return json.dumps(decoded) == json.dumps(expected)


def _has_long_id(model: Instance | Label) -> bool:
    return model.id is not None and len(str(model.id).encode()) > LIMITS.id_bytes


@given(RECORD | ANY)
def test_decoder_and_model_agree_on_instances(record: Any) -> None:
    value = json.dumps(record).encode()
    decoded = _result(lambda: decode_instance(value, LIMITS))
    model = _result(lambda: Instance.model_validate_json(value))
    assert (decoded is None) == (model is None or _has_long_id(model))
    if decoded is not None:
        assert _equal(decoded.x, model.x)
        assert decoded.id == (None if model.id is None else str(model.id))
        assert _equal(decoded.y, None if model.y == {} else model.y)
        assert _equal(decoded.ts, model.ts)


@given(RECORD)
def test_decoder_and_model_agree_on_labels(record: Any) -> None:
    value = json.dumps(record).encode()
    decoded = _result(lambda: decode_label(value, LIMITS))
    model = _result(lambda: Label.model_validate_json(value))
    assert (decoded is None) == (model is None or model.y == {} or _has_long_id(model))
    if decoded is not None:
        assert (decoded.id, decoded.y) == (str(model.id), model.y)


@given(st.integers(1, 4_000), st.sampled_from(["", "-"]))
@example(256, "")
@example(256, "-")
@example(255, "-")
def test_an_integer_id_becomes_text_of_limited_length(digits: int, sign: str) -> None:
    text = sign + "1" * digits
    instance = f'{{"x": {{}}, "id": {text}}}'.encode()
    label = f'{{"y": [], "id": {text}}}'.encode()
    assert str(Instance.model_validate_json(instance).id) == text
    assert str(Label.model_validate_json(label).id) == text
    if len(text) <= LIMITS.id_bytes:
        assert decode_instance(instance, LIMITS).id == decode_label(label, LIMITS).id == text
    else:
        for decode, value in ((decode_instance, instance), (decode_label, label)):
            with pytest.raises(RecordError, match="id_too_long"):
                decode(value, LIMITS)


@given(st.binary(max_size=40))
def test_decoder_and_model_agree_on_any_bytes(value: bytes) -> None:
    assert (_result(lambda: decode_instance(value, LIMITS)) is None) == (
        _result(lambda: Instance.model_validate_json(value)) is None
    )


@given(TEXT, st.lists(TEXT, max_size=3), st.dictionaries(TEXT, st.floats(0, 1), max_size=4), st.integers(0, 2**40))
def test_predictions_are_read_back(identity: str, labels: list[str], scores: dict[str, float], count: int) -> None:
    value = encode_prediction(identity, labels, scores, "subset", "l", "default", count, count, "t", 0, count)
    read = Prediction.model_validate_json(value)
    assert (read.id, read.labels, read.scores, list(read.scores)) == (identity, labels, scores, list(scores))
    assert (read.model.seen, read.source.offset, read.source.topic) == (count, count, "t")
    assert json.loads(value) == read.model_dump()


@given(TEXT, st.floats(0, 1), st.integers(0, 2**53))
def test_events_are_read_back(name: str, mean: float, row: int) -> None:
    event = Event(
        kind="drift",
        at=EventPoint(row=row, now_ns=row),
        scope="cluster",
        name=name,
        signal="loss",
        direction="worse",
        before=mean,
        after=mean,
        n=row,
        since_row=row,
        action="retest",
    )
    value = encode_event(event.model_dump())
    assert Event.model_validate_json(value) == event
    assert list(json.loads(value)) == list(Event.model_fields)


@given(TEXT, st.none() | st.floats(0, 1), st.integers(0, 2**53))
def test_metrics_are_read_back(lineage: str, measure: float | None, count: int) -> None:
    metrics = Metrics(
        task=0,
        lineage=lineage,
        now_ns=count,
        seen=count,
        learned=count,
        labels=3,
        features=4,
        clusters=1,
        pending=0,
        window={"micro_f1": measure},
        whole={"micro_f1": measure},
    )
    assert Metrics.model_validate_json(encode_metrics(metrics.model_dump())) == metrics
