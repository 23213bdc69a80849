"""Decoding and checking of input records; errors say where the fault is and show the offending value.

These msgspec structs are the schema that the engine uses; `records.instance` and `records.label` document the same
format.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Container
from typing import Any

import msgspec

from streamlearn.errors import RecordError
from streamlearn.records.truth_value import label_value
from streamlearn.settings.settings import LimitSettings

Value = float | bool | str | None
Truth = list[str] | dict[str, bool]

MAX_CACHED_NAMES = 16_384
"""Size of the cache of names that are known to be short enough."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
"""What some programs write before UTF-8; it is no part of the JSON."""
_MAX_SHOWN = 60
"""Characters of a value that an error message shows."""
_MAX_FIELDS_SHOWN = 10
"""Names of fields that an error message shows."""
_MAX_DIGITS = 300
"""An integer with more digits than this may be beyond the range of float64."""
_MAX_DEPTH = 100
"""Levels of nesting of a record. The parser's own limit depends on how deep the caller is, and a record must get the
same verdict when it is applied and in a replay."""
_TEXT = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_TRUTH_HINT = (
    "; y is a list of the names of the true labels, or an object of label names to true or 1, false or 0, or null"
)


class _AllNames:
    """Contains every name."""

    def __contains__(self, name: object) -> bool:
        return True


EVERY_FIELD: Container[str] = _AllNames()
"""Makes every field a text field, for commands that only forward records."""


class DecodedInstance(msgspec.Struct, gc=False):
    """A decoded instance. ``y`` is None without a truth; numbers in ``x`` are float64, integers too."""

    x: dict[str, Value] | list[float | None]
    id: str | None = None
    y: Truth | None = None
    ts: str | int | float | None = None


class DecodedLabel(msgspec.Struct, gc=False):
    """A decoded label: a truth that arrived separately from its instance."""

    id: str
    y: Truth


_RawTruth = list[str] | dict[str, bool | int | float | None]
"""A truth as written: the value of a label may also be 0, 1 or null."""


class _AnyIdInstance(DecodedInstance, gc=False):
    """An instance as written: the id may also be an integer, which decoding turns into text."""

    id: str | int | None = None  # pyright: ignore[reportIncompatibleVariableOverride]
    y: _RawTruth | None = None  # pyright: ignore[reportIncompatibleVariableOverride]


class _AnyIdLabel(DecodedLabel, gc=False, kw_only=True):
    """A label as written: the id may also be an integer."""

    id: str | int  # pyright: ignore[reportIncompatibleVariableOverride]
    y: _RawTruth  # pyright: ignore[reportIncompatibleVariableOverride]


class _NumericInstance(_AnyIdInstance, gc=False):
    """An instance with numbers only, the common case: it decodes faster, and has no texts to check."""

    x: dict[str, float] | list[float]  # pyright: ignore[reportIncompatibleVariableOverride]


_numeric_decoder = msgspec.json.Decoder(_NumericInstance)
_instance_decoder = msgspec.json.Decoder(_AnyIdInstance)
_label_decoder = msgspec.json.Decoder(_AnyIdLabel)


def decode_instance(
    value: bytes | None,
    limits: LimitSettings,
    dropped: dict[str, int] | None = None,
    text_fields: Container[str] = (),
) -> DecodedInstance:
    """Decode the value of an instance record.

    A text in ``x`` whose feature name, ``name=text``, would be longer than ``limits.name_bytes`` is replaced by null
    and counted in ``dropped`` as ``text_too_long``. Texts of ``text_fields`` may have any length.

    Parameters
    ----------
    value:
        The value of the record, UTF-8 JSON.
    limits:
        Limits on sizes, numbers and lengths.
    dropped:
        Counts of left-out values by reason, which are added to; None: nothing is counted.
    text_fields:
        Names of features whose texts are bags of words.

    Raises
    ------
    RecordError
        ``empty_value``, ``too_large``, ``not_utf8``, ``not_json``, ``wrong_type``, ``missing_field``, ``not_finite``,
        ``too_many_labels``, ``too_many_features``, ``name_too_long`` or ``id_too_long``.
    """
    data = _check_size(value, limits)
    instance, numeric = _decode(data)
    if len(instance.x) > limits.features_per_record:
        raise RecordError(
            "too_many_features",
            f"x has {len(instance.x)} entries, limits.features_per_record is {limits.features_per_record}",
        )
    if len(data) > limits.name_bytes and isinstance(instance.x, dict):
        _check_names(instance.x, "x", limits.name_bytes, "limits.name_bytes")
        if not numeric:
            _drop_long_texts(instance.x, limits, dropped, text_fields)
    if instance.y and len(data) > limits.label_bytes:
        _check_names(instance.y, "y", limits.label_bytes, "limits.label_bytes")
    if instance.id is not None:
        instance.id = _id_text(instance.id, limits)
    if instance.y is not None:
        instance.y = _known_truth(instance.y, limits)  # pyright: ignore[reportAttributeAccessIssue]
    return instance


