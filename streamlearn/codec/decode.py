"""Bytes to records, typed and checked; what is wrong says where, and shows the offending value."""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec

from streamlearn.errors import RecordError
from streamlearn.settings.model import LimitSettings

Value = float | int | bool | str | None
Truth = list[str] | dict[str, bool]

_SHOWN = 60


class DecodedInstance(msgspec.Struct, frozen=True, gc=False):
    """An instance; ``y`` is None when there is no truth."""

    x: dict[str, Value] | list[float | None]
    id: str | None = None
    y: Truth | None = None
    ts: Any = None


class DecodedLabel(msgspec.Struct, frozen=True, gc=False):
    """A truth that came apart from its instance."""

    id: str
    y: Truth


class _RawInstance(msgspec.Struct, gc=False):
    x: dict[str, Value] | list[float | None]
    id: str | int | None = None
    y: Truth | None = None
    ts: str | int | float | None = None


class _RawLabel(msgspec.Struct, gc=False):
    id: str | int
    y: Truth


_instance_decoder = msgspec.json.Decoder(_RawInstance)
_label_decoder = msgspec.json.Decoder(_RawLabel)


def decode_instance(value: bytes | None, limits: LimitSettings) -> DecodedInstance:
    """Return the instance of a record's value.

    Raises
    ------
    RecordError
        ``empty_value``, ``too_large``, ``not_utf8``, ``not_json``, ``wrong_type``, ``missing_field``, ``not_finite``,
        ``too_many_labels``, ``too_many_features`` or ``id_too_long``.
    """
    data = _checked(value, limits)
    try:
        raw = _instance_decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _explained(error, data) from None
    if len(raw.x) > limits.features_per_record:
        raise RecordError(
            "too_many_features",
            f"x has {len(raw.x)} entries, limits.features_per_record is {limits.features_per_record}",
        )
    return DecodedInstance(raw.x, _identity(raw.id, limits), _truth(raw.y, limits), raw.ts)


def decode_label(value: bytes | None, limits: LimitSettings) -> DecodedLabel:
    """Return the label of a record's value.

    Raises
    ------
    RecordError
        As `decode_instance`; an empty object in ``y`` says nothing and is ``wrong_type``.
    """
    data = _checked(value, limits)
    try:
        raw = _label_decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _explained(error, data) from None
    identity = _identity(raw.id, limits)
    truth = _truth(raw.y, limits)
    if truth is None:
        raise RecordError("wrong_type", "y is {}: an empty object names no label; [] is the empty truth")
    assert identity is not None
    return DecodedLabel(identity, truth)


def _checked(value: bytes | None, limits: LimitSettings) -> bytes:
    if not value:
        raise RecordError("empty_value", "the record has no value")
    if len(value) > limits.record_bytes:
        raise RecordError(
            "too_large", f"the record has {len(value)} bytes, limits.record_bytes is {limits.record_bytes}"
        )
    return value


def _identity(identity: str | int | None, limits: LimitSettings) -> str | None:
    if identity is None:
        return None
    text = identity if isinstance(identity, str) else str(identity)
    if len(text) * 4 > limits.id_bytes and len(text.encode("utf-8", "surrogatepass")) > limits.id_bytes:
        raise RecordError(
            "id_too_long",
            f"id {_shown(text)} has {len(text.encode('utf-8', 'surrogatepass'))} bytes, "
            f"limits.id_bytes is {limits.id_bytes}",
        )
    return text


def _truth(truth: Truth | None, limits: LimitSettings) -> Truth | None:
    if truth is None:
        return None
    if len(truth) > limits.labels_per_record:
        raise RecordError(
            "too_many_labels",
            f"y has {len(truth)} labels, limits.labels_per_record is {limits.labels_per_record}",
        )
    return None if isinstance(truth, dict) and not truth else truth


def _explained(error: Exception, data: bytes) -> RecordError:
    """Return why bytes could not be decoded, found out on the slow path."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as fault:
        return RecordError("not_utf8", f"byte {fault.start} is {data[fault.start]:#04x}, not UTF-8")
    if isinstance(error, RecursionError):
        return RecordError("not_json", "the record is nested too deeply")
    message = str(error)
    if not isinstance(error, msgspec.ValidationError):
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            return RecordError("not_json", f"{message}: {_shown(text)}")
        where = _not_finite(found, "$")
        if where is not None:
            return RecordError("not_finite", f"{where} is not a finite number")
        return RecordError("not_json", f"{message}: {_shown(text)}")
    if "out of range" in message.lower():
        return RecordError("not_finite", message)
    code = "missing_field" if "missing required field" in message else "wrong_type"
    return RecordError(code, f"{message}{_value_at(text, message)}")


def _not_finite(value: Any, where: str) -> str | None:
    """Return the path of the first number that is NaN or infinite."""
    if isinstance(value, float):
        return None if math.isfinite(value) else where
    if isinstance(value, dict):
        parts = ((f"{where}.{key}", item) for key, item in value.items())
    elif isinstance(value, list):
        parts = ((f"{where}[{place}]", item) for place, item in enumerate(value))
    else:
        return None
    for path, item in parts:
        found = _not_finite(item, path)
        if found is not None:
            return found
    return None


def _value_at(text: str, message: str) -> str:
    """Return the offending value of a message like "... - at `$.y[0]`", or of the first wrong entry of an object."""
    _, found, path = message.partition(" - at `$")
    if not found:
        return ""
    try:
        value = json.loads(text)
        for step in path.rstrip("`").replace("]", "").replace("[", ".").split("."):
            if step == "...":
                break
            if step:
                value = value[int(step)] if isinstance(value, list) else value[step]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        return ""
    return f": {_shown(json.dumps(value))}"


def _shown(text: str) -> str:
    short = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
    return short.encode("utf-8", "replace").decode("utf-8")
