"""Scaling of raw values to unit-norm instances, with running statistics per column.

A column that is nonzero in more than about half of the rows since it first appeared is *dense*: it is standardised with
its running mean and deviation. A column can become dense after 10 rows, or after 3 rows if the very first row of the
stream has it and its values differ, since measurements exist from the start. Any other column is *sparse*: it is
divided by its running root mean square over the rows where it is nonzero. Values are clipped to plus or minus 5, then
the instance is scaled to unit norm. A column without history has the value plus or minus 1.

Two more views of the same entries are computed. The *rarity-weighted* instance multiplies each scaled value by
ln((i + 2)/(df + 1) + 1), i the rows observed before and df those with an entry of the column, and has unit norm as
well: for neighbours and for the linear expert that learns rare features faster. *Bins* are for trees: an entry of a
sparse column that is not zero is in bin 1; an entry of a dense column is in bin 0 to 3, by the edges -1.5, 0 and 1.5 of
its scaled value; an absent entry counts as bin 0.

Source: the running mean and deviation are Welford's (Technometrics 4(3), 1962); the two modes with hysteresis are our
own rule, since multi-label streams mix bags of words and measurements. The rarity weight is a smoothed inverse document
frequency (Salton and Buckley, Information Processing & Management 24(5), 1988).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from streamlearn.encoder.columns import UNSEEN_COLUMN
from streamlearn.errors import SnapshotError
from streamlearn.kernels.compiler import kernel
from streamlearn.numerics.exp_log import log32
from streamlearn.state.array_names import SCALING
from streamlearn.state.growth import grow
from streamlearn.state.lazy_arrays import load_all

CLIP = 5.0
"""Largest absolute scaled value."""

MIN_SCALED = 1e-30
"""Smaller absolute scaled values become 0: float32 could not hold them, but they would count in the norm."""

MAX_RAW = 1e150
"""Larger absolute raw values are refused, so that sums of squares stay finite."""

BECOMES_DENSE = 0.55
BECOMES_SPARSE = 0.45
"""Share of rows with a nonzero entry above which a sparse column becomes dense, and below which a dense one becomes
sparse."""

MIN_ROWS = 10.0
MIN_ROWS_FROM_START = 3.0
"""Rows after which a column can become dense; the second for columns of the first row."""

REFUSED_COLUMN = -2
"""Column of an entry whose value was refused."""

LOW_EDGE = -1.5
HIGH_EDGE = 1.5
"""Edges of the bins of a dense column, besides 0."""


class Refused(IntEnum):
    """Indices of the counts of refused values."""

    NAN = 0
    INFINITE = 1  # above MAX_RAW


class ScalingState(NamedTuple):
    """Statistics per column; first axis is the column.

    Attributes
    ----------
    rows
        float64[1], rows observed.
    first_row
        float64[columns], rows observed before the column appeared, -1: never.
    present
        float64[columns], rows with an entry.
    nonzero
        float64[columns], rows with an entry that is not zero.
    mean, squared_deviations
        float64[columns], Welford's mean and sum of squared deviations of the entries.
    square_sum
        float64[columns], sum of the squared entries.
    dense
        uint8[columns], 1 for a dense column.
    """

    rows: np.ndarray
    first_row: np.ndarray
    present: np.ndarray
    nonzero: np.ndarray
    mean: np.ndarray
    squared_deviations: np.ndarray
    square_sum: np.ndarray
    dense: np.ndarray


@kernel
def _is_dense(state: ScalingState, column: int) -> bool:
    """Return whether a column that has appeared is dense as of the next row."""
    rows = state.rows[0] - state.first_row[column]
    return bool(state.dense[column] != 0 and state.nonzero[column] >= BECOMES_SPARSE * rows)


@kernel
def scaled_value(state: ScalingState, column: int, value: float) -> float:
    """Return a finite raw value on the column's scale, clipped, and 0 below MIN_SCALED; float64."""
    if column == UNSEEN_COLUMN or state.present[column] == 0.0:
        return 1.0 if value > 0.0 else (-1.0 if value < 0.0 else 0.0)
    if _is_dense(state, column):
        if state.squared_deviations[column] <= 0.0:
            return 0.0
        scaled = (value - state.mean[column]) * np.sqrt(state.present[column] / state.squared_deviations[column])
    else:
        if value == 0.0:
            return 0.0
        if state.nonzero[column] == 0.0:
            return 1.0 if value > 0.0 else -1.0
        scaled = value * np.sqrt(state.nonzero[column] / state.square_sum[column])
    return min(max(scaled, -CLIP), CLIP) if abs(scaled) >= MIN_SCALED else 0.0


