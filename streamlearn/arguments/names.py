"""Names of features and labels as callers pass them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Set
from typing import Any

import numpy as np

from streamlearn.errors import UsageError
from streamlearn.printable import shown
from streamlearn.records.truth_value import is_time
from streamlearn.state.names import Name, sorted_names
from streamlearn.surrogates import half_pair, half_pair_fault

MAXIMUM_DEPTH = 8
"""Levels of tuples in a name."""


def as_name(name: object, where: str) -> Name:
    """Return a name as str, int or tuple of these; numpy's scalars and subclasses become plain values.

    ``where`` says in errors where the name stands.

    Raises
    ------
    UsageError
        When it is anything else, an integer below -2**63 or above 2**64 - 1, or a text with half a surrogate pair.
    """
    return _as_name(name, where, name, 0)


def _as_name(part: object, where: str, whole: object, depth: int) -> Name:
    if isinstance(part, str):
        if half := half_pair((part,)):
            raise UsageError(f"{where}: the name {shown(whole)} {half_pair_fault(half)}")
        return str.__str__(part)
    if isinstance(part, (int, np.integer)) and not isinstance(part, bool) and not is_time(part):
        number = int(part)
        if -(1 << 63) <= number < 1 << 64:
            return number
        of = "" if part is whole else f" with {shown(part)}"
        raise UsageError(
            f"{where}: the name {shown(whole)}{of} has more than 64 bits; an integer in a name is from -2**63 to "
            "2**64 - 1: write it as a text"
        )
    if isinstance(part, tuple) and depth < MAXIMUM_DEPTH:
        return tuple(_as_name(entry, where, whole, depth + 1) for entry in part)
    if isinstance(part, tuple):
        raise UsageError(f"{where}: the name {shown(whole)} has tuples in more than {MAXIMUM_DEPTH} levels")
    of = "" if part is whole else f" with {shown(part)}"
    raise UsageError(
        f"{where}: the name {shown(whole)}{of} is of type {type(part).__name__}; "
        "a name is a str, an int or a tuple of these"
    )


def as_names(names: Collection[Any], where: str) -> tuple[Name, ...]:
    """Return names as `as_name` does; the same texts at little cost."""
    names = tuple(names)
    if {*map(type, names)} <= _TEXT:
        check_texts(names, where)
        return names
    return tuple(as_name(name, where) for name in names)


def check_texts(names: Iterable[str], where: str) -> None:
    """Raise `UsageError` when one of these names has half a surrogate pair."""
    if half_pair(names):
        for name in names:
            as_name(name, where)


def as_name_list(names: Any, where: str, *, ordered: bool) -> tuple[Name, ...]:
    """Return the names in a parameter that is a list of names; None has none.

    Raises
    ------
    UsageError
        For a single text, for a name that is there twice, and for a set where ``ordered`` says that their order
        matters.
    """
    if names is None:
        return ()
    if isinstance(names, (list, tuple)):
        plain = as_names(names, where)
        if len(set(plain)) < len(plain):
            twice = next(name for position, name in enumerate(plain) if name in plain[:position])
            raise UsageError(f"{where} has the name {shown(twice)} {plain.count(twice)} times: leave it there once")
        return plain
    if isinstance(names, Set) and not ordered:
        return tuple(sorted_names(as_names(names, where)))
    raise UsageError(
        f"{where} is {shown(names)} of type {type(names).__name__}: pass a list of names"
        + (", whose order is that of the labels" if ordered else "")
    )


_TEXT = {str}
