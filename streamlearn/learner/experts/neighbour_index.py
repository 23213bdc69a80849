"""The inverted index of the neighbours' window: which slot has which value in a column.

A *slot* is a row's place in a ring of ``cursor[SLOTS]`` places, so that a row's entry costs two bytes beside its value.
A column with few entries keeps them in a chain of chunks, oldest first: rows leave in the order in which they came. A
column that a good share of the slots has keeps a value for every slot instead, 0 where there is none, so that adding it
up runs over contiguous memory. What is stored for a row never decides a bit of a result: a row's products are added in
the order of its columns either way, and adding 0 changes nothing.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.state.growth import grow

CHUNK = 32
LEAST_SLOTS = 64
SPREAD_SHARE = 10
"""A column is spread over all slots as soon as one slot in so many has it."""

STALE_SHARE = 40
"""A spread column is stale when less than one slot in so many has it; it stays until the index is built anew."""

PADDING = 16
"""Unused values behind a spread column: at a distance of a power of two the columns would share their cache lines."""

SPREAD_ROOM = 1_700_000
"""Values of spread columns at most; a column that finds no room stays in chunks."""

FIRST_CHUNK, FIRST_PLACE, LAST_CHUNK, LAST_PLACE, COUNT, SPREAD = 0, 1, 2, 3, 4, 5
COLUMN_FIELDS = 8
SLOTS, FRESH_CHUNK, FREE_CHUNK, SPREADS, STALE = 0, 1, 2, 3, 4


class IndexState(NamedTuple):
    """Attributes.

    Attributes
    ----------
    columns
        int32[columns, COLUMN_FIELDS]: first chunk and place in it, last chunk and places used in it, entries, and one
        more than the place among the spread columns (0: in chunks).
    slots, values
        uint16 and float32[chunks * CHUNK], the entries of the chunks.
    following
        int32[chunks], the next chunk of a column or of the list of free ones (-1: none).
    spread
        float32[SPREAD_ROOM], a value for each slot, one spread column after the other.
    cursor
        int64[5]: slots in use, chunks ever used, first free chunk (-1: none), spread columns, how often one became
        stale.
    """

    columns: np.ndarray
    slots: np.ndarray
    values: np.ndarray
    following: np.ndarray
    spread: np.ndarray
    cursor: np.ndarray


def chunks_at_most(columns: int, entries: int) -> int:
    """Return how many chunks hold that many entries of that many columns: full ones, and two begun ones a column."""
    return entries // CHUNK + 2 * columns


def empty_index() -> IndexState:
    """Return an index without columns."""
    return IndexState(
        np.zeros((0, COLUMN_FIELDS), np.int32),
        np.zeros(0, np.uint16),
        np.zeros(0, np.float32),
        np.zeros(0, np.int32),
        np.zeros(SPREAD_ROOM, np.float32),
        np.array([LEAST_SLOTS, 0, -1, 0, 0], np.int64),
    )


def grown_index(state: IndexState, columns: int, entries: int) -> IndexState:
    """Return the index with room for that many columns, and entries in all of them."""
    held = grow(state.columns, columns)
    chunks = chunks_at_most(held.shape[0], entries)
    if chunks <= state.following.size:
        return state
    return state._replace(
        columns=held,
        slots=_longer(state.slots, chunks * CHUNK),
        values=_longer(state.values, chunks * CHUNK),
        following=_longer(state.following, chunks),
    )


def _longer(array: np.ndarray, size: int) -> np.ndarray:
    longer = np.zeros(size, array.dtype)
    longer[: array.size] = array
    return longer


@kernel
def index_clear(index: IndexState, slots: int) -> None:
    """Empty the index; from here on it has that many slots."""
    cursor = index.cursor
    for column in range(index.columns.shape[0]):
        for field in range(COLUMN_FIELDS):
            index.columns[column, field] = 0
    for place in range(cursor[SPREADS] * (cursor[SLOTS] + PADDING)):
        index.spread[place] = np.float32(0.0)
    cursor[SLOTS] = slots
    cursor[FRESH_CHUNK] = 0
    cursor[FREE_CHUNK] = -1
    cursor[SPREADS] = 0
    cursor[STALE] = 0


@kernel
def _take_chunk(index: IndexState) -> int:
    chunk = index.cursor[FREE_CHUNK]
    if chunk >= 0:
        index.cursor[FREE_CHUNK] = index.following[chunk]
    else:
        chunk = index.cursor[FRESH_CHUNK]
        index.cursor[FRESH_CHUNK] = chunk + 1
    index.following[chunk] = -1
    return chunk


@kernel
def _free_chunk(index: IndexState, chunk: int | np.int64) -> None:
    index.following[chunk] = index.cursor[FREE_CHUNK]
    index.cursor[FREE_CHUNK] = chunk


@kernel
def _spread_column(index: IndexState, column: int | np.int64) -> None:
    """Move a column's entries from chunks to a value for each slot, if there is room."""
    stride = index.cursor[SLOTS] + PADDING
    place = index.cursor[SPREADS]
    if (place + 1) * stride > SPREAD_ROOM:
        return
    index.cursor[SPREADS] = place + 1
    chunk = np.int64(index.columns[column, FIRST_CHUNK])
    begin = np.int64(index.columns[column, FIRST_PLACE])
    while chunk >= 0:
        following = np.int64(index.following[chunk])
        end = CHUNK if following >= 0 else np.int64(index.columns[column, LAST_PLACE])
        for at in range(chunk * CHUNK + begin, chunk * CHUNK + end):
            index.spread[place * stride + np.int64(index.slots[at])] = index.values[at]
        _free_chunk(index, chunk)
        chunk = following
        begin = np.int64(0)
    index.columns[column, SPREAD] = place + 1


