"""Inverted index of the neighbours' window: dot products of an instance with all rows of the window.

The index holds, for each column, the values of the rows that have it, so that an instance is multiplied with its own
columns only. It belongs to `neighbour_window`, which adds and removes rows, and serves `neighbour_search`; the whole
expert is described in `neighbours`.

A *slot* is a row's index in a ring of ``cursor[IndexCursor.SLOTS]`` elements, so that an entry of a row takes two bytes
beside its value. A column with few entries stores them in a linked list of chunks, oldest first: rows leave in the
order in which they came. A *dense* column, which many slots have, stores a value for every slot, 0 where there is none,
so that it is added over contiguous memory. How a column is stored never changes a bit of a result: a row's products are
added in the order of the instance's columns either way, and adding 0 changes nothing.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.state.growth import grow

CHUNK = 32
"""Entries of a chunk."""

LEAST_SLOTS = 64
DENSE_SHARE = 10
"""A column becomes dense as soon as one slot in DENSE_SHARE has it."""

STALE_SHARE = 40
"""A dense column is stale when less than one slot in STALE_SHARE has it; it stays dense until the index is rebuilt."""

PADDING = 16
"""Unused values after a dense column: at a distance of a power of two the columns would share their cache lines."""

DENSE_CAPACITY = 1_700_000
"""Values of all dense columns; a column that does not fit stays in chunks."""


class IndexColumn(IntEnum):
    """Fields of a row of `IndexState.columns`."""

    FIRST_CHUNK = 0  # chunk of the oldest entry
    FIRST_OFFSET = 1  # offset of the oldest entry in it
    LAST_CHUNK = 2  # chunk of the newest entry
    LAST_SIZE = 3  # entries written to it, which is the offset of the next one
    COUNT = 4  # entries, dense or in chunks
    DENSE = 5  # 1 + index among the dense columns, 0: in chunks


COLUMN_FIELDS = 8
"""Length of a row of `IndexState.columns`: the fields of `IndexColumn`, padded to a power of two."""


class IndexCursor(IntEnum):
    """Fields of `IndexState.cursor`."""

    SLOTS = 0  # length of the ring of slots
    FRESH_CHUNK = 1  # first chunk that was never used
    FREE_CHUNK = 2  # first chunk of the free list, -1: none
    DENSE_COLUMNS = 3  # number of dense columns
    STALE = 4  # how often a dense column became stale


class IndexState(NamedTuple):
    """The index.

    Attributes
    ----------
    columns
        int32[columns, COLUMN_FIELDS], by `IndexColumn`.
    slots, values
        uint16 and float32[chunks * CHUNK], the entries of the chunks.
    next_chunk
        int32[chunks], the next chunk of the same column or of the free list (-1: none).
    dense
        float32[DENSE_CAPACITY], the dense columns one after the other, each with a value for every slot and PADDING
        unused ones.
    cursor
        int64[5], by `IndexCursor`.
    """

    columns: np.ndarray
    slots: np.ndarray
    values: np.ndarray
    next_chunk: np.ndarray
    dense: np.ndarray
    cursor: np.ndarray


def maximum_chunks(columns: int, entries: int) -> int:
    """Return how many chunks that many columns and entries can take: full ones, and two partial ones per column."""
    return entries // CHUNK + 2 * columns


def empty_index() -> IndexState:
    """Return an index without columns."""
    return IndexState(
        np.zeros((0, COLUMN_FIELDS), np.int32),
        np.zeros(0, np.uint16),
        np.zeros(0, np.float32),
        np.zeros(0, np.int32),
        np.zeros(DENSE_CAPACITY, np.float32),
        np.array([LEAST_SLOTS, 0, -1, 0, 0], np.int64),
    )


def grow_index(state: IndexState, columns: int, entries: int) -> IndexState:
    """Return the index with room for that many columns and that many entries over all of them."""
    grown_columns = grow(state.columns, columns)
    chunks = maximum_chunks(grown_columns.shape[0], entries)
    if chunks <= state.next_chunk.size:
        return state
    return state._replace(
        columns=grown_columns,
        slots=_lengthen(state.slots, chunks * CHUNK),
        values=_lengthen(state.values, chunks * CHUNK),
        next_chunk=_lengthen(state.next_chunk, chunks),
    )


def _lengthen(array: np.ndarray, size: int) -> np.ndarray:
    longer = np.zeros(size, array.dtype)
    longer[: array.size] = array
    return longer


@kernel
def index_clear(index: IndexState, slots: int) -> None:
    """Empty the index and set its number of slots."""
    cursor = index.cursor
    for column in range(index.columns.shape[0]):
        for field in range(COLUMN_FIELDS):
            index.columns[column, field] = 0
    for offset in range(cursor[IndexCursor.DENSE_COLUMNS] * (cursor[IndexCursor.SLOTS] + PADDING)):
        index.dense[offset] = np.float32(0.0)
    cursor[IndexCursor.SLOTS] = slots
    cursor[IndexCursor.FRESH_CHUNK] = 0
    cursor[IndexCursor.FREE_CHUNK] = -1
    cursor[IndexCursor.DENSE_COLUMNS] = 0
    cursor[IndexCursor.STALE] = 0


@kernel
def _take_chunk(index: IndexState) -> int:
    chunk = index.cursor[IndexCursor.FREE_CHUNK]
    if chunk >= 0:
        index.cursor[IndexCursor.FREE_CHUNK] = index.next_chunk[chunk]
    else:
        chunk = index.cursor[IndexCursor.FRESH_CHUNK]
        index.cursor[IndexCursor.FRESH_CHUNK] = chunk + 1
    index.next_chunk[chunk] = -1
    return chunk


@kernel
def _free_chunk(index: IndexState, chunk: int | np.int64) -> None:
    index.next_chunk[chunk] = index.cursor[IndexCursor.FREE_CHUNK]
    index.cursor[IndexCursor.FREE_CHUNK] = chunk


@kernel
def _make_dense(index: IndexState, column: int | np.int64) -> None:
    """Make a column dense, if there is room."""
    stride = index.cursor[IndexCursor.SLOTS] + PADDING
    dense_column = index.cursor[IndexCursor.DENSE_COLUMNS]
    if (dense_column + 1) * stride > DENSE_CAPACITY:
        return
    index.cursor[IndexCursor.DENSE_COLUMNS] = dense_column + 1
    chunk = np.int64(index.columns[column, IndexColumn.FIRST_CHUNK])
    begin = np.int64(index.columns[column, IndexColumn.FIRST_OFFSET])
    while chunk >= 0:
        next_chunk = np.int64(index.next_chunk[chunk])
        end = CHUNK if next_chunk >= 0 else np.int64(index.columns[column, IndexColumn.LAST_SIZE])
        for at in range(chunk * CHUNK + begin, chunk * CHUNK + end):
            index.dense[dense_column * stride + np.int64(index.slots[at])] = index.values[at]
        _free_chunk(index, chunk)
        chunk = next_chunk
        begin = np.int64(0)
    index.columns[column, IndexColumn.DENSE] = dense_column + 1


@kernel
def index_append_row(
    index: IndexState, columns: np.ndarray, values: np.ndarray, first: int, count: int, slot: int
) -> None:
    """Add the newest row, which takes ``slot``.

    Its ``count`` entries start at ``first`` of the rings ``columns`` int32 and ``values`` float32, and may wrap around.
    """
    slots = index.cursor[IndexCursor.SLOTS]
    at = np.int64(first)
    for _ in range(count):
        column = np.int64(columns[at])
        value = values[at]
        at = at + 1 if at + 1 < columns.size else 0
        index.columns[column, IndexColumn.COUNT] += 1
        if index.columns[column, IndexColumn.DENSE] > 0:
            index.dense[(np.int64(index.columns[column, IndexColumn.DENSE]) - 1) * (slots + PADDING) + slot] = value
            continue
        if index.columns[column, IndexColumn.COUNT] == 1:
            chunk = _take_chunk(index)
            index.columns[column, IndexColumn.FIRST_CHUNK] = chunk
            index.columns[column, IndexColumn.FIRST_OFFSET] = 0
            index.columns[column, IndexColumn.LAST_CHUNK] = chunk
            index.columns[column, IndexColumn.LAST_SIZE] = 0
        elif index.columns[column, IndexColumn.LAST_SIZE] == CHUNK:
            chunk = _take_chunk(index)
            index.next_chunk[index.columns[column, IndexColumn.LAST_CHUNK]] = chunk
            index.columns[column, IndexColumn.LAST_CHUNK] = chunk
            index.columns[column, IndexColumn.LAST_SIZE] = 0
        offset = np.int64(index.columns[column, IndexColumn.LAST_CHUNK]) * CHUNK + np.int64(
            index.columns[column, IndexColumn.LAST_SIZE]
        )
        index.slots[offset] = slot
        index.values[offset] = value
        index.columns[column, IndexColumn.LAST_SIZE] += 1
        if np.int64(index.columns[column, IndexColumn.COUNT]) * DENSE_SHARE >= slots:
            _make_dense(index, column)


@kernel
def index_remove_row(index: IndexState, columns: np.ndarray, first: int, count: int, slot: int) -> None:
    """Remove the oldest row, which has ``slot``; arguments as for `index_append_row`."""
    slots = index.cursor[IndexCursor.SLOTS]
    at = np.int64(first)
    for _ in range(count):
        column = np.int64(columns[at])
        at = at + 1 if at + 1 < columns.size else 0
        index.columns[column, IndexColumn.COUNT] -= 1
        left = np.int64(index.columns[column, IndexColumn.COUNT])
        if index.columns[column, IndexColumn.DENSE] > 0:
            dense_column = np.int64(index.columns[column, IndexColumn.DENSE]) - 1
            index.dense[dense_column * (slots + PADDING) + slot] = np.float32(0.0)
            if left * STALE_SHARE < slots <= (left + 1) * STALE_SHARE:
                index.cursor[IndexCursor.STALE] += 1
            continue
        index.columns[column, IndexColumn.FIRST_OFFSET] += 1
        chunk = np.int64(index.columns[column, IndexColumn.FIRST_CHUNK])
        if left == 0:
            _free_chunk(index, chunk)
        elif index.columns[column, IndexColumn.FIRST_OFFSET] == CHUNK:
            index.columns[column, IndexColumn.FIRST_CHUNK] = index.next_chunk[chunk]
            index.columns[column, IndexColumn.FIRST_OFFSET] = 0
            _free_chunk(index, chunk)


@kernel
def index_products(
    index: IndexState, columns: np.ndarray, values: np.ndarray, oldest: int, rows: int, out: np.ndarray
) -> None:
    """Write the dot product of an instance with the row of each slot to ``out`` float32[at least slots].

    The products of a row are added in the order of the instance's columns. Empty slots get 0.

    Parameters
    ----------
    columns, values
        int32 and float32, the instance, sorted by column.
    oldest
        Slot of the oldest row.
    rows
        Number of rows, which have consecutive slots from ``oldest`` on, around the ring.
    """
    slots = index.cursor[IndexCursor.SLOTS]
    for slot in range(slots):
        out[slot] = np.float32(0.0)
    wrapped = max(oldest + rows - slots, 0)
    stride = slots + PADDING
    entry = 0
    while entry < columns.size:
        column = np.int64(columns[entry])
        by = values[entry]
        if index.columns[column, IndexColumn.DENSE] > 0:
            count = 1
            while (
                count < 4
                and entry + count < columns.size
                and index.columns[columns[entry + count], IndexColumn.DENSE] > 0
            ):
                count += 1
            begin = oldest
            size = rows - wrapped
            for _ in range(2 if wrapped > 0 else 1):
                sums = out[begin : begin + size]
                start = (np.int64(index.columns[column, IndexColumn.DENSE]) - 1) * stride + begin
                one = index.dense[start : start + size]
                if count < 4:
                    for slot in range(size):
                        sums[slot] += by * one[slot]
                else:
                    start = (np.int64(index.columns[columns[entry + 1], IndexColumn.DENSE]) - 1) * stride + begin
                    two = index.dense[start : start + size]
                    by_two = values[entry + 1]
                    start = (np.int64(index.columns[columns[entry + 2], IndexColumn.DENSE]) - 1) * stride + begin
                    three = index.dense[start : start + size]
                    by_three = values[entry + 2]
                    start = (np.int64(index.columns[columns[entry + 3], IndexColumn.DENSE]) - 1) * stride + begin
                    four = index.dense[start : start + size]
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
        if index.columns[column, IndexColumn.COUNT] > 0:
            chunk = np.int64(index.columns[column, IndexColumn.FIRST_CHUNK])
            begin = np.int64(index.columns[column, IndexColumn.FIRST_OFFSET])
            while chunk >= 0:
                next_chunk = np.int64(index.next_chunk[chunk])
                end = CHUNK if next_chunk >= 0 else np.int64(index.columns[column, IndexColumn.LAST_SIZE])
                for at in range(np.uint64(chunk * CHUNK + begin), np.uint64(chunk * CHUNK + end)):
                    out[index.slots[at]] += by * index.values[at]
                chunk = next_chunk
                begin = np.int64(0)
        entry += 1
