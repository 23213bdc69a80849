"""Named arrays that need not be in memory: looked at by parts, and taken over block by block."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Protocol

import numpy as np


class Blocks(Protocol):
    """An array that is somewhere else."""

    shape: tuple[int, ...]
    dtype: np.dtype

    def read_into(self, target: np.ndarray) -> None:
        """Write it over another array of its shape, a few megabytes at a time."""
        ...


class ArraysInBlocks(Mapping[str, np.ndarray]):
    """Arrays by name, each read when it is asked for."""

    @abstractmethod
    def in_blocks(self, name: str) -> Blocks:
        """Return an array that has not been read; raises `KeyError` when there is none of that name."""


class _Part(Mapping[str, np.ndarray]):
    """The arrays whose names begin with a prefix, by the rest of their names."""

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


def parts_of(arrays: Mapping[str, np.ndarray]) -> dict[str, Mapping[str, np.ndarray]]:
    """Return the arrays ``part.rest`` as a mapping of ``rest`` for each part; no array is read for that."""
    parts: dict[str, _Part] = {}
    for name in arrays:
        part, dot, rest = name.partition(".")
        if dot:
            parts.setdefault(part, _Part(arrays, part + dot)).add(rest)
    return dict(parts)


def in_blocks(arrays: Mapping[str, np.ndarray], name: str) -> np.ndarray | Blocks:
    """Return an array, not read yet if it is in a file; raises `KeyError` when there is none of that name."""
    if isinstance(arrays, _Part):
        if name not in arrays:
            raise KeyError(name)
        return in_blocks(arrays.whole, arrays.prefix + name)
    return arrays.in_blocks(name) if isinstance(arrays, ArraysInBlocks) else arrays[name]
