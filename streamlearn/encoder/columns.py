"""Map feature names to columns: a table that grows up to a bound, or a hash."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from streamlearn.errors import SnapshotError
from streamlearn.state.names import Name, name_bytes, pack_names, sorted_names, unpack_names

UNSEEN_COLUMN = -1
"""Column of a feature that has none yet; it occurs only in instances that are encoded without being observed."""


class Columns:
    """Assigns columns to feature names.

    Parameters
    ----------
    maximum:
        Columns at most. New names beyond it are dropped and counted; columns are never reassigned.
    hashed:
        Use the CRC-32 of the name's bytes (`name_bytes`) modulo ``maximum`` instead of a table; names that collide
        share a column.
    """

    def __init__(self, maximum: int, *, hashed: bool = False) -> None:
        self.maximum = maximum
        self.hashed = hashed
        self.names: list[Name] = []
        self._name_bytes = 0
        self._column_of: dict[Name, int] = {}

    @property
    def count(self) -> int:
        """Columns in use; all of them when hashed."""
        return self.maximum if self.hashed else len(self.names)

    def find(self, name: Name) -> int:
        """Return the column of a name, or ``UNSEEN_COLUMN``."""
        if self.hashed:
            return zlib.crc32(name_bytes(name)) % self.maximum
        return self._column_of.get(name, UNSEEN_COLUMN)

    def admit(self, names: Iterable[Name]) -> dict[Name, int]:
        """Assign columns to new names in the order of names; return those that fit, with their columns."""
        admitted: dict[Name, int] = {}
        for name in sorted_names(names):
            if len(self.names) >= self.maximum:
                break
            column = len(self.names)
            self.names.append(name)
            self._name_bytes += len(name_bytes(name))
            self._column_of[name] = column
            admitted[name] = column
        return admitted

    def declare(self, names: Sequence[Name]) -> None:
        """Assign columns to names in the given order, before any instance."""
        for name in names:
            if name not in self._column_of and len(self.names) < self.maximum:
                self._column_of[name] = len(self.names)
                self.names.append(name)
                self._name_bytes += len(name_bytes(name))

    @property
    def free(self) -> int:
        """Columns that are not assigned yet."""
        return self.maximum - self.count

    @property
    def memory_bytes(self) -> int:
        """Size of `arrays` in bytes, without creating them."""
        return self._name_bytes + 8 * (len(self.names) + 1)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the names as packed bytes and offsets; no names when hashed."""
        packed, offsets = pack_names(self.names)
        return {"names": packed, "name_offsets": offsets}

    def load_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Load the names from the arrays of a snapshot.

        Raises
        ------
        SnapshotError
            If the snapshot has more names than ``maximum``.
        """
        packed = arrays["names"]
        names = unpack_names(packed, arrays["name_offsets"])
        if len(names) > self.maximum:
            raise SnapshotError(
                f"the snapshot has {len(names)} features but features.maximum is {self.maximum}: raise the setting"
            )
        self.names = names
        self._name_bytes = packed.size
        self._column_of = {name: column for column, name in enumerate(names)}
