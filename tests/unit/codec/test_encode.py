"""Encoding: every prediction fits the default limits of a broker."""

from __future__ import annotations

import json

import pytest

from streamlearn.codec.encode import encode_prediction
from streamlearn.records.size import LONGEST_VALUE_BYTES


def encode(labels: list[str]) -> bytes:
    scores = dict.fromkeys(labels, 0.5)
    return encode_prediction("i", labels, scores, "threshold:0.1", "l", "default", 1, 1, "instances", 0, 7)


@pytest.mark.parametrize("count", [0, 3, 1_000])
def test_a_prediction_that_fits_is_complete(count: int) -> None:
    labels = [f"label {number}" for number in range(count)]
    record = json.loads(encode(labels))
    assert record["labels"] == labels
    assert list(record["scores"]) == labels


def test_a_longer_prediction_loses_its_scores() -> None:
    labels = [f"{number:0800}" for number in range(1_000)]
    record = json.loads(encode(labels))
    assert (record["labels"], record["scores"]) == (labels, {})


def test_the_longest_prediction_loses_its_last_labels() -> None:
    labels = ["\x01" * 256 + str(number) for number in range(1_000)]
    value = encode(labels)
    assert 0.8 * LONGEST_VALUE_BYTES < len(value) <= LONGEST_VALUE_BYTES
    record = json.loads(value)
    assert record["scores"] == {}
    assert record["labels"] == labels[: len(record["labels"])]
