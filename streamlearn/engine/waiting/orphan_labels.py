"""Orphans: labels whose instance has not been seen. They wait for it, bounded by count, bytes and age."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from streamlearn.source.base import RawRecord
from streamlearn.state.arrays import pack_bytes, pack_texts, unpack_bytes, unpack_texts

_ORPHAN_BYTES = 500
"""Approximate memory of an orphan beyond the bytes of its record."""


class Orphan(NamedTuple):
    """A label record, the id of its instance, and the watermark when it arrived."""

    identity: str
    record: RawRecord
    since_ms: int

    @property
    def size(self) -> int:
        """Approximate memory in bytes."""
        record = self.record
        headers = sum(len(name) + len(value or b"") for name, value in record.headers)
        return _ORPHAN_BYTES + len(record.value or b"") + len(record.key or b"") + headers


class Orphans:
    """The orphans of a task in order of arrival. Different labels of one id are all kept, equal ones once.

    ``bytes`` is their approximate memory.
    """

    def __init__(self) -> None:
        self._waiting: OrderedDict[int, Orphan] = OrderedDict()
        self._numbers_by_id: dict[str, list[int]] = {}
        self._next = 0
        self.bytes = 0
        self._count = 0
        self._bytes_limit = 0
        self._age_ms = 0

    def set_bounds(self, count: int, size_bytes: int, seconds: float) -> None:
        """Set the largest count, memory and age."""
        self._count = count
        self._bytes_limit = size_bytes
        self._age_ms = int(seconds * 1000)

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, identity: str, record: RawRecord, watermark_ms: int) -> list[RawRecord]:
        """Add a label; return the labels that leave: this one when an equal one waits already, else the oldest beyond
        a bound."""
        if any(self._waiting[n].record.value == record.value for n in self._numbers_by_id.get(identity, ())):
            return [record]
        self._append(Orphan(identity, record, watermark_ms))
        leaving = []
        while len(self._waiting) > self._count or self.bytes > self._bytes_limit:
            leaving.append(self._remove_oldest().record)
        return leaving

    def _append(self, orphan: Orphan) -> None:
        self._waiting[self._next] = orphan
        self.bytes += orphan.size
        self._numbers_by_id.setdefault(orphan.identity, []).append(self._next)
        self._next += 1

    def _remove_oldest(self) -> Orphan:
        number = next(iter(self._waiting))
        orphan = self._remove(number)
        numbers = self._numbers_by_id[orphan.identity]
        numbers.remove(number)
        if not numbers:
            del self._numbers_by_id[orphan.identity]
        return orphan

    def adopt(self, identity: str) -> list[RawRecord]:
        """Remove and return the labels of an instance that has arrived, in order of arrival."""
        return [self._remove(number).record for number in self._numbers_by_id.pop(identity, ())]

    def _remove(self, number: int) -> Orphan:
        orphan = self._waiting.pop(number)
        self.bytes -= orphan.size
        return orphan

    def set_back(self, watermark_ms: int) -> None:
        """Follow event time back: no label has come after it."""
        for number, orphan in self._waiting.items():
            self._waiting[number] = orphan._replace(since_ms=min(orphan.since_ms, watermark_ms))

    def sweep(self, watermark_ms: int) -> list[RawRecord]:
        """Remove and return the labels beyond the largest age."""
        expired = []
        while self._waiting and next(iter(self._waiting.values())).since_ms < watermark_ms - self._age_ms:
            expired.append(self._remove_oldest().record)
        return expired

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the orphans as named arrays."""
        orphans = list(self._waiting.values())
        records = [orphan.record for orphan in orphans]
        arrays: dict[str, np.ndarray] = {}
        arrays["orphans"], arrays["orphan_offsets"] = pack_texts([orphan.identity for orphan in orphans])
        arrays["orphan_topics"], arrays["orphan_topic_offsets"] = pack_texts([record.topic for record in records])
        arrays["orphan_places"] = np.array(
            [[r.partition, r.offset, r.timestamp_ms, o.since_ms] for r, o in zip(records, orphans, strict=True)],
            np.int64,
        ).reshape(-1, 4)
        packed = {
            "orphan_value": [record.value or b"" for record in records],
            "orphan_key": [b"-" if record.key is None else b"+" + record.key for record in records],
            "orphan_header_value": [value or b"" for record in records for _, value in record.headers],
        }
        for name, values in packed.items():
            arrays[f"{name}s"], arrays[f"{name}_offsets"] = pack_bytes(values)
        names = [name for record in records for name, _ in record.headers]
        arrays["orphan_header_names"], arrays["orphan_header_name_offsets"] = pack_texts(names)
        nulls = [value is None for record in records for _, value in record.headers]
        arrays["orphan_header_nulls"] = np.array(nulls, np.uint8)
        arrays["orphan_header_counts"] = np.array([len(record.headers) for record in records], np.int64)
        return arrays

    def load_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Replace the orphans by those of arrays; raises `ValueError`, `KeyError` or `IndexError` when the arrays do
        not fit each other."""
        self._waiting, self._numbers_by_id, self._next, self.bytes = OrderedDict(), {}, 0, 0
        header_names = unpack_texts(arrays["orphan_header_names"], arrays["orphan_header_name_offsets"])
        header_values = unpack_bytes(arrays["orphan_header_values"], arrays["orphan_header_value_offsets"])
        nulls = arrays["orphan_header_nulls"].tolist()
        headers = iter(
            [
                (name, None if is_null else value)
                for name, value, is_null in zip(header_names, header_values, nulls, strict=True)
            ]
        )
        for identity, topic, numbers, value, key, count in zip(
            unpack_texts(arrays["orphans"], arrays["orphan_offsets"]),
            unpack_texts(arrays["orphan_topics"], arrays["orphan_topic_offsets"]),
            arrays["orphan_places"].tolist(),
            unpack_bytes(arrays["orphan_values"], arrays["orphan_value_offsets"]),
            unpack_bytes(arrays["orphan_keys"], arrays["orphan_key_offsets"]),
            arrays["orphan_header_counts"].tolist(),
            strict=True,
        ):
            partition, offset, timestamp, since = numbers
            own = tuple(next(headers) for _ in range(count))
            record = RawRecord(topic, partition, offset, timestamp, None if key == b"-" else key[1:], value, own)
            self._append(Orphan(identity, record, since))
