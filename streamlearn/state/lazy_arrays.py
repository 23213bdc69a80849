"""Arrays by name that are read only when they are needed: whole, part by part, or chunk by chunk into a target."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Protocol

import numpy as np


class LazyArray(Protocol):
    """An array that has not been read, such as one in a file."""

    shape: tuple[int, ...]
    dtype: np.dtype

    def read_into(self, target: np.ndarray) -> None:
        """Copy the array into a target of its shape, a few megabytes at a time."""
        ...


class LazyArrays(Mapping[str, np.ndarray]):
    """A mapping of names to arrays that reads an array when it is looked up."""

    @abstractmethod
    def get_lazy(self, name: str) -> LazyArray:
        """Return an array without reading it; raises `KeyError` for an unknown name."""


class _Part(Mapping[str, np.ndarray]):
    """The arrays whose names have a prefix, under their names without it."""

    def __init__(self, whole: Mapping[str, np.ndarray], prefix: str) -> None:
        self.whole = whole
        self.prefix = prefix
        self._names: dict[str, None] = {}

    def add(self, name: str) -> None:
        self._names[name] = None

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._names:
            raise KeyError(name)
        return self.whole[self.prefix + name]

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def split_parts(arrays: Mapping[str, np.ndarray]) -> dict[str, Mapping[str, np.ndarray]]:
    """Group the arrays ``part.rest`` by part, each part a mapping of ``rest`` to arrays; reads no array.

    The inverse of `array_names.join_parts`; names without a dot are left out.
    """
    parts: dict[str, _Part] = {}
    for name in arrays:
        part, dot, rest = name.partition(".")
        if dot:
            parts.setdefault(part, _Part(arrays, part + dot)).add(rest)
    return dict(parts)


def get_lazy(arrays: Mapping[str, np.ndarray], name: str) -> np.ndarray | LazyArray:
    """Return an array, without reading it if the mapping is lazy; raises `KeyError` for an unknown name."""
    if isinstance(arrays, _Part):
        if name not in arrays:
            raise KeyError(name)
        return get_lazy(arrays.whole, arrays.prefix + name)
    return arrays.get_lazy(name) if isinstance(arrays, LazyArrays) else arrays[name]
