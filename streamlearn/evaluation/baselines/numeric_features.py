"""Instances as numbers by name, for learners that take nothing else."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from streamlearn.streams.base import Features, Value


def numbers(x: Features, names: Sequence[str] = ()) -> dict[str, float]:
    """Return an instance's values as numbers.

    A text becomes a column ``name=text`` of value 1; a boolean 0 or 1; null, NaN and infinity are left out. The values
    of an array take the declared ``names`` where it has as many, else their positions.
    """
    found: dict[str, float] = {}
    for name, value in _named(x, names):
        if isinstance(value, str):
            found[f"{name}={value}"] = 1.0
        elif value is not None and math.isfinite(number := float(value)):
            found[name] = number
    return found


def _named(x: Features, names: Sequence[str]) -> Iterator[tuple[str, Value]]:
    if isinstance(x, Mapping):
        yield from x.items()
    elif len(names) == len(x):
        yield from zip(names, x, strict=True)
    else:
        yield from ((str(position), value) for position, value in enumerate(x))


class FilledNumbers:
    """Gives every instance a number for every column declared or seen so far, 0 where it has none.

    Parameters
    ----------
    names:
        The declared features; they are columns from the first row.
    """

    def __init__(self, names: Sequence[str] = ()) -> None:
        self._names = names
        self._zeros = dict.fromkeys(names, 0.0)
        self._latest: tuple[Features, dict[str, float]] | None = None

    def of(self, x: Features) -> dict[str, float]:
        """Return the instance's numbers; asking for the same instance again costs nothing."""
        if self._latest is not None and self._latest[0] is x:
            return self._latest[1]
        given = numbers(x, self._names)
        filled = self._zeros | given
        if len(filled) > len(self._zeros):
            self._zeros = dict.fromkeys(filled, 0.0)
        self._latest = (x, filled)
        return filled
