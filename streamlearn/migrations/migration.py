"""The declarative form of a migration: what a model version changed in the arrays of snapshots and in the settings.

A migration is a table for each part whose arrays changed, and one for the settings; its functions are pure. Names of
arrays are relative to their part, a dotted prefix as in `state.array_names`. All names are those before the migration,
except those of added arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from streamlearn.errors import SnapshotError


class Before(NamedTuple):
    """What the version before wrote.

    ``arrays`` are those of the part, by their names in it; `state.lazy_arrays.get_lazy` gives the shape and dtype of
    one without reading it. ``settings`` are the journalled settings by ``section.key``. For a file of the embedded
    class they are those that it has parameters for.
    """

    arrays: Mapping[str, np.ndarray]
    settings: Mapping[str, Any]


Compute = Callable[[Before], np.ndarray]
"""Returns an array from what the version before wrote. A constant of any size is best returned as `filled` gives it."""


@dataclass(frozen=True)
class Conversion:
    """Changes an array value by value, a few megabytes at a time; its shape stays.

    Parameters
    ----------
    dtype:
        The dtype after.
    value:
        Returns the new values of a block, ``[values]`` of the dtype before, as numbers that ``dtype`` can hold; None
        keeps the values.
    """

    dtype: np.dtype | type | str
    value: Callable[[np.ndarray], np.ndarray] | None = None

    def apply(self, block: np.ndarray, name: str) -> np.ndarray:
        """Return a block converted; ``name`` names the array in errors.

        Raises
        ------
        SnapshotError
            When the dtype cannot hold a value: an integer that changes, or a finite number that becomes infinite.
        """
        values = block if self.value is None else self.value(block)
        with np.errstate(over="ignore", invalid="ignore"):
            converted = values.astype(self.dtype, copy=False)
        if not np.can_cast(values.dtype, converted.dtype, "safe"):
            kept = np.isfinite(converted) if converted.dtype.kind == "f" else converted == values
            if not kept.all():
                self._check(values, converted, name)
        return converted

    def _check(self, values: np.ndarray, converted: np.ndarray, name: str) -> None:
        """Raise `SnapshotError` unless what is not finite was not so before, and integers are the same."""
        is_float = converted.dtype.kind == "f"
        lost = np.isfinite(values) & ~np.isfinite(converted) if is_float else converted != values
        if lost.any():
            raise SnapshotError(
                f"array {name!r} has the value {values[lost][0]}, which {converted.dtype} cannot hold: the snapshot "
                "cannot be migrated; use the release that wrote it, and report this"
            )


class Rebuilding(NamedTuple):
    """Replaces all arrays of a part by what a function returns, which has all of them in memory at once.

    ``names`` are the names of the arrays that it returns.
    """

    names: Collection[str]
    function: Callable[[Before], Mapping[str, np.ndarray]]


@dataclass(frozen=True)
class PartMigration:
    """What changed in the arrays of one part; a snapshot without any array of the part is left as it is.

    Parameters
    ----------
    part:
        The dotted prefix of the part before; empty for the whole task.
    renamed:
        Arrays, or parts of the part, and their names after.
    dropped:
        Arrays, or parts of the part, that are left out. A name may be added again with another content.
    converted:
        Arrays whose values change one by one.
    added:
        Arrays that are computed, by their names after.
    added_if_absent:
        The same for arrays that some snapshots of the version before have already: these stay.
    rebuilt:
        A function that replaces all arrays of the part, in place of the above.
    """

    part: str
    renamed: Mapping[str, str] = field(default_factory=dict)
    dropped: Collection[str] = ()
    converted: Mapping[str, Conversion] = field(default_factory=dict)
    added: Mapping[str, Compute] = field(default_factory=dict)
    added_if_absent: Mapping[str, Compute] = field(default_factory=dict)
    rebuilt: Rebuilding | None = None

    def __post_init__(self) -> None:
        if self.rebuilt and (self.renamed or self.dropped or self.converted or self.added or self.added_if_absent):
            raise ValueError(f"part {self.part!r} is rebuilt: it cannot have other rules")
        if twice := sorted(set(self.dropped) & (self.renamed.keys() | self.converted.keys())):
            raise ValueError(f"part {self.part!r}: {twice[0]!r} is dropped and has another rule")

    @property
    def prefix(self) -> str:
        """What the names of its arrays begin with."""
        return self.part and self.part + "."


@dataclass(frozen=True)
class SettingsMigration:
    """What changed in the settings. A setting that is not there stays so: it has its default.

    Parameters
    ----------
    renamed:
        Names before and after.
    dropped:
        Names that are left out.
    converted:
        A function of the value for each setting whose values changed.
    added:
        A function of the settings before, for each new setting that is not to have its default; by names after.
    """

    renamed: Mapping[str, str] = field(default_factory=dict)
    dropped: Collection[str] = ()
    converted: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)
    added: Mapping[str, Callable[[Mapping[str, Any]], Any]] = field(default_factory=dict)

    def apply(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return settings of the version before in the form of the version after."""
        kept = {name: value for name, value in settings.items() if name not in self.dropped}
        values = {name: self.converted[name](kept[name]) if name in self.converted else kept[name] for name in kept}
        after = {self.renamed.get(name, name): value for name, value in values.items()}
        return after | {name: function(settings) for name, function in self.added.items()}


@dataclass(frozen=True)
class Migration:
    """The migration of what a model version wrote to the version after it.

    Parameters
    ----------
    version:
        The version before.
    parts:
        One entry for each part whose arrays changed.
    settings:
        What changed in the journalled settings, by ``section.key``.
    parameters:
        What changed in the parameters of the embedded class.
    """

    version: int
    parts: Collection[PartMigration] = ()
    settings: SettingsMigration = SettingsMigration()
    parameters: SettingsMigration = SettingsMigration()

    def __post_init__(self) -> None:
        names = [part.part for part in self.parts]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"part {twice[0]!r} has two entries")
        for outer in self.parts:
            for inner in self.parts:
                if inner is not outer and inner.prefix.startswith(outer.prefix):
                    _check_nested(outer, inner)

    def within(self, part: str) -> Migration:
        """Return the migration of a part's arrays alone, by their names in it."""
        inside = [each for each in self.parts if each.prefix.startswith(f"{part}.")]
        parts = [replace(each, part=each.prefix.removeprefix(f"{part}.").removesuffix(".")) for each in inside]
        return replace(self, parts=parts)


def _check_nested(outer: PartMigration, inner: PartMigration) -> None:
    """Raise `ValueError` when a part's entry has rules for a part in it that has an entry; it may rename that part."""
    if outer.rebuilt:
        raise ValueError(f"part {inner.part!r} has rules, but {outer.part!r} is rebuilt as a whole")
    for name in (*outer.renamed, *outer.dropped, *outer.converted, *outer.added, *outer.added_if_absent):
        whole = outer.prefix + name
        is_around = inner.prefix.startswith(whole + ".")
        if whole.startswith(inner.prefix) or (is_around and name not in outer.renamed):
            raise ValueError(
                f"part {outer.part!r} has a rule for {name!r}: part {inner.part!r} has an entry of its own"
            )


def filled(shape: tuple[int, ...], dtype: np.dtype | type | str, value: float = 0) -> np.ndarray:
    """Return a read-only array that has one value everywhere, and takes the memory of one value."""
    return np.broadcast_to(np.array(value, dtype), shape)
