"""Decoding: valid records, and for each invalid one its code, the path and the offending value."""

from __future__ import annotations

import json

import pytest

from streamlearn.codec import decode
from streamlearn.codec.decode import decode_instance, decode_label
from streamlearn.errors import RecordError
from streamlearn.settings.settings import LimitSettings

LIMITS = LimitSettings(
    record_bytes=500, labels_per_record=2, features_per_record=3, id_bytes=8, name_bytes=20, label_bytes=20
)


def test_every_kind_of_value_is_kept() -> None:
    value = b'{"id": 7, "x": {"a": 1.5, "b": true, "c": "red"}, "y": ["n"], "ts": "t", "other": {"z": [1]}}'
    instance = decode_instance(value, LIMITS)
    assert (instance.id, instance.x, instance.y, instance.ts) == ("7", {"a": 1.5, "b": True, "c": "red"}, ["n"], "t")
    assert decode_instance(b'{"x": [1, 2.5, null]}', LIMITS).x == [1, 2.5, None]


def test_a_byte_order_mark_before_a_record_is_no_part_of_it() -> None:
    assert decode_instance(b'\xef\xbb\xbf{"x": {"a": 1}, "y": ["n"]}', LIMITS).x == {"a": 1.0}
    assert decode_instance(b'\xef\xbb\xbf{"x": {"a": "red"}}', LIMITS).x == {"a": "red"}
    assert decode_label(b'\xef\xbb\xbf{"id": "a", "y": []}', LIMITS).id == "a"


@pytest.mark.parametrize(("text", "truth"), [("[]", []), ("{}", None), ("null", None), ('{"n": false}', {"n": False})])
def test_missing_and_empty_truths(text: str, truth: object) -> None:
    assert decode_instance(f'{{"x": {{}}, "y": {text}}}'.encode(), LIMITS).y == truth


