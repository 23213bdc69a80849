"""Feature names to columns: growing up to a bound, or hashed to it."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from streamlearn.errors import SnapshotError
from streamlearn.state.arrays import pack_names, unpack_names

UNSEEN = -1
"""The column of a feature that would get its column by being observed; only a prediction alone meets it."""


class Columns:
    """Gives each feature name a column.

    Parameters
    ----------
    maximum:
        Columns at most. Beyond it a new name is dropped and counted, so that the columns of the features seen first
        keep their meaning.
    hashed:
        Take the CRC-32 of the name's UTF-8 bytes modulo ``maximum`` instead of growing; names that collide share a
        column.
    """

    def __init__(self, maximum: int, *, hashed: bool = False) -> None:
        self.maximum = maximum
        self.hashed = hashed
        self.names: list[str] = []
        self._name_bytes = 0
        self._column_of: dict[str, int] = {}

    @property
    def count(self) -> int:
        """Columns in use: all of them when hashed."""
        return self.maximum if self.hashed else len(self.names)

    def find(self, name: str) -> int:
        """Return the column of a name, or ``UNSEEN``."""
        if self.hashed:
            return zlib.crc32(_bytes_of(name)) % self.maximum
        return self._column_of.get(name, UNSEEN)

    def admit(self, names: Iterable[str]) -> dict[str, int]:
        """Give new names their columns in code-point order; names beyond the bound are missing from the answer."""
        admitted: dict[str, int] = {}
        for name in sorted(names):
            if len(self.names) >= self.maximum:
                break
            column = len(self.names)
            self.names.append(name)
            self._name_bytes += len(_bytes_of(name))
            self._column_of[name] = column
            admitted[name] = column
        return admitted

    def declare(self, names: Sequence[str]) -> None:
        """Give names their columns in the order given, before any instance."""
        for name in names:
            if name not in self._column_of and len(self.names) < self.maximum:
                self._column_of[name] = len(self.names)
                self.names.append(name)
                self._name_bytes += len(_bytes_of(name))

    @property
    def room(self) -> int:
        """How many new names still fit."""
        return self.maximum - self.count

    @property
    def memory_bytes(self) -> int:
        """Bytes of the arrays below, without making them."""
        return self._name_bytes + 8 * (len(self.names) + 1)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the names as packed bytes and offsets; empty when hashed."""
        packed, offsets = pack_names(self.names)
        return {"names": packed, "name_offsets": offsets}

    def load_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take the names over.

        Raises
        ------
        SnapshotError
            When the snapshot holds more names than ``maximum``.
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


def _bytes_of(name: str) -> bytes:
    return name.encode("utf-8", "surrogatepass")
