"""Encoding of output records as JSON; the same record always gives the same bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from streamlearn.records.prediction import SCHEMA_VERSION
from streamlearn.records.size import LONGEST_VALUE_BYTES


class _Model(msgspec.Struct, gc=False):
    lineage: str
    preset: str
    seen: int
    learned: int


class _Source(msgspec.Struct, gc=False):
    topic: str
    partition: int
    offset: int


class _Prediction(msgspec.Struct, gc=False):
    schema_version: int
    id: str
    labels: list[str]
    scores: dict[str, float]
    rule: str
    model: _Model
    source: _Source


_encoder = msgspec.json.Encoder()


def encode_prediction(
    identity: str,
    labels: list[str],
    scores: dict[str, float],
    rule: str,
    lineage: str,
    preset: str,
    seen: int,
    learned: int,
    topic: str,
    partition: int,
    offset: int,
) -> bytes:
    """Encode a `records.prediction.Prediction`, with fields in the order of the model and scores in the given order.

    If the record is longer than `LONGEST_VALUE_BYTES`, the scores are left out; if it is still too long, the last tenth
    of the labels is cut off until it fits.
    """
    prediction = _Prediction(
        SCHEMA_VERSION,
        identity,
        labels,
        scores,
        rule,
        _Model(lineage, preset, seen, learned),
        _Source(topic, partition, offset),
    )
    value = _encoder.encode(prediction)
    if len(value) > LONGEST_VALUE_BYTES:
        prediction.scores = {}
        while len(value := _encoder.encode(prediction)) > LONGEST_VALUE_BYTES and prediction.labels:
            prediction.labels = prediction.labels[: len(prediction.labels) * 9 // 10]
    return value


def encode_event(event: Mapping[str, Any]) -> bytes:
    """Encode a `records.event.Event`, with fields in the given order."""
    return _encoder.encode(event)


def encode_metrics(metrics: Mapping[str, Any]) -> bytes:
    """Encode a `records.metrics.Metrics`, with fields in the given order."""
    return _encoder.encode(metrics)