def _decode(data: bytes) -> tuple[_AnyIdInstance, bool]:
    """Return the instance, and whether all values of ``x`` are numbers."""
    try:
        return _numeric_decoder.decode(data), True
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        data = data.removeprefix(_BYTE_ORDER_MARK)
        try:
            return _instance_decoder.decode(data), False
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _record_error(error, data) from None


def decode_label(value: bytes | None, limits: LimitSettings) -> DecodedLabel:
    """Decode the value of a label record.

    Raises
    ------
    RecordError
        As `decode_instance`; an object in ``y`` without a known label is ``wrong_type``.
    """
    data = _check_size(value, limits).removeprefix(_BYTE_ORDER_MARK)
    try:
        label = _label_decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _record_error(error, data) from None
    label.id = _id_text(label.id, limits)
    if len(data) > limits.label_bytes:
        _check_names(label.y, "y", limits.label_bytes, "limits.label_bytes")
    truth = _known_truth(label.y, limits)
    if truth is None:
        raise RecordError(
            "wrong_type", f"y is {_shorten(json.dumps(label.y))}: it has no known label; [] is the empty truth"
        )
    label.y = truth  # pyright: ignore[reportAttributeAccessIssue]
    return label


def _check_size(value: bytes | None, limits: LimitSettings) -> bytes:
    """Return the value, which must be neither empty, too large nor too deeply nested."""
    if not value:
        raise RecordError("empty_value", "the record has no value")
    if len(value) > limits.record_bytes:
        raise RecordError(
            "too_large", f"the record has {len(value)} bytes, limits.record_bytes is {limits.record_bytes}"
        )
    if value.count(b"[") + value.count(b"{") > _MAX_DEPTH:
        _check_depth(value)
    return value


