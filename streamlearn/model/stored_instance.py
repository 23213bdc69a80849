"""An encoded instance with the answer that it got, as it waits for a truth that comes later."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class StoredInstance(NamedTuple):
    """An encoded instance with the answer it got, kept until its truth arrives.

    ``columns`` int32, ``values``, ``rarity_weighted`` float32 and ``bins`` uint8 are its entries as scaled when it was
    predicted; ``recent_columns`` int32 and ``recent_values`` float32 what was known of recent label sets then;
    ``slots`` int32 and ``generations`` int64 the labels that were answered.
    """

    columns: np.ndarray
    values: np.ndarray
    rarity_weighted: np.ndarray
    bins: np.ndarray
    recent_columns: np.ndarray
    recent_values: np.ndarray
    slots: np.ndarray
    generations: np.ndarray

    def packed(self) -> bytes:
        """Return it as little-endian bytes: int32 counts of entries, recent entries and slots, an int32 0, then the
        arrays, those of the widest numbers first."""
        sizes = np.array([self.columns.size, self.recent_columns.size, self.slots.size, 0], "<i4")
        return b"".join(
            [sizes.tobytes(), *(getattr(self, name).astype(dtype, copy=False).tobytes() for name, dtype, _ in _PACKED)]
        )

    @classmethod
    def unpacked(cls, data: bytes) -> StoredInstance:
        """Return the instance that `packed` packed; raises `ValueError` when the bytes are something else."""
        sizes = np.frombuffer(data, "<i4", 3).tolist()
        offset = 16
        arrays = {}
        for name, dtype, size in _PACKED:
            arrays[name] = np.frombuffer(data, dtype, sizes[size], offset)
            offset += arrays[name].nbytes
        if offset != len(data):
            raise ValueError(f"a stored instance of {len(data)} bytes, not {offset}")
        return cls(**arrays)


_PACKED = (
    ("generations", "<i8", 2),
    ("columns", "<i4", 0),
    ("values", "<f4", 0),
    ("rarity_weighted", "<f4", 0),
    ("recent_columns", "<i4", 1),
    ("recent_values", "<f4", 1),
    ("slots", "<i4", 2),
    ("bins", "u1", 0),
)
"""The arrays in the order in which they are packed, and which size each has."""
