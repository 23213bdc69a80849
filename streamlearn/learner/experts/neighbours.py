"""Nearest neighbours: two votes of the rows most similar to the instance among the last 4,000, by cosine.

The similarity s of an instance and a row is the dot product of their weighted, unit-norm values, clipped to [0, 1]. An
entry is weighted by the rarity of its column and by (.1 + sum over labels of w^2)^(1/4), w the slow linear expert's
weights when the row was learnt: columns that tell labels apart count more. The neighbours are the 50 rows with the
largest s above 0, of equal ones the most recent. With b the label's slow rate and y the neighbours' truths,

    p = (sum of w y + kappa b) / (sum of w + kappa),  kappa = mean of w + 1e-6,  clipped to [.0005, .9995],

both sums over the neighbours that know the label, nearest first, and the mean over as many rows as a vote may have,
rows without any similarity counting as 0. The wide vote takes all 50 neighbours with w = s^5 / (1.02 - s), the close
vote the first 10 with w = s^2 / (2 - s). A label that no neighbour knows gets its rate.

Source: distance-weighted k nearest neighbours (Dudani, *The Distance-Weighted k-Nearest-Neighbor Rule*, IEEE
Transactions on Systems, Man, and Cybernetics 6(4), 1976); the weights, and the rate as the prior of one mean neighbour,
are our own. Columns weighted by a linear model: Wettschereck, Aha and Mohri, *A Review and Empirical Evaluation of
Feature Weighting Methods for a Class of Lazy Learning Algorithms* (Artificial Intelligence Review 11, 1997).

This module owns the state. The kernels are in four files: `neighbour_window` (the rows and what they know),
`neighbour_index` (the inverted index over their entries), `neighbour_search` (similarities, the nearest rows and their
weights) and `neighbour_votes` (logits and label sets).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from streamlearn.errors import SnapshotError
from streamlearn.learner.experts.neighbour_index import (
    CHUNK,
    COLUMN_FIELDS,
    DENSE_CAPACITY,
    LEAST_SLOTS,
    grow_index,
    maximum_chunks,
)
from streamlearn.learner.experts.neighbour_search import (
    GROUPS,
    NEIGHBOURS,
    ROUNDS,
    VOTES,
    Found,
    NeighboursScratch,
    VoteSum,
)
from streamlearn.learner.experts.neighbour_window import (
    MAXIMUM_ENTRIES,
    MAXIMUM_KNOWN,
    ROW_FIELDS,
    WINDOW_ROWS,
    WindowRow,
    empty_window,
    window_index_rows,
    window_retire,
)
from streamlearn.state.growth import capacity
from streamlearn.state.lazy_arrays import load_all

_STORED_FIELDS = [WindowRow.ENTRIES, WindowRow.KNOWN, WindowRow.POSITIVES, WindowRow.COMPLETE, WindowRow.CODE]
"""Fields of a row that are part of the snapshot's ``rows``, in its order."""


