"""The encoder from its formulas, one name at a time: names to columns and values to the scaled instance.

It keeps the raw values of every column and no statistics.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Column:
    """All raw values of a column, and the number of rows before the first of them."""

    first: int
    values: list[float] = field(default_factory=list)
    dense: bool = False

    def is_dense(self, row: int) -> bool:
        """Return whether the column is dense for the next row."""
        return self.dense and sum(v != 0.0 for v in self.values) >= 0.45 * (row - self.first)

    def scaled(self, value: float, row: int) -> float:
        """Return a raw value of a row on this column's scale."""
        if not self.values:
            return math.copysign(1.0, value) if value else 0.0
        set_values = [v for v in self.values if v != 0.0]
        if self.is_dense(row):
            mean = math.fsum(self.values) / len(self.values)
            deviation = math.sqrt(math.fsum((v - mean) ** 2 for v in self.values) / len(self.values))
            scaled = (value - mean) / deviation if len(set(self.values)) > 1 else 0.0
        elif value == 0.0:
            return 0.0
        elif not set_values:
            return math.copysign(1.0, value)
        else:
            scaled = value / math.sqrt(math.fsum(v * v for v in set_values) / len(set_values))
        return min(max(scaled, -5.0), 5.0) if abs(scaled) >= 1e-30 else 0.0

    def bin(self, scaled: float, row: int) -> int:
        """Return the bin of an entry of a row."""
        if not self.is_dense(row):
            return int(scaled != 0.0)
        return sum(scaled > edge for edge in (-1.5, 0.0, 1.5))

    def observe(self, value: float, row: int) -> None:
        """Add the column's entry of a row, and update its density over the rows since it appeared."""
        self.values.append(value)
        rows = row - self.first + 1
        share = sum(v != 0.0 for v in self.values) / rows
        if self.dense:
            self.dense = share >= 0.45
        else:
            early = self.first == 0 and len(set(self.values)) > 1
            self.dense = rows >= (3 if early else 10) and share > 0.55


@dataclass
class Entry:
    """One entry of an encoded row."""

    column: int
    value: float
    rarity_weighted: float
    bin: int


class Encoder:
    """Twin of `encoder.row.Encoder`."""

    def __init__(self, maximum: int, hashed: bool, declared: list[str]) -> None:
        self.maximum = maximum
        self.hashed = hashed
        self.declared = declared
        self.column_of = {} if hashed else {name: i for i, name in enumerate(declared[:maximum])}
        self.columns: dict[int, Column] = {}
        self.rows = 0
        self.dropped = {"nan": 0, "infinite": 0, "features_full": 0}

    def encode(self, x: Any, observe: bool = True) -> list[Entry]:
        """Encode one row; without ``observe`` only ``dropped`` changes."""
        if not isinstance(x, dict):
            x = {(self.declared[i] if i < len(self.declared) else str(i)): value for i, value in enumerate(x)}
        named: dict[str, float] = {}
        for name, value in x.items():
            if value is None:
                continue
            name, number = (f"{name}={value}", 1.0) if isinstance(value, str) else (name, as_float(value))
            named[name] = named.get(name, 0.0) + number
        known = dict(self.column_of)
        numbers: list[tuple[int, float]] = []
        unseen: list[float] = []
        for name in sorted(named, key=lambda name: [ord(letter) for letter in name]):
            if self.hashed:
                numbers.append((zlib.crc32(name.encode("utf-8", "surrogatepass")) % self.maximum, named[name]))
                continue
            if name not in known:
                if len(known) >= self.maximum:
                    self.dropped["features_full"] += 1
                    continue
                known[name] = len(known)
            if observe or name in self.column_of:
                numbers.append((known[name], named[name]))
            else:
                unseen.append(named[name])
        if observe:
            self.column_of = known
        merged: dict[int, float] = {}
        for column, number in numbers:
            merged[column] = merged.get(column, 0.0) + number
        return self._scale(dict(sorted(merged.items())), unseen, observe)

    def _scale(self, numbers: dict[int, float], unseen: list[float], observe: bool) -> list[Entry]:
        entries: list[Entry] = []
        squares = rarities = 0.0
        for column, number in [*numbers.items(), *((-1, number) for number in unseen)]:
            if not abs(number) <= 1e150:
                self.dropped["nan" if math.isnan(number) else "infinite"] += 1
                continue
            statistics = self.columns.get(column) or Column(self.rows)
            scaled = statistics.scaled(number, self.rows)
            weight = scaled * math.log((self.rows + 2) / (len(statistics.values) + 1) + 1)
            squares += scaled * scaled
            rarities += weight * weight
            if column >= 0:
                entries.append(Entry(column, scaled, weight, statistics.bin(scaled, self.rows)))
            if observe:
                statistics.observe(number, self.rows)
                self.columns[column] = statistics
        for entry in entries:
            entry.value /= math.sqrt(squares) or 1.0
            entry.rarity_weighted /= math.sqrt(rarities) or 1.0
        self.rows += observe
        return entries


def as_float(value: float) -> float:
    """Return a number as a float; an integer too large for one as infinity."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
