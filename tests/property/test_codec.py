"""The decoder and the public models agree on what is good and what it means; encoders write what the models read."""

from __future__ import annotations

import json
from typing import Any

import pydantic
from hypothesis import given
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
Y = st.lists(TEXT, max_size=3) | st.dictionaries(TEXT, st.booleans(), max_size=3) | st.none()
RECORD = st.fixed_dictionaries(
    {}, optional={"id": TEXT | st.integers(0, 99) | ANY, "x": X | ANY, "y": Y | ANY, "ts": ANY}
)


def _outcome(read: Any) -> Any:
    try:
        return read()
    except (RecordError, pydantic.ValidationError):
        return None


def _same(ours: Any, theirs: Any) -> bool:
    """Return whether two values are equal and of the same types (1, 1.0 and True differ)."""
    return json.dumps(ours) == json.dumps(theirs)


@given(RECORD | ANY)
def test_instances_agree(record: Any) -> None:
    value = json.dumps(record).encode()
    ours = _outcome(lambda: decode_instance(value, LIMITS))
    theirs = _outcome(lambda: Instance.model_validate_json(value))
    assert (ours is None) == (theirs is None)
    if ours is not None:
        assert _same(ours.x, theirs.x)
        assert ours.id == (None if theirs.id is None else str(theirs.id))
        assert _same(ours.y, None if theirs.y == {} else theirs.y)
        assert _same(ours.ts, theirs.ts)


@given(RECORD)
def test_labels_agree(record: Any) -> None:
    value = json.dumps(record).encode()
    ours = _outcome(lambda: decode_label(value, LIMITS))
    theirs = _outcome(lambda: Label.model_validate_json(value))
    assert (ours is None) == (theirs is None or theirs.y == {})
    if ours is not None:
        assert (ours.id, ours.y) == (str(theirs.id), theirs.y)


@given(st.binary(max_size=40))
def test_any_bytes_are_an_instance_or_a_record_error(value: bytes) -> None:
    assert (_outcome(lambda: decode_instance(value, LIMITS)) is None) == (
        _outcome(lambda: Instance.model_validate_json(value)) is None
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