@pytest.mark.parametrize(
    ("value", "code", "message"),
    [
        (None, "empty_value", "no value"),
        (b"", "empty_value", "no value"),
        (b'{"x": {}}' + b" " * 500, "too_large", "limits.record_bytes is 500"),
        (b'{"x": {"\xff": 1}}', "not_utf8", "byte 8 is 0xff"),
        (b"hello", "not_json", "hello"),
        (b'{"x": {}', "not_json", '{"x": {}'),
        (b'{"x": {"a": NaN}}', "not_finite", "$.x.a"),
        (b'{"x": [1, -Infinity]}', "not_finite", "$.x[1]"),
        (b'{"x": {"a": 1e999}}', "not_finite", "$.x.a"),
        (b'{"x": {"a": ' + b"9" * 400 + b"}}", "not_finite", "$.x.a"),
        (b'{"x": [' + b"9" * 400 + b"]}", "not_finite", "$.x[0]"),
        (b'{"x": {"a": 1}, "other": [NaN]}', "not_finite", "$.other[0]"),
        (b'{"x": {"\\ud800": NaN}}', "not_finite", "$.x.?"),
        (b'{"other": ' + b"[" * 90 + b"]" * 90 + b', "x": {"a": NaN}}', "not_finite", "$.x.a"),
        (b"[]", "wrong_type", "object"),
        (b'{"x": "seven"}', "wrong_type", '"seven"'),
        (b'{"x": {}, "y": ["n", 3]}', "wrong_type", "$.y[1]"),
        (b'{"x": {}, "y": {"m": true, "n": 2}}', "wrong_type", "y: the label n is 2; write true or 1"),
        (b'{"x": {}, "y": {"m": true, "n": 0.2}}', "wrong_type", "y: the label n is 0.2; write true or 1"),
        (b'{"x": {}, "y": {"m": true, "n": "0"}}', "wrong_type", 'n is "0"; y is a list of the names'),
        (
            b'{"x": {}, "y": {"m": [1]}}',
            "wrong_type",
            "m is [1]; y is a list of the names of the true labels, or an object of label names to true or 1,",
        ),
        (b'{"x": {}, "y": [1, 0]}', "wrong_type", "$.y[0]`: 1; y is a list of the names"),
        (b'{"x": {}, "y": "sport"}', "wrong_type", '"sport"; y is a list of the names'),
        (b'{"x": {"a": 1, "b[0]": {"c": 2}}}', "wrong_type", 'b[0] is {"c": 2}'),
        (b'{"x": {}, "y": ["\\ud800"]}', "not_json", "half a surrogate pair"),
        (b'{"x": {"\\udfff": 1}}', "not_json", "half a surrogate pair"),
        (b'\xef\xbb\xbf{"x": {', "not_json", '{"x": {'),
        (b"\xef\xbb\xbf", "not_json", "truncated"),
        (b'\xef\xbb\xbf\xef\xbb\xbf{"x": {}}', "not_json", "byte 0"),
        (b'{"x": {}} {}', "not_json", "trailing"),
        (b'{"x": {}, "id": ' + b"1" * 400 + b"}", "id_too_long", "limits.id_bytes is 8"),
        (b'{"x": {"' + b"n" * 21 + b'": 1}}', "name_too_long", "in x has 21 bytes, limits.name_bytes is 20"),
        (b'{"x": {}, "y": ["' + b"n" * 21 + b'"]}', "name_too_long", "in y has 21 bytes"),
        (b'{"x": {}, "y": {"' + "ü".encode() * 11 + b'": true}}', "name_too_long", "in y has 22 bytes"),
        (b'{"x": {}, "id": 1.5}', "wrong_type", "1.5"),
        (b'{"id": "a", "features": {"a": 1}}', "missing_field", '`x`; the record has "id", "features"'),
        (b"{}", "missing_field", "`x`; the record has no fields"),
        (b"{" + b", ".join(b'"n%d": 1' % n for n in range(12)) + b"}", "missing_field", '"n9" and 2 more'),
        (b'{"a": ' + b"[" * 90 + b"]" * 90 + b"}", "missing_field", '`x`; the record has "a"'),
        (b'{"\\u001b[31m": 1}', "missing_field", r'the record has "\u001b[31m"'),
        (b'{"x": {}, "y": ["a", "b", "c"]}', "too_many_labels", "limits.labels_per_record is 2"),
        (b'{"x": [1, 2, 3, 4]}', "too_many_features", "limits.features_per_record is 3"),
        (b'{"x": {}, "id": "123456789"}', "id_too_long", "limits.id_bytes is 8"),
        ('{"x": {}, "id": "äöüß1"}'.encode(), "id_too_long", "9 bytes"),
        (b'{"x": ' + b"[" * 90, "wrong_type", ""),
    ],
)
def test_invalid_instances_have_code_path_and_value(value: bytes | None, code: str, message: str) -> None:
    with pytest.raises(RecordError) as raised:
        decode_instance(value, LIMITS)
    assert raised.value.code == code, raised.value
    assert message in raised.value.text
    assert len(raised.value.text.encode()) < 250


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (b'{"y": []}', "missing_field"),
        (b'{"id": "a"}', "missing_field"),
        (b'{"id": null, "y": []}', "wrong_type"),
        (b'{"id": "a", "y": null}', "wrong_type"),
        (b'{"id": "a", "y": {}}', "wrong_type"),
        (b'{"id": "a", "y": ["' + b"n" * 21 + b'"]}', "name_too_long"),
    ],
)
def test_invalid_labels(value: bytes, code: str) -> None:
    with pytest.raises(RecordError) as raised:
        decode_label(value, LIMITS)
    assert raised.value.code == code


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (b'{"x": {"' + b"k" * 100_000 + b'": NaN}}', "not_finite"),
        (b'{"x": {"' + b"k" * 100_000 + b'": []}}', "wrong_type"),
        (b'{"x": {"' + b"k" * 100_000 + b'": 1}}', "name_too_long"),
        (b'{"x": {}, "id": ' + b"1" * 100_000 + b"}", "id_too_long"),
        (b'{"other": ' + b"[" * 50_000 + b"]" * 50_000 + b', "x": {}}', "not_json"),
        (b'{"other": ' + b"[" * 700 + b"]" * 700 + b', "x": {"a": NaN}}', "not_json"),
    ],
)
def test_the_error_for_a_huge_record_is_short(value: bytes, code: str) -> None:
    with pytest.raises(RecordError) as raised:
        decode_instance(value, LimitSettings())
    assert raised.value.code == code
    assert len(raised.value.text.encode()) < 250


@pytest.mark.parametrize(("open_", "close"), [(b"[", b"]"), (b'{"a":', b"}")])
@pytest.mark.parametrize("field", [b'"x":{"a":', b'"x":{},"y":{"a":', b'"x":', b'"x":{},"id":', b'"x":{},"meta":'])
def test_a_record_that_is_nested_too_deeply_is_refused(field: bytes, open_: bytes, close: bytes) -> None:
    end = b"}}" if field.endswith(b'{"a":') else b"}"
    with pytest.raises(RecordError, match=r"^not_json: the record is nested more than 100 levels deep$"):
        decode_instance(b"{" + field + open_ * 5_000 + b"1" + close * 5_000 + end, LimitSettings())


