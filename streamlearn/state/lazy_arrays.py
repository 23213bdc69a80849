"""Arrays by name that are read only when they are needed: whole, part by part, or chunk by chunk into a target."""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Protocol

import numpy as np

from streamlearn.errors import MissingArrayError


class LazyArray(Protocol):
    """An array that has not been read, such as one in a file."""

    shape: tuple[int, ...]
    dtype: np.dtype

    def read_into(self, target: np.ndarray) -> None:
        """Copy the array into a target of its shape, a few megabytes at a time."""
        ...

    def open_values(self) -> AbstractContextManager[Callable[[int], np.ndarray]]:
        """Return a context whose value is a function that returns the next so many values, ``[values]``, in order.

        The context is left when all values were read.
        """
        ...


class LazyArrays(Mapping[str, np.ndarray]):
    """A mapping of names to arrays that reads an array when it is looked up."""

    @abstractmethod
    def get_lazy(self, name: str) -> np.ndarray | LazyArray:
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
            raise MissingArrayError(_whole_name(self, name))
        return self.whole[self.prefix + name]

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class _Loaded(dict[str, np.ndarray]):
    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        super().__init__(arrays)
        self.source = arrays

    def __missing__(self, name: str) -> np.ndarray:
        raise MissingArrayError(_whole_name(self.source, name))


def _whole_name(arrays: Mapping[str, np.ndarray], name: str) -> str:
    """Return the name in the snapshot of a name in a part."""
    if isinstance(arrays, _Part):
        return _whole_name(arrays.whole, arrays.prefix + name)
    return _whole_name(arrays.source, name) if isinstance(arrays, _Loaded) else name


def load_all(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return all arrays, read once; looking up one that is not there raises `MissingArrayError`."""
    return _Loaded(arrays)


class _Parts(dict[str, Mapping[str, np.ndarray]]):
    def __init__(self, parts: Mapping[str, Mapping[str, np.ndarray]], arrays: Mapping[str, np.ndarray]) -> None:
        super().__init__(parts)
        self._source = arrays

    def __missing__(self, part: str) -> Mapping[str, np.ndarray]:
        raise MissingArrayError(_whole_name(self._source, f"{part}.*"))


def split_parts(arrays: Mapping[str, np.ndarray]) -> dict[str, Mapping[str, np.ndarray]]:
    """Group the arrays ``part.rest`` by part, each part a mapping of ``rest`` to arrays; reads no array.

    The inverse of `array_names.join_parts`; names without a dot are left out. Looking up a part or an array that is not
    there raises `MissingArrayError`.
    """
    parts: dict[str, _Part] = {}
    for name in arrays:
        part, dot, rest = name.partition(".")
        if dot:
            parts.setdefault(part, _Part(arrays, part + dot)).add(rest)
    return _Parts(parts, arrays)


def get_lazy(arrays: Mapping[str, np.ndarray], name: str) -> np.ndarray | LazyArray:
    """Return an array, without reading it if the mapping is lazy; raises `KeyError` for an unknown name, in a part
    `MissingArrayError`."""
    if isinstance(arrays, _Part):
        if name not in arrays:
            raise MissingArrayError(_whole_name(arrays, name))
        return get_lazy(arrays.whole, arrays.prefix + name)
    return arrays.get_lazy(name) if isinstance(arrays, LazyArrays) else arrays[name]


def part_of(arrays: Mapping[str, np.ndarray], prefix: str) -> Mapping[str, np.ndarray]:
    """Return the arrays whose names have a prefix, under their names without it; reads no array."""
    part = _Part(arrays, prefix)
    for name in arrays:
        if name.startswith(prefix):
            part.add(name.removeprefix(prefix))
    return part


@contextlib.contextmanager
def open_values(array: np.ndarray | LazyArray) -> Iterator[Callable[[int], np.ndarray]]:
    """Yield a function that returns the next so many values of an array, ``[values]``, in C order."""
    if isinstance(array, np.ndarray):
        yield _reader(array.reshape(-1))
    else:
        with array.open_values() as read:
            yield read


def _reader(values: np.ndarray) -> Callable[[int], np.ndarray]:
    position = 0

    def read(count: int) -> np.ndarray:
        nonlocal position
        position += count
        return values[position - count : position]

    return read
