"""The arrays of an older snapshot under their new names and with their new values, each read when it is asked for."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from streamlearn.errors import SnapshotError
from streamlearn.migrations.migration import Before, Compute, Conversion, Migration, PartMigration, Rebuilding
from streamlearn.state.arrays import iter_chunks
from streamlearn.state.lazy_arrays import LazyArray, LazyArrays, get_lazy, open_values, part_of

_CONVERTED_BYTES = 256 << 10
"""Bytes that are converted at a time: the results of each step stay in the processor's cache."""


class _Stored(NamedTuple):
    """An array of the snapshot, by its name there."""

    name: str
    conversion: Conversion | None


class _Added(NamedTuple):
    """A computed array."""

    compute: Compute
    before: Before


class _Rebuilt(NamedTuple):
    """An array of a rebuilt part, by its name there."""

    part: _RebuiltPart
    name: str


class MigratedArrays(LazyArrays):
    """The arrays that a migration makes of a snapshot's.

    An array without a rule is the stored one. Renaming costs nothing, a conversion handles a few megabytes at a time,
    and an added array is computed at each reading. The arrays of a rebuilt part are computed when the first one is
    read, and each is let go when it was read.

    Parameters
    ----------
    stored:
        The arrays of the snapshot.
    settings:
        The settings of the snapshot, as they are there.
    migration:
        The migration.

    Raises
    ------
    SnapshotError
        When the snapshot lacks an array that the migration names, or two arrays would get the same name.
    """

    def __init__(self, stored: Mapping[str, np.ndarray], settings: Mapping[str, Any], migration: Migration) -> None:
        self._stored = stored
        self._origin = f"the migration from model version {migration.version}"
        self._sources: dict[str, _Stored | _Added | _Rebuilt] = {}
        parts = [part for part in migration.parts if any(name.startswith(part.prefix) for name in stored)]
        # A part within a part comes first: its arrays are then renamed with the part.
        parts.sort(key=lambda part: (part.part.count(".") + bool(part.part), part.part), reverse=True)
        for part in parts:
            self._check_names(part)
        conversions = {part.prefix + name: each for part in parts for name, each in part.converted.items()}
        gone = {name for part in parts for name in stored if _is_gone(part, name)}
        for name in stored:
            if name not in gone:
                self._add(_renamed(name, parts), _Stored(name, conversions.get(name)))
        for number, part in enumerate(parts):
            before = Before(part_of(stored, part.prefix), settings)
            outer = parts[number + 1 :]
            for name, compute in part.added.items():
                self._add(_renamed(part.prefix + name, outer), _Added(compute, before))
            for name, compute in part.added_if_absent.items():
                if part.prefix + name not in stored:
                    self._add(_renamed(part.prefix + name, outer), _Added(compute, before))
            if part.rebuilt:
                rebuilt = _RebuiltPart(part.part, part.rebuilt, before)
                for name in part.rebuilt.names:
                    self._add(_renamed(part.prefix + name, outer), _Rebuilt(rebuilt, name))

    def _check_names(self, part: PartMigration) -> None:
        for name in (*part.renamed, *part.dropped, *part.converted):
            whole = part.prefix + name
            if whole not in self._stored and (
                name in part.converted or not any(each.startswith(whole + ".") for each in self._stored)
            ):
                raise SnapshotError(f"the snapshot lacks the array {whole!r}, which {self._origin} needs")

    def _add(self, name: str, source: _Stored | _Added | _Rebuilt) -> None:
        if name in self._sources:
            raise SnapshotError(f"{self._origin} gives two arrays the name {name!r}: the snapshot is of another form")
        self._sources[name] = source

    def get_lazy(self, name: str) -> np.ndarray | LazyArray:
        """Return an array without reading it; one that is computed is computed now."""
        source = self._sources[name]
        if isinstance(source, _Added):
            return source.compute(source.before)
        if isinstance(source, _Rebuilt):
            return source.part.take(source.name)
        array = get_lazy(self._stored, source.name)
        return array if source.conversion is None else _ConvertedArray(source.name, array, source.conversion)

    def __getitem__(self, name: str) -> np.ndarray:
        source = self._sources[name]
        if isinstance(source, _Stored) and source.conversion is None:
            return self._stored[source.name]
        array = self.get_lazy(name)
        if isinstance(array, np.ndarray):
            # What `filled` returns cannot be written to.
            return array if array.flags.writeable else array.copy()
        whole = np.empty(array.shape, array.dtype)
        array.read_into(whole)
        return whole

    def __contains__(self, name: object) -> bool:
        return name in self._sources

    def __iter__(self) -> Iterator[str]:
        return iter(self._sources)

    def __len__(self) -> int:
        return len(self._sources)


class _ConvertedArray:
    """An array whose values are converted as they are read."""

    def __init__(self, name: str, source: np.ndarray | LazyArray, conversion: Conversion) -> None:
        self._name = name
        self._source = source
        self._conversion = conversion
        self.shape = source.shape
        self.dtype = np.dtype(conversion.dtype)

    def read_into(self, target: np.ndarray) -> None:
        with self.open_values() as read:
            for piece in iter_chunks(target, _CONVERTED_BYTES):
                piece[...] = read(piece.size).reshape(piece.shape)

    @contextlib.contextmanager
    def open_values(self) -> Iterator[Callable[[int], np.ndarray]]:
        with open_values(self._source) as read:
            yield lambda count: self._conversion.apply(read(count), self._name)


class _RebuiltPart:
    """The arrays of a part that is rebuilt as a whole."""

    def __init__(self, part: str, rebuilding: Rebuilding, before: Before) -> None:
        self._part = part
        self._rebuilding = rebuilding
        self._before = before
        self._arrays: dict[str, np.ndarray] = {}

    def take(self, name: str) -> np.ndarray:
        """Return an array, and forget it."""
        if name not in self._arrays:
            self._arrays = dict(self._rebuilding.function(self._before))
            if self._arrays.keys() != set(self._rebuilding.names):
                raise ValueError(
                    f"part {self._part!r} is rebuilt with the arrays {sorted(self._arrays)}, declared are "
                    f"{sorted(self._rebuilding.names)}"
                )
        return self._arrays.pop(name)


def _is_gone(part: PartMigration, name: str) -> bool:
    """Return whether a part's rules leave out a stored array."""
    if not name.startswith(part.prefix):
        return False
    return part.rebuilt is not None or _named_by(part.dropped, name.removeprefix(part.prefix)) is not None


def _named_by(names: Sequence[str] | Any, name: str) -> str | None:
    """Return the longest of the names that is an array's, or that of a part that it is in."""
    return max((each for each in names if name == each or name.startswith(each + ".")), key=len, default=None)


def _renamed(name: str, parts: Sequence[PartMigration]) -> str:
    """Return the name of an array after the renamings of parts, the innermost first."""
    for part in parts:
        if name.startswith(part.prefix):
            inner = name.removeprefix(part.prefix)
            found = _named_by(part.renamed, inner)
            if found is not None:
                name = part.prefix + part.renamed[found] + inner.removeprefix(found)
    return name
