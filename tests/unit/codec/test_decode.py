"""Decoding: what is good, and for each bad record its code, the place and the value."""

from __future__ import annotations

import pytest

from streamlearn.codec.decode import decode_instance, decode_label
from streamlearn.errors import RecordError
from streamlearn.settings.model import LimitSettings

LIMITS = LimitSettings(record_bytes=500, labels_per_record=2, features_per_record=3, id_bytes=8)


def test_every_kind_of_value_is_kept() -> None:
    value = b'{"id": 7, "x": {"a": 1.5, "b": true, "c": "red"}, "y": ["n"], "ts": "t", "other": {"z": [1]}}'
    instance = decode_instance(value, LIMITS)
    assert (instance.id, instance.x, instance.y, instance.ts) == ("7", {"a": 1.5, "b": True, "c": "red"}, ["n"], "t")
    assert decode_instance(b'{"x": [1, 2.5, null]}', LIMITS).x == [1, 2.5, None]


@pytest.mark.parametrize(("text", "truth"), [("[]", []), ("{}", None), ("null", None), ('{"n": false}', {"n": False})])
def test_what_says_nothing_is_no_truth(text: str, truth: object) -> None:
    assert decode_instance(f'{{"x": {{}}, "y": {text}}}'.encode(), LIMITS).y == truth


@pytest.mark.parametrize(
    ("value", "code", "said"),
    [
        (None, "empty_value", "no value"),
        (b"", "empty_value", "no value"),
        (b'{"x": {}}' + b" " * 500, "too_large", "limits.record_bytes is 500"),
        (b'{"x": {"\xff": 1}}', "not_utf8", "byte 8 is 0xff"),
        (b"hello", "not_json", "hello"),
        (b'{"x": {}', "not_json", '{"x": {}'),
        (b'{"x": {"a": NaN}}', "not_finite", "$.x.a"),
        (b'{"x": [1, -Infinity]}', "not_finite", "$.x[1]"),
        (b'{"x": {"a": 1e999}}', "not_finite", ""),
        (b"[]", "wrong_type", "object"),
        (b'{"x": "seven"}', "wrong_type", '"seven"'),
        (b'{"x": {}, "y": ["n", 3]}', "wrong_type", "$.y[1]"),
        (b'{"x": {}, "y": {"n": 1}}', "wrong_type", "$.y"),
        (b'{"x": {}, "id": 1.5}', "wrong_type", "1.5"),
        (b'{"id": "a"}', "missing_field", "`x`"),
        (b'{"x": {}, "y": ["a", "b", "c"]}', "too_many_labels", "limits.labels_per_record is 2"),
        (b'{"x": [1, 2, 3, 4]}', "too_many_features", "limits.features_per_record is 3"),
        (b'{"x": {}, "id": "123456789"}', "id_too_long", "limits.id_bytes is 8"),
        ('{"x": {}, "id": "äöüß1"}'.encode(), "id_too_long", "9 bytes"),
        (b'{"x": ' + b"[" * 400, "wrong_type", ""),
    ],
)
def test_bad_instances_have_code_place_and_value(value: bytes | None, code: str, said: str) -> None:
    with pytest.raises(RecordError) as raised:
        decode_instance(value, LIMITS)
    assert (raised.value.code, said in raised.value.text) == (code, True), raised.value
    assert len(raised.value.text) < 250


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (b'{"y": []}', "missing_field"),
        (b'{"id": "a"}', "missing_field"),
        (b'{"id": null, "y": []}', "wrong_type"),
        (b'{"id": "a", "y": null}', "wrong_type"),
        (b'{"id": "a", "y": {}}', "wrong_type"),
    ],
)
def test_bad_labels(value: bytes, code: str) -> None:
    with pytest.raises(RecordError) as raised:
        decode_label(value, LIMITS)
    assert raised.value.code == code


def test_labels() -> None:
    assert decode_label(b'{"id": 3, "y": []}', LIMITS).id == "3"
    assert decode_label(b'{"id": "a", "y": {"n": true}}', LIMITS).y == {"n": True}
