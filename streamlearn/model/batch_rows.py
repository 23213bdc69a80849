"""The encoded entries of a micro-batch: those of its own instances and of stored ones in the same arrays."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from streamlearn.encoder.row import EncodedRows
from streamlearn.learner.entries import Entries
from streamlearn.model.micro_batch import MicroBatch


class BatchRows(NamedTuple):
    """Each operation's entries, from ``first`` to ``last`` int64[operations]."""

    entries: Entries
    first: np.ndarray
    last: np.ndarray

    def of(self, op: int) -> Entries:
        """Return an operation's entries."""
        entries = slice(int(self.first[op]), int(self.last[op]))
        return Entries(*(view[entries] for view in self.entries))


def batch_rows(encoded: EncodedRows, batch: MicroBatch) -> BatchRows:
    """Append the stored instances to the encoded ones, and find the entries of each operation."""
    sizes = np.array([instance.columns.size for instance in batch.stored], np.int64)
    stored_starts = np.zeros(sizes.size + 1, np.int64)
    np.cumsum(sizes, out=stored_starts[1:])
    starts = np.concatenate([encoded.starts[:-1], encoded.columns.size + stored_starts])
    instance, stored = np.array(batch.instance_index, np.int64), np.array(batch.stored_index, np.int64)
    row = np.where(stored < 0, instance, encoded.starts.size - 1 + stored)
    entries = Entries(encoded.columns, encoded.values, encoded.rarity_weighted, encoded.bins)
    if batch.stored:
        views = (
            np.concatenate([view, *(getattr(instance, name) for instance in batch.stored)])
            for name, view in zip(Entries._fields, entries, strict=True)
        )
        entries = Entries(*views)
    return BatchRows(entries, starts[row], starts[row + 1])
