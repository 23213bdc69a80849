"""Instances as callers pass them: names to values, or the values of a vector."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from decimal import Decimal
from numbers import Real
from typing import Any, cast

import numpy as np

from streamlearn.arguments.frames import refuse_array
from streamlearn.arguments.names import as_name, check_texts
from streamlearn.encoder.row import Features, Value
from streamlearn.errors import UsageError
from streamlearn.printable import shown
from streamlearn.records.truth_value import is_missing, is_time
from streamlearn.surrogates import half_pair, half_pair_fault

VECTOR_AS_MAPPING = "dict(enumerate({0}))"
"""Expression of the values ``{0}`` of a vector as an instance."""

_TEXT = {str}
_TEXTS: set[type] = {str, np.str_}
_VALUES: set[type] = {
    *(float, int, bool, type(None), np.bool_, *_TEXTS),
    *(np.float16, np.float32, np.float64, np.longdouble),
    *(np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64),
}
"""Types of values that the encoder takes as they are."""


def as_instance(x: Any, where: str) -> Features:
    """Return an instance with plain names and values that the encoder takes: a dict, or a list or tuple.

    It is the same object where it has them. ``where`` says in errors which instance it is.

    Raises
    ------
    UsageError
        When it is not a mapping, list or tuple, has a name or value of another kind, or a text with half a surrogate
        pair.
    """
    if isinstance(x, Mapping):
        if type(x) is not dict:  # its methods may fail, or give something else, when they are called again
            x = dict(x)
        if not {*map(type, x)} <= _TEXT:
            return {as_name(name, where): _as_value(value, where, name) for name, value in x.items()}
        check_texts(x, where)
        if not _are_plain(x.values()):
            return {name: _as_value(value, where, name) for name, value in x.items()}
        return x
    if isinstance(x, (list, tuple)):
        if not _are_plain(x):
            return [_as_value(value, where, position) for position, value in enumerate(x)]
        return x
    refuse_array(x, where, VECTOR_AS_MAPPING)
    raise UsageError(
        f"{where} is {shown(x)} of type {type(x).__name__}: pass a mapping from feature names to values, "
        "or a list of values"
    )


def _are_plain(values: Collection[Any]) -> bool:
    types = {*map(type, values)}
    if not types <= _VALUES:
        return False
    return types.isdisjoint(_TEXTS) or not half_pair([value for value in values if isinstance(value, str)])


def _as_value(value: Any, where: str, name: object) -> Value:
    if isinstance(value, str):
        if half := half_pair((value,)):
            raise UsageError(f"{where}[{shown(name)}] is {shown(value)}, which {half_pair_fault(half)}")
        return value if type(value) in _TEXTS else str.__str__(value)
    if type(value) in _VALUES:
        return value
    if is_missing(value):
        return None
    if (isinstance(value, (Real, Decimal)) and not is_time(value)) or _is_real_scalar(value):
        try:
            return float(value)
        except OverflowError:  # the encoder counts it as infinite
            return math.inf if cast(Any, value) > 0 else -math.inf
        except (TypeError, ValueError):
            pass
    raise UsageError(
        f"{where}[{shown(name)}] is {shown(value)} of type {type(value).__name__}: "
        "a feature's value is a number, a bool, a str or None"
    )


def _is_real_scalar(value: Any) -> bool:
    """Return whether a value is a number in an array without dimensions, of any library."""
    return getattr(value, "ndim", None) == 0 and getattr(getattr(value, "dtype", None), "kind", "f") in "biuf"
