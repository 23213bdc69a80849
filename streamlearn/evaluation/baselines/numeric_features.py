"""Conversion of instances to numeric features by name, for learners that take only numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from streamlearn.streams.base import Features, Value


def numeric_features(x: Features, names: Sequence[str] = ()) -> dict[str, float]:
    """Return the numeric features of an instance by column name.

    A text becomes a column ``name=text`` with value 1, a boolean 0 or 1; null, NaN and infinity are left out. The
    columns of an array are the declared ``names`` if there are as many, else the positions as text.
    """
    columns: dict[str, float] = {}
    for name, value in _items(x, names):
        if isinstance(value, str):
            columns[f"{name}={value}"] = 1.0
        elif value is not None and math.isfinite(number := float(value)):
            columns[name] = number
    return columns


def _items(x: Features, names: Sequence[str]) -> Iterator[tuple[str, Value]]:
    if isinstance(x, Mapping):
        yield from x.items()
    elif len(names) == len(x):
        yield from zip(names, x, strict=True)
    else:
        yield from ((str(position), value) for position, value in enumerate(x))


class ZeroFilledFeatures:
    """Encodes instances with a value for every column declared or seen so far, 0 where the instance has none.

    Parameters
    ----------
    names:
        The declared features, which are columns from the first row on.
    """

    def __init__(self, names: Sequence[str] = ()) -> None:
        self._names = names
        self._zeros = dict.fromkeys(names, 0.0)
        self._latest: tuple[Features, dict[str, float]] | None = None

    def encode(self, x: Features) -> dict[str, float]:
        """Return the columns of an instance; the latest instance is cached, since learning follows predicting."""
        if self._latest is not None and self._latest[0] is x:
            return self._latest[1]
        filled = self._zeros | numeric_features(x, self._names)
        if len(filled) > len(self._zeros):
            self._zeros = dict.fromkeys(filled, 0.0)
        self._latest = (x, filled)
        return filled
