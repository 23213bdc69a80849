"""Several instances or truths as callers pass them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from typing import Any

from streamlearn.arguments.frames import refuse_array_of_rows
from streamlearn.arguments.instances import VECTOR_AS_MAPPING
from streamlearn.arguments.truths import SIGNS_AS_MAPPING
from streamlearn.errors import UsageError
from streamlearn.printable import shown


def as_instances(X: Any, where: str) -> Iterable[Any]:
    """Return an iterable of instances, each still to be checked.

    Raises
    ------
    UsageError
        When it is a single mapping or text, a set, a frame or an array, or not iterable.
    """
    refuse_array_of_rows(X, where, VECTOR_AS_MAPPING)
    return _as_rows(X, where)


def as_truths(Y: Any, where: str) -> Iterable[Any]:
    """Return an iterable of truths, each still to be checked; raises as `as_instances`."""
    refuse_array_of_rows(Y, where, SIGNS_AS_MAPPING)
    return _as_rows(Y, where)


def _as_rows(rows: Any, where: str) -> Iterable[Any]:
    if isinstance(rows, (Mapping, str, bytes, Set)) or not isinstance(rows, Iterable):
        raise UsageError(
            f"{where} is {shown(rows)} of type {type(rows).__name__}: pass a list with one entry for each row"
        )
    return rows
