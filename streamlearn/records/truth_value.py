"""The value that a truth gives a label: true, false or unknown, the same in records, files and Python."""

from __future__ import annotations

from decimal import Decimal
from numbers import Real
from typing import Any

_MISSING = ("NAType", "NaTType", "MaskedConstant")


def is_missing(value: object) -> bool:
    """Return whether a value is None, or stands for a missing one in pandas or in numpy's masked arrays."""
    # pandas is not a dependency, and does not say elsewhere that a value is missing.
    return value is None or type(value).__name__ in _MISSING


def is_time(value: object) -> bool:
    """Return whether a value is a time or duration of numpy, which is an integer by its class."""
    return getattr(getattr(value, "dtype", None), "kind", "") in ("m", "M")


def label_value(value: Any) -> bool | None:
    """Return whether a label is true; None: unknown.

    Parameters
    ----------
    value:
        A boolean, or a number equal to 0 or 1, of Python or numpy; None, NaN, pandas' NA and what numpy masks are
        unknown.

    Raises
    ------
    ValueError
        For anything else.
    """
    if value is True or value is False or value is None:
        return value
    if is_missing(value):
        return None
    if getattr(value, "ndim", None) == 0 and not is_time(value):  # a scalar of numpy
        value = value.item()
    if value is None or (isinstance(value, Decimal) and value.is_nan()):  # comparing a signalling NaN is an error
        return None
    if isinstance(value, Real | Decimal) and not is_time(value):
        if value == 0 or value == 1:
            return bool(value == 1)
        if value != value:  # NaN; math.isnan refuses large integers
            return None
    raise ValueError(f"{value!r} is not the value of a label")
