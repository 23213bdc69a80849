"""The value that a truth gives a label: true, false or unknown, the same in records, files and Python."""

from __future__ import annotations

from decimal import Decimal
from numbers import Real
from typing import Any


def label_value(value: Any) -> bool | None:
    """Return whether a label is true; None: unknown.

    Parameters
    ----------
    value:
        A boolean, or a number equal to 0 or 1, of Python or numpy; None, NaN and pandas' NA are unknown.

    Raises
    ------
    ValueError
        For anything else.
    """
    if value is True or value is False or value is None:
        return value
    if getattr(value, "ndim", None) == 0:  # a scalar of numpy
        value = value.item()
    if isinstance(value, Real | Decimal):
        if value == 0 or value == 1:
            return bool(value == 1)
        if value != value:  # NaN; math.isnan refuses large integers
            return None
    # pandas is not a dependency, and does not say elsewhere that a value is missing.
    elif value is None or type(value).__name__ in ("NAType", "NaTType"):
        return None
    raise ValueError(f"{value!r} is not the value of a label")
