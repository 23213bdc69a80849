"""Raw values to the scaled, unit-norm instance: the running statistics of each column and the kernel that walks rows.

A column that is set (not zero) in more than about half of the rows since it first appeared is *dense*: it is
standardised with its running mean and deviation. This is judged from 10 rows on; from 3 rows on for a column that the
stream's very first row has, if its values differ, since measurements are there from the start. Any other column is
*sparse*: it is divided by its running root mean square over the rows where it is set. Values are clipped to plus or
minus 5, then the instance is scaled to unit norm. A column without history stands at plus or minus 1.

Two more views of the same entries come with it. The *rarity-weighted* instance multiplies each scaled value by
ln((i + 2)/(df + 1) + 1), i the rows observed before and df those with an entry of the column, and has unit norm as
well: for neighbours and for the linear expert that learns rare features faster. *Bins* are for trees: an entry of a
sparse column that is not zero is in bin 1; one of a dense column in bin 0 to 3, by the edges -1.5, 0 and 1.5 of its
scaled value; an absent entry counts as bin 0.

Source: the running mean and deviation are Welford's (Technometrics 4(3), 1962); the two modes with hysteresis are our
own rule, since multi-label streams mix bags of words and measurements. The rarity weight is a smoothed inverse document
frequency (Salton and Buckley, Information Processing & Management 24(5), 1988).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from streamlearn.errors import SnapshotError
from streamlearn.kernels.compiler import kernel
from streamlearn.numerics.exp_log import log32
from streamlearn.state.array_names import SCALING
from streamlearn.state.growth import grown

CLIP = 5.0
LEAST = 1e-30
BECOMES_DENSE = 0.55
BECOMES_SPARSE = 0.45
LEAST_ROWS = 10.0
LEAST_ROWS_FROM_START = 3.0

UNSEEN_COLUMN = -1
DROPPED_COLUMN = -2

LOW_EDGE = -1.5
HIGH_EDGE = 1.5


class ScalingState(NamedTuple):
    """Statistics per column; first axis is the column.

    ``rows`` float64[1] is the number of rows observed; ``first`` float64 the rows observed before the column appeared
    (-1: never); ``present`` and ``set`` float64 count rows with an entry and with an entry that is not zero; ``mean``
    and ``deviations`` float64 are Welford's over present entries; ``squares`` float64 sums squares; ``dense`` uint8.
    """

    rows: np.ndarray
    first: np.ndarray
    present: np.ndarray
    set: np.ndarray
    mean: np.ndarray
    deviations: np.ndarray
    squares: np.ndarray
    dense: np.ndarray


@kernel
def _is_dense(state: ScalingState, column: int) -> bool:
    """Return whether a column that has appeared is dense as of the next row."""
    rows = state.rows[0] - state.first[column]
    return bool(state.dense[column] != 0 and state.set[column] >= BECOMES_SPARSE * rows)


@kernel
def scaled_value(state: ScalingState, column: int, value: float) -> float:
    """Return a finite raw value on the column's scale, clipped, and 0 below LEAST; float64."""
    if column == UNSEEN_COLUMN or state.present[column] == 0.0:
        return 1.0 if value > 0.0 else (-1.0 if value < 0.0 else 0.0)
    if _is_dense(state, column):
        if state.deviations[column] <= 0.0:
            return 0.0
        scaled = (value - state.mean[column]) * np.sqrt(state.present[column] / state.deviations[column])
    else:
        if value == 0.0:
            return 0.0
        if state.set[column] == 0.0:
            return 1.0 if value > 0.0 else -1.0
        scaled = value * np.sqrt(state.set[column] / state.squares[column])
    # What float32 cannot hold would vanish after it had its part in the norm.
    return min(max(scaled, -CLIP), CLIP) if abs(scaled) >= LEAST else 0.0


@kernel
def observe_value(state: ScalingState, column: int, value: float) -> None:
    """Add one finite entry of the row being observed to the column's statistics."""
    if state.first[column] < 0.0:
        state.first[column] = state.rows[0]
    state.present[column] += 1.0
    difference = value - state.mean[column]
    state.mean[column] += difference / state.present[column]
    state.deviations[column] += difference * (value - state.mean[column])
    if value != 0.0:
        state.set[column] += 1.0
        state.squares[column] += value * value
    rows = state.rows[0] - state.first[column] + 1.0
    if state.dense[column]:
        if state.set[column] < BECOMES_SPARSE * rows:
            state.dense[column] = 0
    elif state.set[column] > BECOMES_DENSE * rows:
        early = state.first[column] == 0.0 and state.deviations[column] > 0.0
        if rows >= (LEAST_ROWS_FROM_START if early else LEAST_ROWS):
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
    dropped: np.ndarray,
) -> None:
    """MicroBatchRunner rows in order: scale each with the statistics before it, then observe it.

    Parameters
    ----------
    starts: int64[rows + 1]; columns: int32[entries], sorted within a row, changed to ``DROPPED_COLUMN`` where the value
    is refused; raw: float64[entries]; observe: whether rows enter the statistics; out,
    rarity_weighted: float32[entries], the unit-norm instances; bins: uint8[entries]; dropped: int64[2], counts NaN and
    infinite entries.
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
            if not (abs(value) <= 1e150):
                dropped[0 if value != value else 1] += 1
                columns[entry] = DROPPED_COLUMN
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
    """Holds and grows the column statistics."""

    def __init__(self) -> None:
        self.count = 0
        self.state = ScalingState(
            np.zeros(1),
            np.full(0, -1.0),
            np.zeros(0),
            np.zeros(0),
            np.zeros(0),
            np.zeros(0),
            np.zeros(0),
            np.zeros(0, np.uint8),
        )

    def grow(self, columns: int) -> None:
        """Make room for ``columns`` columns."""
        self.count = columns
        if columns > self.state.first.shape[0]:
            state = self.state
            self.state = ScalingState(
                state.rows,
                grown(state.first, columns, -1.0),
                *(grown(array, columns) for array in state[2:]),
            )

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the statistics of the columns in use, by name."""
        return {
            name: array if name == "rows" else array[: self.count]
            for name, array in zip(SCALING, self.state, strict=True)
        }

    def load_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take statistics over; raises `SnapshotError` when their lengths differ."""
        # Each is looked at twice, and may be in a file.
        arrays = dict(arrays)
        lengths = {arrays[name].shape[0] for name in SCALING[1:]}
        if len(lengths) != 1:
            raise SnapshotError(f"scaling arrays have different lengths: {sorted(lengths)}")
        self.count = lengths.pop()
        self.state = ScalingState(*(np.array(arrays[name]) for name in SCALING))