@kernel
def index_append_row(
    index: IndexState, columns: np.ndarray, values: np.ndarray, first: int, count: int, slot: int
) -> None:
    """Add the newest row: the ``count`` entries from ``first`` on, around the rings int32 and float32."""
    slots = index.cursor[SLOTS]
    at = np.int64(first)
    for _ in range(count):
        column = np.int64(columns[at])
        value = values[at]
        at = at + 1 if at + 1 < columns.size else 0
        index.columns[column, COUNT] += 1
        if index.columns[column, SPREAD] > 0:
            index.spread[(np.int64(index.columns[column, SPREAD]) - 1) * (slots + PADDING) + slot] = value
            continue
        if index.columns[column, COUNT] == 1:
            chunk = _take_chunk(index)
            index.columns[column, FIRST_CHUNK] = chunk
            index.columns[column, FIRST_PLACE] = 0
            index.columns[column, LAST_CHUNK] = chunk
            index.columns[column, LAST_PLACE] = 0
        elif index.columns[column, LAST_PLACE] == CHUNK:
            chunk = _take_chunk(index)
            index.following[index.columns[column, LAST_CHUNK]] = chunk
            index.columns[column, LAST_CHUNK] = chunk
            index.columns[column, LAST_PLACE] = 0
        place = np.int64(index.columns[column, LAST_CHUNK]) * CHUNK + np.int64(index.columns[column, LAST_PLACE])
        index.slots[place] = slot
        index.values[place] = value
        index.columns[column, LAST_PLACE] += 1
        if np.int64(index.columns[column, COUNT]) * SPREAD_SHARE >= slots:
            _spread_column(index, column)


@kernel
def index_remove_row(index: IndexState, columns: np.ndarray, first: int, count: int, slot: int) -> None:
    """Take away the oldest row, which has ``slot`` and the ``count`` entries from ``first`` on, around the ring."""
    slots = index.cursor[SLOTS]
    at = np.int64(first)
    for _ in range(count):
        column = np.int64(columns[at])
        at = at + 1 if at + 1 < columns.size else 0
        index.columns[column, COUNT] -= 1
        left = np.int64(index.columns[column, COUNT])
        if index.columns[column, SPREAD] > 0:
            place = np.int64(index.columns[column, SPREAD]) - 1
            index.spread[place * (slots + PADDING) + slot] = np.float32(0.0)
            if left * STALE_SHARE < slots <= (left + 1) * STALE_SHARE:
                index.cursor[STALE] += 1
            continue
        index.columns[column, FIRST_PLACE] += 1
        chunk = np.int64(index.columns[column, FIRST_CHUNK])
        if left == 0:
            _free_chunk(index, chunk)
        elif index.columns[column, FIRST_PLACE] == CHUNK:
            index.columns[column, FIRST_CHUNK] = index.following[chunk]
            index.columns[column, FIRST_PLACE] = 0
            _free_chunk(index, chunk)


@kernel
def index_products(
    index: IndexState, columns: np.ndarray, values: np.ndarray, oldest: int, rows: int, out: np.ndarray
) -> None:
    """Write the dot product of an instance with the row of each slot to ``out`` float32[at least slots].

    The products of a row are added in the order of the instance's columns. Empty slots get 0.

    Parameters
    ----------
    columns, values: int32 and float32, the instance, sorted by column; oldest: the slot of the oldest row; rows: slots
    in use, which follow each other from there around the ring.
    """
    slots = index.cursor[SLOTS]
    for slot in range(slots):
        out[slot] = np.float32(0.0)
    wrapped = max(oldest + rows - slots, 0)
    stride = slots + PADDING
    entry = 0
    while entry < columns.size:
        column = np.int64(columns[entry])
        by = values[entry]
        if index.columns[column, SPREAD] > 0:
            count = 1
            while count < 4 and entry + count < columns.size and index.columns[columns[entry + count], SPREAD] > 0:
                count += 1
            begin = oldest
            size = rows - wrapped
            for _ in range(2 if wrapped > 0 else 1):
                sums = out[begin : begin + size]
                start = (np.int64(index.columns[column, SPREAD]) - 1) * stride + begin
                one = index.spread[start : start + size]
                if count < 4:
                    for slot in range(size):
                        sums[slot] += by * one[slot]
                else:
                    start = (np.int64(index.columns[columns[entry + 1], SPREAD]) - 1) * stride + begin
                    two = index.spread[start : start + size]
                    by_two = values[entry + 1]
                    start = (np.int64(index.columns[columns[entry + 2], SPREAD]) - 1) * stride + begin
                    three = index.spread[start : start + size]
                    by_three = values[entry + 2]
                    start = (np.int64(index.columns[columns[entry + 3], SPREAD]) - 1) * stride + begin
                    four = index.spread[start : start + size]
                    by_four = values[entry + 3]
                    for slot in range(size):
                        total = sums[slot] + by * one[slot]
                        total = total + by_two * two[slot]
                        total = total + by_three * three[slot]
                        sums[slot] = total + by_four * four[slot]
                begin = 0
                size = wrapped
            entry += 4 if count == 4 else 1
            continue
        if index.columns[column, COUNT] > 0:
            chunk = np.int64(index.columns[column, FIRST_CHUNK])
            begin = np.int64(index.columns[column, FIRST_PLACE])
            while chunk >= 0:
                following = np.int64(index.following[chunk])
                end = CHUNK if following >= 0 else np.int64(index.columns[column, LAST_PLACE])
                for at in range(np.uint64(chunk * CHUNK + begin), np.uint64(chunk * CHUNK + end)):
                    out[index.slots[at]] += by * index.values[at]
                chunk = following
                begin = np.int64(0)
        entry += 1