def _check_depth(value: bytes) -> None:
    """Refuse more than `_MAX_DEPTH` levels of nesting, outside of texts."""
    depth = 0
    for bracket in _TEXT.sub(b"", value).translate(None, _NO_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        if depth > _MAX_DEPTH:
            raise RecordError("not_json", f"the record is nested more than {_MAX_DEPTH} levels deep")


_short_names: dict[int, set[str]] = {}
"""Cache: maximum length in bytes to names that are not longer."""


def _check_names(names: Collection[str], where: str, max_bytes: int, setting: str) -> None:
    """Refuse names that are too long. Callers skip records that are shorter than one name may be."""
    short_names = _short_names.setdefault(max_bytes, set())
    if short_names.issuperset(names):
        return
    for name in names:
        length = len(name.encode("utf-8"))
        if length > max_bytes:
            raise RecordError(
                "name_too_long", f"the name {_shorten(name)} in {where} has {length} bytes, {setting} is {max_bytes}"
            )
    if len(short_names) + len(names) > MAX_CACHED_NAMES:
        short_names.clear()
    if len(names) <= MAX_CACHED_NAMES:
        short_names.update(names)


def _drop_long_texts(
    x: dict[str, Value], limits: LimitSettings, dropped: dict[str, int] | None, text_fields: Container[str]
) -> None:
    """Replace texts that make too long a feature name by None, and count them."""
    if str not in set(map(type, x.values())):
        return
    for name, value in x.items():
        if isinstance(value, str) and (len(name) + 1 + len(value)) * 4 > limits.name_bytes:
            if name in text_fields or len(name.encode()) + 1 + len(value.encode()) <= limits.name_bytes:
                continue
            x[name] = None
            if dropped is not None:
                dropped["text_too_long"] = dropped.get("text_too_long", 0) + 1


def _id_text(identity: str | int, limits: LimitSettings) -> str:
    """Return an id as text, which must not be too long."""
    text = identity if isinstance(identity, str) else str(identity)
    if len(text) * 4 > limits.id_bytes and len(text.encode("utf-8", "surrogatepass")) > limits.id_bytes:
        raise RecordError(
            "id_too_long",
            f"id {_shorten(text)} has {len(text.encode('utf-8', 'surrogatepass'))} bytes, "
            f"limits.id_bytes is {limits.id_bytes}",
        )
    return text


def _known_truth(truth: _RawTruth, limits: LimitSettings) -> Truth | None:
    """Return the truth without unknown labels; None for an object without a known label.

    Raises
    ------
    RecordError
        ``too_many_labels``, or ``wrong_type`` for a label's value other than a boolean, 0, 1 or null.
    """
    if len(truth) > limits.labels_per_record:
        raise RecordError(
            "too_many_labels",
            f"y has {len(truth)} labels, limits.labels_per_record is {limits.labels_per_record}",
        )
    if isinstance(truth, list):
        return truth
    known: dict[str, bool] = {}
    for name, value in truth.items():
        if value is True or value is False:
            known[name] = value
            continue
        try:
            sign = label_value(value)
        except ValueError:
            raise RecordError(
                "wrong_type",
                f"y: the label {_shorten(name)} is {_shorten(str(value))}; "
                "write true or 1, false or 0, or null for unknown",
            ) from None
        if sign is not None:
            known[name] = sign
    return known or None


def _record_error(error: Exception, data: bytes) -> RecordError:
    """Return the reason why bytes could not be decoded; this is the slow path."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as utf8_error:
        start = utf8_error.start
        return RecordError("not_utf8", f"byte {start} is {data[start]:#04x}, not UTF-8")
    if isinstance(error, RecursionError):
        return RecordError("not_json", "the record is nested too deeply")
    message = str(error)
    is_json = isinstance(error, msgspec.ValidationError)
    if is_json and "out of range" in message and message.endswith("`$.id`"):
        return RecordError("id_too_long", "id is a number out of range; write a long id as text")
    if not is_json or "out of range" in message:
        try:
            record = _parse_leniently(text)
            path = _find_not_finite(record)
            if path is not None:
                return RecordError("not_finite", f"{_shorten(path)} is not a finite number")
            json.dumps(record, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError:
            message = "a text holds half a surrogate pair"
        except (ValueError, RecursionError):
            pass
        return (
            RecordError("not_finite", message) if is_json else RecordError("not_json", f"{message}: {_shorten(text)}")
        )
    if "missing required field" in message:
        return RecordError("missing_field", f"{message}{_list_fields(text)}")
    hint = _TRUTH_HINT if "`$.y" in message else ""
    return RecordError("wrong_type", f"{message}{_offending_value(text, message)}{hint}")


def _list_fields(text: str) -> str:
    """Return the end of an error message: which fields the record has."""
    try:
        fields = list(_parse_leniently(text))
    except ValueError:
        return ""
    except RecursionError:
        return "; the record is nested too deeply to list its fields"
    if not fields:
        return "; the record has no fields"
    shown = ", ".join(_shorten(json.dumps(name, ensure_ascii=False)) for name in fields[:_MAX_FIELDS_SHOWN])
    more = len(fields) - _MAX_FIELDS_SHOWN
    return f"; the record has {shown}{f' and {more} more' if more > 0 else ''}"


def _parse_leniently(text: str) -> Any:
    """Parse JSON in which NaN, infinities and integers of any length are numbers."""
    return json.loads(text, parse_int=lambda digits: float(digits) if len(digits) > _MAX_DIGITS else int(digits))


def _find_not_finite(record: Any) -> str | None:
    """Return the path of the first number that is NaN or infinite, at any depth."""
    stack = [("$", record)]
    while stack:
        path, value = stack.pop()
        if isinstance(value, float) and not math.isfinite(value):
            return path
        if isinstance(value, dict):
            stack.extend([(f"{path}.{key}", item) for key, item in value.items()][::-1])
        elif isinstance(value, list):
            stack.extend([(f"{path}[{index}]", item) for index, item in enumerate(value)][::-1])
    return None


def _offending_value(text: str, message: str) -> str:
    """Return the offending value for a message like "... - at `$.y[0]`", with its name if the path has ``[...]``."""
    _, separator, path = message.partition(" - at `$")
    if not separator:
        return ""
    path = path.rstrip("`")
    within, entry, _ = path.partition("[...]")
    name = ""
    try:
        value = _parse_leniently(text)
        for step in within.replace("]", "").replace("[", ".").split("."):
            if step:
                value = value[int(step)] if isinstance(value, list) else value[step]
        if entry:
            valid_types = (float, int, type(None)) if within == ".y" else (float, int, str, type(None))
            name, value = next((name, item) for name, item in value.items() if not isinstance(item, valid_types))
            name = f"{_shorten(name)} is "
        return f": {name}{_shorten(json.dumps(value))}"
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, StopIteration):
        return ""
    except RecursionError:
        return ", which is nested too deeply to be shown"


def _shorten(text: str) -> str:
    """Return at most `_MAX_SHOWN` characters of a text, as valid UTF-8."""
    short = text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."
    return short.encode("utf-8", "replace").decode("utf-8")