@kernel
def observe_value(state: ScalingState, column: int, value: float) -> None:
    """Add one finite entry of the row being observed to the column's statistics."""
    if state.first_row[column] < 0.0:
        state.first_row[column] = state.rows[0]
    state.present[column] += 1.0
    difference = value - state.mean[column]
    state.mean[column] += difference / state.present[column]
    state.squared_deviations[column] += difference * (value - state.mean[column])
    if value != 0.0:
        state.nonzero[column] += 1.0
        state.square_sum[column] += value * value
    rows = state.rows[0] - state.first_row[column] + 1.0
    if state.dense[column]:
        if state.nonzero[column] < BECOMES_SPARSE * rows:
            state.dense[column] = 0
    elif state.nonzero[column] > BECOMES_DENSE * rows:
        early = state.first_row[column] == 0.0 and state.squared_deviations[column] > 0.0
        if rows >= (MIN_ROWS_FROM_START if early else MIN_ROWS):
            state.dense[column] = 1


@kernel
def _bin(state: ScalingState, column: int, scaled: float) -> int:
    if column == UNSEEN_COLUMN or state.present[column] == 0.0 or not _is_dense(state, column):
        return 1 if scaled != 0.0 else 0
    return int(scaled > LOW_EDGE) + int(scaled > 0.0) + int(scaled > HIGH_EDGE)


@kernel
def encode_rows(
    state: ScalingState,
    starts: np.ndarray,
    columns: np.ndarray,
    raw: np.ndarray,
    observe: bool,
    out: np.ndarray,
    rarity_weighted: np.ndarray,
    bins: np.ndarray,
    refused: np.ndarray,
) -> None:
    """Encode rows in order: scale each row with the statistics of the rows before it, then observe it.

    Parameters
    ----------
    starts: int64[rows + 1], where the entries of each row start.
    columns: int32[entries], sorted within a row, set to ``REFUSED_COLUMN`` where the value is refused.
    raw: float64[entries].
    observe: whether the rows enter the statistics.
    out, rarity_weighted: float32[entries], written: the unit-norm instances.
    bins: uint8[entries], written.
    refused: int64[2], increased by the number of NaN and of infinite entries.
    """
    for row in range(starts.size - 1):
        first = starts[row]
        last = starts[row + 1]
        square = 0.0
        for entry in range(first, last):
            value = raw[entry]
            column = columns[entry]
            out[entry] = 0.0
            rarity_weighted[entry] = 1.0
            bins[entry] = 0
            if not (abs(value) <= MAX_RAW):
                refused[Refused.NAN if value != value else Refused.INFINITE] += 1
                columns[entry] = REFUSED_COLUMN
                continue
            scaled = scaled_value(state, column, value)
            bins[entry] = _bin(state, column, scaled)
            square += scaled * scaled
            out[entry] = scaled
            frequency = 0.0 if column == UNSEEN_COLUMN else state.present[column]
            rarity_weighted[entry] = (state.rows[0] + 2.0) / (frequency + 1.0) + 1.0
            if observe:
                observe_value(state, column, value)
        for entry in range(first, last):
            rarity_weighted[entry] = out[entry] * log32(rarity_weighted[entry])
        if square > 0.0:
            rarity_square = 0.0
            for entry in range(first, last):
                rarity_square += np.float64(rarity_weighted[entry]) * np.float64(rarity_weighted[entry])
            factor = 1.0 / np.sqrt(square)
            rarity_factor = 1.0 / np.sqrt(rarity_square) if rarity_square > 0.0 else 0.0
            for entry in range(first, last):
                out[entry] = out[entry] * factor
                rarity_weighted[entry] = rarity_weighted[entry] * rarity_factor
        if observe:
            state.rows[0] += 1.0


class Scaling:
    """Owns the column statistics: creates, grows, saves and loads them."""

    def __init__(self) -> None:
        self.count = 0
        self.state = ScalingState(
            rows=np.zeros(1),
            first_row=np.full(0, -1.0),
            present=np.zeros(0),
            nonzero=np.zeros(0),
            mean=np.zeros(0),
            squared_deviations=np.zeros(0),
            square_sum=np.zeros(0),
            dense=np.zeros(0, np.uint8),
        )

    def grow(self, columns: int) -> None:
        """Grow the capacity to ``columns`` columns."""
        self.count = columns
        if columns > self.state.first_row.shape[0]:
            state = self.state
            self.state = ScalingState(
                state.rows,
                grow(state.first_row, columns, -1.0),
                *(grow(array, columns) for array in state[2:]),
            )

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays of the statistics, cut to the columns in use."""
        return {
            name: array if name == "rows" else array[: self.count]
            for name, array in zip(SCALING, self.state, strict=True)
        }

    def load_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Load the statistics from the arrays of a snapshot; raises `SnapshotError` if their lengths differ."""
        # A copy of the mapping: each array is used twice, and each look-up may read it from a file.
        arrays = load_all(arrays)
        lengths = {arrays[name].shape[0] for name in SCALING[1:]}
        if len(lengths) != 1:
            raise SnapshotError(f"scaling: the arrays of the snapshot have different lengths: {sorted(lengths)}")
        self.count = lengths.pop()
        self.state = ScalingState(*(np.array(arrays[name]) for name in SCALING))