class Neighbours:
    """Owns the window of rows and its index."""

    def __init__(self) -> None:
        self.state = empty_window()
        self.scratch = self._scratch(0)

    @staticmethod
    def _scratch(labels: int) -> NeighboursScratch:
        return NeighboursScratch(
            np.zeros(len(Found), np.int64),
            np.zeros(NEIGHBOURS, np.int64),
            np.zeros((VOTES, NEIGHBOURS), np.float32),
            np.zeros((len(VoteSum), labels), np.float32),
            np.zeros(ROUNDS * GROUPS, np.float32),
            np.zeros(GROUPS, np.int32),
            np.zeros(ROUNDS * GROUPS + 1, np.int64),
            np.zeros(NEIGHBOURS, np.int64),
        )

    def grow(self, features: int, labels: int) -> None:
        """Make room for ``features`` columns and ``labels`` labels; replaces ``state`` and ``scratch`` if they grow."""
        self.state = self.state._replace(inverted=grow_index(self.state.inverted, features, MAXIMUM_ENTRIES))
        if labels > self.scratch.votes.shape[1]:
            self.scratch = self._scratch(capacity(labels, self.scratch.votes.shape[1]))

    def retire(self, label: int) -> None:
        """Remove a label from every row, so that none votes for the next label in its slot."""
        window_retire(self.state, label, np.zeros(max(self.scratch.votes.shape[1], 1), np.int32))

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the rows, oldest first."""
        state = self.state
        oldest, rows, entries, known = (int(number) for number in state.cursor)
        order = (oldest + np.arange(rows)) % WINDOW_ROWS
        fields = state.rows[order]
        first_entry = int(fields[0, WindowRow.FIRST_ENTRY]) if rows else 0
        first_known = int(fields[0, WindowRow.FIRST_KNOWN]) if rows else 0
        entry_order = (first_entry + np.arange(entries)) % MAXIMUM_ENTRIES
        return {
            "rows": fields[:, _STORED_FIELDS],
            "learnt_rows": fields[:, WindowRow.LEARNT_ROW],
            "columns": state.entry_columns[entry_order],
            "values": state.entry_values[entry_order],
            "known": state.known[(first_known + np.arange(known)) % MAXIMUM_KNOWN],
        }

    def load_arrays(self, arrays: Mapping[str, np.ndarray], features: int, labels: int) -> None:
        """Load the rows and index them; raises `SnapshotError` when they do not fit."""
        self.grow(features, labels)
        # Each array is read several times and may be in a file: load it once.
        arrays = load_all(arrays)
        fields = arrays["rows"]
        rows = fields.shape[0]
        entries, known = arrays["columns"].size, arrays["known"].size
        # The first two stored fields are counts: where each row's entries and known labels end.
        ends = np.cumsum(fields[:, :2], axis=0) if rows else np.zeros((1, 2), np.int64)
        if (
            fields.shape != (rows, len(_STORED_FIELDS))
            or rows > WINDOW_ROWS
            or entries > MAXIMUM_ENTRIES
            or known > MAXIMUM_KNOWN
            or (int(ends[-1, 0]), int(ends[-1, 1])) != (entries, known)
            or arrays["values"].shape != (entries,)
            or (entries and not 0 <= int(arrays["columns"].min()) <= int(arrays["columns"].max()) < features)
            or (known and not 0 <= int(arrays["known"].min()) <= int(arrays["known"].max()) < labels)
        ):
            raise SnapshotError(
                f"the neighbours' window of the snapshot has {rows} rows, {entries} entries and {known} known labels "
                f"that do not match each other, or do not match {features} columns and {labels} labels"
            )
        state = self.state
        state.rows[:rows, _STORED_FIELDS] = fields
        state.rows[:rows, WindowRow.LEARNT_ROW] = arrays["learnt_rows"]
        state.rows[:rows, WindowRow.FIRST_ENTRY] = ends[:rows, 0] - fields[:, 0]
        state.rows[:rows, WindowRow.FIRST_KNOWN] = ends[:rows, 1] - fields[:, 1]
        state.entry_columns[:entries] = arrays["columns"]
        state.entry_values[:entries] = arrays["values"]
        state.known[:known] = arrays["known"]
        state.cursor[:] = (0, rows, entries, known)
        slots = LEAST_SLOTS
        while slots < rows:
            slots = min(2 * slots, WINDOW_ROWS)
        window_index_rows(state, slots)

    @staticmethod
    def bytes_bound(features: int, labels: int) -> int:
        """Return the largest size in bytes with that many columns and labels: window, index and scratch."""
        window = 8 * WINDOW_ROWS * ROW_FIELDS + 8 * MAXIMUM_ENTRIES + 4 * MAXIMUM_KNOWN
        index = 4 * features * COLUMN_FIELDS + (6 * CHUNK + 4) * maximum_chunks(features, MAXIMUM_ENTRIES)
        return window + index + 4 * DENSE_CAPACITY + 16 * labels + 12 * (ROUNDS + 1) * GROUPS + 32 * NEIGHBOURS