@pytest.mark.parametrize("depth", [98, 99, 100, 500, 990])
def test_the_verdict_does_not_depend_on_how_deep_the_caller_is(depth: int) -> None:
    def verdict(frames: int) -> str:
        if frames:
            return verdict(frames - 1)
        try:
            decode_instance(b'{"x":{},"meta":' + b"[" * depth + b"]" * depth + b"}", LimitSettings())
        except RecordError as error:
            return error.code
        return "ok"

    assert {verdict(frames) for frames in (0, 200, 700)} == {"ok" if depth < 100 else "not_json"}


def test_brackets_in_texts_and_beside_each_other_are_not_nested() -> None:
    texts = json.dumps({"x": {"a": "[" * 300, 'b"{': "{" * 300 + '\\"' + "["}, "more": [[]] * 300})
    assert decode_instance(texts.encode(), LimitSettings()).x == {"a": "[" * 300, 'b"{': "{" * 300 + '\\"' + "["}


def test_the_last_of_equal_names_counts_and_a_list_may_repeat_itself() -> None:
    instance = decode_instance(b'{"id": "a", "id": "b", "x": {"f": 1, "f": 2}, "y": ["n", "n"]}', LIMITS)
    assert (instance.id, instance.x, instance.y) == ("b", {"f": 2.0}, ["n", "n"])


def test_names_at_the_limit_are_kept() -> None:
    name = "ü" * 10
    assert decode_instance(f'{{"x": {{"{name}": 1}}, "y": ["{name}"]}}'.encode(), LIMITS).y == [name]
    assert decode_label(f'{{"id": 1, "y": {{"{name}": true}}}}'.encode(), LIMITS).y == {name: True}


def test_labels() -> None:
    assert decode_label(b'{"id": 3, "y": []}', LIMITS).id == "3"
    assert decode_label(b'{"id": "a", "y": {"n": true}}', LIMITS).y == {"n": True}


def test_labels_may_be_0_1_or_null_for_unknown() -> None:
    mixed = b'{"x": {}, "id": "a", "y": {"p": 1, "q": 0}}'
    assert decode_instance(mixed, LIMITS).y == decode_label(mixed, LIMITS).y == {"p": True, "q": False}
    for name in ("p", "q"):
        assert decode_label(mixed, LIMITS).y[name] is (name == "p")
    assert decode_label(b'{"id": "a", "y": {"p": true, "q": null}}', LIMITS).y == {"p": True}
    assert decode_instance(b'{"x": {}, "y": {"p": null}}', LIMITS).y is None
    with pytest.raises(RecordError, match=r'y is {"p": null}: it has no known label; \[\] is the empty truth'):
        decode_label(b'{"id": "a", "y": {"p": null}}', LIMITS)


def test_cached_names_do_not_let_a_long_name_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    valid, invalid = b'{"x": {"a": 1, "b": 2}, "y": ["n"]}', b'{"x": {"a": 1, "%s": 2}, "y": ["n"]}' % (b"b" * 21)
    monkeypatch.setattr(decode, "MAX_CACHED_NAMES", 3)
    monkeypatch.setattr(decode, "_short_names", {})
    for _ in range(3):
        assert decode_instance(valid, LIMITS).x == {"a": 1.0, "b": 2.0}
        with pytest.raises(RecordError, match=r"in x has 21 bytes"):
            decode_instance(invalid, LIMITS)
        assert len(decode._short_names[LIMITS.name_bytes]) <= 3
    wider = LIMITS.model_copy(update={"name_bytes": 21})
    assert decode_instance(invalid, wider).x["b" * 21] == 2.0  # pyright: ignore[reportCallIssue, reportArgumentType]
    with pytest.raises(RecordError, match=r"in x has 21 bytes"):
        decode_instance(invalid, LIMITS)


def test_a_text_whose_feature_name_is_too_long_is_left_out_and_counted() -> None:
    dropped: dict[str, int] = {}
    kept, long, wide = "c" * 18, "c" * 19, "ü" * 10
    value = f'{{"x": {{"a": "{kept}", "b": "{long}", "d": "{wide}"}}, "y": ["n"]}}'.encode()
    instance = decode_instance(value, LIMITS, dropped)
    assert instance.x == {"a": kept, "b": None, "d": None}
    assert instance.y == ["n"]
    assert dropped == {"text_too_long": 2}
    assert decode_instance(value, LIMITS).x == instance.x
    decode_instance(f'{{"x": {{"b": "{long}"}}}}'.encode(), LIMITS, dropped)
    assert dropped == {"text_too_long": 3}
    short: dict[str, int] = {}
    assert decode_instance(b'{"x": {"a": "red", "b": 1}, "other": "' + b"o" * 30 + b'"}', LIMITS, short).x["a"] == "red"  # type: ignore[call-overload, index]
    assert short == {}
