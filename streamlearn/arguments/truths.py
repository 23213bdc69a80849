"""Truths as callers pass them: names of the true labels, or a mapping of names to values."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

import numpy as np

from streamlearn.arguments.frames import refuse_array
from streamlearn.arguments.names import as_name, as_names, check_texts
from streamlearn.encoder.labels import RiverTruth, Truth
from streamlearn.errors import UsageError
from streamlearn.printable import shown
from streamlearn.records.truth_value import label_value
from streamlearn.state.names import Name

SIGNS_AS_MAPPING = "dict(zip(names, {0}))"
"""Expression of a row ``{0}`` of zeros and ones as a truth."""

_ONE_OF_TWO_FORMS = "pass the set of the names of the true labels, or a mapping from label names to True and False"


def as_truth(y: Any, where: str) -> Truth:
    """Return a truth with plain names and booleans; labels whose value is None or NaN are unknown and left out.

    ``where`` says in errors which truth it is.

    Raises
    ------
    UsageError
        When it is not a set, list, tuple or mapping, is a row of zeros and ones, or has a name or value of another
        kind.
    """
    if isinstance(y, Mapping):
        return _as_mapping(y, where)
    if isinstance(y, (list, tuple)):
        if y and all(map(_is_sign, y)):
            raise UsageError(
                f"{where} is {shown(y)}, zeros and ones without the names of their labels: {_ONE_OF_TWO_FORMS}, "
                f"such as {SIGNS_AS_MAPPING.format(where)}"
            )
        return as_names(y, where)
    if isinstance(y, Set):
        return as_names(y, where)
    refuse_array(y, where, SIGNS_AS_MAPPING)
    raise UsageError(f"{where} is {shown(y)} of type {type(y).__name__}: {_ONE_OF_TWO_FORMS}")


def _is_sign(value: object) -> bool:
    return isinstance(value, (int, float, np.bool_, np.number)) and value in (0, 1)


def _as_mapping(y: Mapping[Any, Any], where: str) -> RiverTruth:
    if type(y) is not dict:  # its methods may fail, or give something else, when they are called again
        y = dict(y)
    truth = RiverTruth()
    check_texts([name for name in y if type(name) is str], where)
    for name, value in y.items():
        plain: Name = name if type(name) is str else as_name(name, where)
        if value is True or value is False:
            truth[plain] = value
            continue
        try:
            sign = label_value(value)
        except ValueError:
            raise UsageError(
                f"{where}[{shown(name)}] is {shown(value)} of type {type(value).__name__}: "
                "a label is True or 1, False or 0, or None for unknown"
            ) from None
        if sign is not None:
            truth[plain] = sign
    return truth
