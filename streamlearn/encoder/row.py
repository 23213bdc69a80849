"""Encode the features of records: names to columns, values to the scaled, unit-norm instance."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from streamlearn.encoder.columns import UNSEEN_COLUMN, Columns
from streamlearn.encoder.scaling import Refused, Scaling, encode_rows
from streamlearn.encoder.text import TextFields
from streamlearn.state.array_names import EncoderPart, join_parts
from streamlearn.state.lazy_arrays import split_parts
from streamlearn.state.names import Name, sorted_names

Value = float | int | bool | str | None
Features = Mapping[Any, Value] | Sequence[Value]
"""Names to values, or the values of a vector."""

SHAPE_CACHE_SIZE = 512
"""Shapes of instances that are cached."""


class EncodedRows(NamedTuple):
    """Instances as compressed sparse rows, each sorted by column.

    Attributes
    ----------
    starts
        int64[rows + 1], where the entries of each row start.
    columns
        int32[entries].
    values
        float32[entries], the unit-norm instance u.
    rarity_weighted
        float32[entries], the unit-norm instance v.
    bins
        uint8[entries].
    dropped
        Number of dropped entries by reason.
    """

    starts: np.ndarray
    columns: np.ndarray
    values: np.ndarray
    rarity_weighted: np.ndarray
    bins: np.ndarray
    dropped: dict[str, int]


class _Shape(NamedTuple):
    """The encoding of all instances with the same feature names in the same order.

    Attributes
    ----------
    columns
        The columns, ascending.
    order
        Position in the instance of the value of each column.
    sorted
        Whether ``order`` is ascending, so that values need no reordering.
    pack
        Packs the values as float64.
    """

    columns: array
    order: list[int]
    sorted: bool
    pack: Callable[..., bytes]


class Packed(NamedTuple):
    """An instance of a cached shape: its columns, ascending, and its raw values as bytes of float64."""

    columns: array
    values: bytes


class Encoder:
    """Encodes instances, in order, as scaled sparse rows.

    Parameters
    ----------
    maximum:
        Columns at most.
    hashed:
        Hash names to columns instead of growing.
    declared:
        Names that get the first columns, in this order. The i-th value of a vector has the i-th declared name, or the
        name ``str(i)`` if there is none.
    text:
        Which features are texts, and how texts are encoded.
    """

    def __init__(
        self, maximum: int, *, hashed: bool = False, declared: Sequence[Name] = (), text: TextFields | None = None
    ) -> None:
        self._text = text or TextFields()
        self.columns = Columns(maximum, hashed=hashed)
        self.scaling = Scaling()
        if not hashed:
            self.columns.declare(declared)
        self._declared = tuple(declared)
        self._shapes: dict[tuple[Name, ...] | int, _Shape] = {}
        self.scaling.grow(self.columns.count)

    @property
    def rows_observed(self) -> int:
        """Instances observed so far."""
        return int(self.scaling.state.rows[0])

    def pack(self, instance: Features) -> Features | Packed:
        """Return the instance in less memory if its shape is cached, otherwise as it is; changes no state."""
        if isinstance(instance, (dict, Mapping)):
            shape = self._shapes.get(tuple(instance))
            numbers: Iterable[Value] = instance.values()
        else:
            shape = self._shapes.get(len(instance))
            numbers = instance
        if shape is None:
            return instance
        if not shape.sorted:
            unsorted = list(numbers)
            numbers = [unsorted[position] for position in shape.order]
        try:
            # Much faster than array("d", numbers).
            return Packed(shape.columns, shape.pack(*numbers))
        except (struct.error, OverflowError):
            return instance

    def encode(self, instances: Iterable[Features | Packed], *, observe: bool) -> EncodedRows:
        """Encode instances in order, each with the statistics of the instances before it.

        With ``observe`` false nothing changes: every instance is encoded as if it were the next one.
        """
        columns = array("i")
        values = array("d")
        starts = array("q", [0])
        full = 0
        for instance in instances:
            packed = instance if isinstance(instance, Packed) else self.pack(instance)
            if isinstance(packed, Packed):
                columns.extend(packed.columns)
                values.frombytes(packed.values)
            else:
                full += self._append(packed, columns, values, observe)
            starts.append(len(values))
        if observe:
            self.scaling.grow(self.columns.count)
        start_array = np.frombuffer(starts, np.int64)
        column_array = np.frombuffer(columns, np.int32).copy() if columns else np.zeros(0, np.int32)
        raw_array = np.frombuffer(values, np.float64) if values else np.zeros(0)
        out = np.empty(column_array.size, np.float32)
        weighted = np.empty(column_array.size, np.float32)
        bins = np.empty(column_array.size, np.uint8)
        refused = np.zeros(len(Refused), np.int64)
        encode_rows(self.scaling.state, start_array, column_array, raw_array, observe, out, weighted, bins, refused)
        dropped = {
            reason: int(count)
            for reason, count in (
                ("nan", refused[Refused.NAN]),
                ("infinite", refused[Refused.INFINITE]),
                ("features_full", full),
            )
            if count
        } | self._text.pop_dropped()
        keep = column_array >= 0
        if not keep.all():
            kept_before = np.zeros(keep.size + 1, np.int64)
            np.cumsum(keep, out=kept_before[1:])
            start_array = kept_before[start_array]
            column_array = column_array[keep]
            out, weighted, bins = out[keep], weighted[keep], bins[keep]
        return EncodedRows(start_array, column_array, out, weighted, bins, dropped)

    def _append(self, instance: Features, columns: array, values: array, observe: bool) -> int:
        """Append one instance's columns, ascending, and raw values; return the number of entries without a column."""
        if isinstance(instance, Mapping):
            key: tuple[Name, ...] | int = tuple(instance)
            numbers: Sequence[Value] = list(instance.values())
        else:
            key = len(instance)
            numbers = instance
        names = key if isinstance(key, tuple) else self._vector_names(key)
        return self._append_by_name(key, names, numbers, columns, values, observe)

    def _vector_names(self, length: int) -> tuple[Name, ...]:
        declared = self._declared[:length]
        return declared + tuple(str(position) for position in range(len(declared), length))

    def _append_by_name(
        self,
        key: tuple[Name, ...] | int,
        names: tuple[Name, ...],
        numbers: Sequence[Value],
        columns: array,
        values: array,
        observe: bool,
    ) -> int:
        """Look up every name; cache the shape if all values are numbers and no two share a column."""
        entries: list[tuple[int, float, int]] = []
        new: dict[Name, tuple[float, int]] = {}
        texts: list[tuple[Name, str]] = []
        numeric = True
        for position, value in enumerate(numbers):
            name = names[position]
            if isinstance(value, str):
                numeric = False
                if name in self._text.fields:
                    texts.append((name, value))
                    continue
                name = f"{name}={value}" if isinstance(name, str) else (name, "=", value)
                number = 1.0
            elif value is None:
                numeric = False
                continue
            else:
                number = _as_float(value)
            column = self.columns.find(name)
            if column == UNSEEN_COLUMN:
                already, _ = new.get(name, (0.0, 0))
                new[name] = (already + number, position)
            else:
                entries.append((column, number, position))
        if texts:
            for name, number in self._text.bag_of_words(texts).items():
                column = self.columns.find(name)
                if column == UNSEEN_COLUMN:
                    new[name] = (new[name][0] + number if name in new else number, 0)
                else:
                    entries.append((column, number, 0))
        full = 0
        if new:
            if observe:
                admitted = self.columns.admit(new)
                entries.extend((column, *new[name]) for name, column in admitted.items())
                full = len(new) - len(admitted)
            else:
                fitting = sorted_names(new)[: self.columns.free]
                full = len(new) - len(fitting)
                unseen = [new[name][0] for name in fitting]
                self._extend(sorted(entries), columns, values)
                columns.extend([UNSEEN_COLUMN] * len(unseen))
                values.extend(unseen)
                return full
        entries.sort()
        distinct = self._extend(entries, columns, values)
        if numeric and not full and distinct and len(entries) == len(numbers):
            if len(self._shapes) >= SHAPE_CACHE_SIZE:
                del self._shapes[next(iter(self._shapes))]
            order = [position for _, _, position in entries]
            self._shapes[key] = _Shape(
                array("i", [column for column, _, _ in entries]),
                order,
                order == sorted(order),
                struct.Struct(f"{len(order)}d").pack,
            )
        return full

    @staticmethod
    def _extend(entries: list[tuple[int, float, int]], columns: array, values: array) -> bool:
        """Append sorted entries, adding up those that share a column; return whether all columns were distinct."""
        previous = UNSEEN_COLUMN
        distinct = True
        for column, number, _ in entries:
            if column == previous:
                values[-1] += number
                distinct = False
            else:
                columns.append(column)
                values.append(number)
                previous = column
        return distinct

    def memory_bytes(self) -> int:
        """Return the size of the state in bytes, without creating the arrays of the names."""
        return self.columns.memory_bytes + sum(array.nbytes for array in self.scaling.arrays().values())

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays of the complete state."""
        return join_parts({EncoderPart.COLUMNS: self.columns.arrays(), EncoderPart.SCALING: self.scaling.arrays()})

    def load_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Load the state from the arrays of a snapshot; raises `SnapshotError` if they do not fit."""
        parts = split_parts(arrays)
        self.columns.load_arrays(parts[EncoderPart.COLUMNS])
        self.scaling.load_arrays(parts[EncoderPart.SCALING])
        self._shapes.clear()


def _as_float(value: float) -> float:
    """Return the value as a float; an integer beyond the range of float64 becomes infinite and is refused later."""
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")
