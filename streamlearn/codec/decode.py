"""Bytes to records, typed and checked; what is wrong says where, and shows the offending value."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Container
from typing import Any

import msgspec

from streamlearn.errors import RecordError
from streamlearn.settings.settings import LimitSettings

Value = float | bool | str | None
Truth = list[str] | dict[str, bool]

NAMES_REMEMBERED = 16_384

_SHOWN = 60
_DIGITS = 300
"""An integer with more digits than this may be beyond the range of float64."""


class _EveryName:
    def __contains__(self, name: object) -> bool:
        return True


EVERY_FIELD: Container[str] = _EveryName()
"""Names every field a text field, for those that only pass records on."""


class DecodedInstance(msgspec.Struct, gc=False):
    """An instance; ``y`` is None when there is no truth. Numbers of ``x`` are float64, whole ones too."""

    x: dict[str, Value] | list[float | None]
    id: str | None = None
    y: Truth | None = None
    ts: str | int | float | None = None


class DecodedLabel(msgspec.Struct, gc=False):
    """A truth that came apart from its instance."""

    id: str
    y: Truth


class _AnyIdInstance(DecodedInstance, gc=False):
    """As it is written: the id may be a whole number, until decoding makes it text."""

    id: str | int | None = None  # pyright: ignore[reportIncompatibleVariableOverride]


class _AnyIdLabel(DecodedLabel, gc=False, kw_only=True):
    id: str | int  # pyright: ignore[reportIncompatibleVariableOverride]


class _NumericInstance(_AnyIdInstance, gc=False):
    """One whose values are all numbers, as most are: it decodes faster, and holds no text to look at."""

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
    """Return the instance of a record's value.

    A text in ``x`` that makes a feature's name, ``name=text``, longer than ``limits.name_bytes`` is left out as null
    would be, and counted in ``dropped`` as ``text_too_long``; the ``text_fields`` may hold texts of any length.

    Raises
    ------
    RecordError
        ``empty_value``, ``too_large``, ``not_utf8``, ``not_json``, ``wrong_type``, ``missing_field``, ``not_finite``,
        ``too_many_labels``, ``too_many_features``, ``name_too_long`` or ``id_too_long``.
    """
    data = _checked(value, limits)
    instance, numeric = _decoded(data)
    if len(instance.x) > limits.features_per_record:
        raise RecordError(
            "too_many_features",
            f"x has {len(instance.x)} entries, limits.features_per_record is {limits.features_per_record}",
        )
    if len(data) > limits.name_bytes and isinstance(instance.x, dict):
        _check_names(instance.x, "x", limits.name_bytes, "limits.name_bytes")
        if not numeric:
            _leave_long_texts_out(instance.x, limits, dropped, text_fields)
    if instance.y and len(data) > limits.label_bytes:
        _check_names(instance.y, "y", limits.label_bytes, "limits.label_bytes")
    if instance.id is not None:
        instance.id = _identity(instance.id, limits)
    if instance.y is not None:
        instance.y = _truth(instance.y, limits)
    return instance


def _decoded(data: bytes) -> tuple[_AnyIdInstance, bool]:
    """Return the instance, and whether all its values are numbers."""
    try:
        return _numeric_decoder.decode(data), True
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        try:
            return _instance_decoder.decode(data), False
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _explained(error, data) from None


def decode_label(value: bytes | None, limits: LimitSettings) -> DecodedLabel:
    """Return the label of a record's value.

    Raises
    ------
    RecordError
        As `decode_instance`; an empty object in ``y`` says nothing and is ``wrong_type``.
    """
    data = _checked(value, limits)
    try:
        label = _label_decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _explained(error, data) from None
    label.id = _identity(label.id, limits)
    if len(data) > limits.label_bytes:
        _check_names(label.y, "y", limits.label_bytes, "limits.label_bytes")
    if _truth(label.y, limits) is None:
        raise RecordError("wrong_type", "y is {}: an empty object names no label; [] is the empty truth")
    return label


def _checked(value: bytes | None, limits: LimitSettings) -> bytes:
    if not value:
        raise RecordError("empty_value", "the record has no value")
    if len(value) > limits.record_bytes:
        raise RecordError(
            "too_large", f"the record has {len(value)} bytes, limits.record_bytes is {limits.record_bytes}"
        )
    return value


_fitting: dict[int, set[str]] = {}
"""Names that were found to be short enough, by the bound."""


def _check_names(names: Collection[str], where: str, most: int, setting: str) -> None:
    """Refuse names that are too long; a record no longer than one name may be needs no look."""
    fitting = _fitting.setdefault(most, set())
    if fitting.issuperset(names):
        return
    for name in names:
        length = len(name.encode("utf-8"))
        if length > most:
            raise RecordError(
                "name_too_long", f"the name {_shown(name)} in {where} has {length} bytes, {setting} is {most}"
            )
    if len(fitting) + len(names) > NAMES_REMEMBERED:
        fitting.clear()
    if len(names) <= NAMES_REMEMBERED:
        fitting.update(names)


def _leave_long_texts_out(
    x: dict[str, Value], limits: LimitSettings, dropped: dict[str, int] | None, text_fields: Container[str]
) -> None:
    if str not in set(map(type, x.values())):
        return
    for name, value in x.items():
        if isinstance(value, str) and (len(name) + 1 + len(value)) * 4 > limits.name_bytes:
            if name in text_fields or len(name.encode()) + 1 + len(value.encode()) <= limits.name_bytes:
                continue
            x[name] = None
            if dropped is not None:
                dropped["text_too_long"] = dropped.get("text_too_long", 0) + 1


def _identity(identity: str | int, limits: LimitSettings) -> str:
    text = identity if isinstance(identity, str) else str(identity)
    if len(text) * 4 > limits.id_bytes and len(text.encode("utf-8", "surrogatepass")) > limits.id_bytes:
        raise RecordError(
            "id_too_long",
            f"id {_shown(text)} has {len(text.encode('utf-8', 'surrogatepass'))} bytes, "
            f"limits.id_bytes is {limits.id_bytes}",
        )
    return text


def _truth(truth: Truth, limits: LimitSettings) -> Truth | None:
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
    refused = isinstance(error, msgspec.ValidationError)
    if refused and "out of range" in message and message.endswith("`$.id`"):
        return RecordError("id_too_long", "id is a number out of range; write a long id as text")
    if not refused or "out of range" in message:
        try:
            found = _read(text)
            where = _not_finite(found)
            if where is not None:
                return RecordError("not_finite", f"{_shown(where)} is not a finite number")
            json.dumps(found, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError:
            message = "a text holds half a surrogate pair"
        except (ValueError, RecursionError):
            pass
        return RecordError("not_finite", message) if refused else RecordError("not_json", f"{message}: {_shown(text)}")
    code = "missing_field" if "missing required field" in message else "wrong_type"
    return RecordError(code, f"{message}{_value_at(text, message)}")


def _read(text: str) -> Any:
    """Return JSON read leniently: NaN and infinities are numbers, and so is an integer of any length."""
    return json.loads(text, parse_int=lambda digits: float(digits) if len(digits) > _DIGITS else int(digits))


def _not_finite(record: Any) -> str | None:
    """Return the path of the first number that is NaN or infinite, at whatever depth."""
    waiting = [("$", record)]
    while waiting:
        where, value = waiting.pop()
        if isinstance(value, float) and not math.isfinite(value):
            return where
        if isinstance(value, dict):
            waiting.extend([(f"{where}.{key}", item) for key, item in value.items()][::-1])
        elif isinstance(value, list):
            waiting.extend([(f"{where}[{place}]", item) for place, item in enumerate(value)][::-1])
    return None


def _value_at(text: str, message: str) -> str:
    """Return the offending value of a message like "... - at `$.y[0]`", and its name where the path has ``[...]``."""
    _, found, path = message.partition(" - at `$")
    if not found:
        return ""
    path = path.rstrip("`")
    within, entry, _ = path.partition("[...]")
    name = ""
    try:
        value = _read(text)
        for step in within.replace("]", "").replace("[", ".").split("."):
            if step:
                value = value[int(step)] if isinstance(value, list) else value[step]
        if entry:
            right = bool if within == ".y" else (float, int, str, type(None))
            name, value = next((name, item) for name, item in value.items() if not isinstance(item, right))
            name = f"{_shown(name)} is "
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, StopIteration, RecursionError):
        return ""
    return f": {name}{_shown(json.dumps(value))}"


def _shown(text: str) -> str:
    short = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
    return short.encode("utf-8", "replace").decode("utf-8")
