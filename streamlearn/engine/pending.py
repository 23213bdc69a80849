"""Instances that wait for their truth, and labels that wait for their instance.

Both are bounded by count, bytes and age, the oldest leaving first. An instance whose truth has come stays as a mark
until its age limit, so that a second truth is told from an unknown id; so does one whose time is over. Ages are in
event time: the largest timestamp applied, never above the journalled clock, minus the instance's timestamp.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from streamlearn.errors import SnapshotError
from streamlearn.plan import StoredInstance
from streamlearn.source.base import RawRecord
from streamlearn.state.arrays import pack_names, unpack_names

WAITING, LEARNT, EXPIRED = 0, 1, 2
_ENTRY_BYTES = 200

_STORED = {
    "columns": np.int32,
    "values": np.float32,
    "rarity_weighted": np.float32,
    "bins": np.uint8,
    "recent_columns": np.int32,
    "recent_values": np.float32,
    "slots": np.int32,
    "generations": np.int64,
}
"""The arrays of a stored instance, in its order."""
_EDGES = {"entry_offsets": "columns", "recent_offsets": "recent_columns", "slot_offsets": "slots"}
"""Where one instance's part ends, and an array that has it."""
_EDGES_OF = {
    "columns": "entry_offsets",
    "values": "entry_offsets",
    "rarity_weighted": "entry_offsets",
    "bins": "entry_offsets",
    "recent_columns": "recent_offsets",
    "recent_values": "recent_offsets",
    "slots": "slot_offsets",
    "generations": "slot_offsets",
}


class Entry(NamedTuple):
    """An id's state: WAITING with its instance, or LEARNT or EXPIRED without."""

    status: int
    timestamp_ms: int
    instance: StoredInstance | int | None


class Orphan(NamedTuple):
    """A label record whose instance has not been seen, with the watermark at which it came."""

    record: RawRecord
    since_ms: int


class Pending:
    """The store of one task.

    Parameters
    ----------
    count, size_bytes, seconds:
        Bounds of the instances that wait.
    orphan_count, orphan_seconds:
        Bounds of the labels that wait.
    """

    def __init__(
        self, *, count: int, size_bytes: int, seconds: float, orphan_count: int, orphan_seconds: float
    ) -> None:
        self.bound(
            count=count,
            size_bytes=size_bytes,
            seconds=seconds,
            orphan_count=orphan_count,
            orphan_seconds=orphan_seconds,
        )
        self._entries: dict[str, Entry] = {}
        self._marks: dict[str, Entry] = {}
        self._orphans: dict[str, Orphan] = {}
        self.bytes = 0
        self.watermark_ms = 0
        self.evicted = 0

    def bound(self, *, count: int, size_bytes: int, seconds: float, orphan_count: int, orphan_seconds: float) -> None:
        """Set the bounds; the next sweep applies them."""
        self._count = count
        self._bytes_limit = size_bytes
        self._age_ms = int(seconds * 1000)
        self._orphan_count = orphan_count
        self._orphan_age_ms = int(orphan_seconds * 1000)

    @property
    def waiting(self) -> int:
        """Instances that wait."""
        return len(self._entries)

    @property
    def orphans(self) -> int:
        """Labels that wait."""
        return len(self._orphans)

    def advance(self, timestamp_ms: int, now_ns: int) -> None:
        """Let event time reach a record's timestamp, but never pass the clock."""
        self.watermark_ms = max(self.watermark_ms, min(timestamp_ms, now_ns // 1_000_000))

    def status(self, identity: str) -> int | None:
        """Return WAITING, LEARNT or EXPIRED; None for an id never seen or forgotten."""
        if identity in self._entries:
            return WAITING
        mark = self._marks.get(identity)
        return None if mark is None else mark.status

    def wait(self, identity: str, timestamp_ms: int, instance: int) -> None:
        """Let the instance of a plan's operation wait for its truth; it replaces one of the same id."""
        self.forget(identity)
        self._marks.pop(identity, None)
        self._entries[identity] = Entry(WAITING, timestamp_ms, instance)
        self.bytes += _ENTRY_BYTES

    def place(self, identity: str, operation: int, instance: StoredInstance) -> None:
        """Put the encoded instance where `wait` had only its operation's number."""
        entry = self._entries.get(identity)
        if entry is not None and entry.instance == operation:
            self._entries[identity] = entry._replace(instance=instance)
            self.bytes += instance.nbytes

    def take(self, identity: str) -> StoredInstance | int:
        """Return a waiting instance, whose truth has come, and leave a mark."""
        entry = self._entries[identity]
        assert entry.instance is not None
        self.forget(identity)
        self.mark_learnt(identity, entry.timestamp_ms)
        return entry.instance

    def mark_learnt(self, identity: str, timestamp_ms: int) -> None:
        """Remember that an id's truth was learnt."""
        # A mark that is set again moves to the end, so that the oldest stay first.
        self._marks.pop(identity, None)
        self._marks[identity] = Entry(LEARNT, timestamp_ms, None)

    def forget(self, identity: str) -> None:
        """Let an instance wait no longer."""
        entry = self._entries.pop(identity, None)
        if entry is not None:
            self.bytes -= _ENTRY_BYTES + (entry.instance.nbytes if isinstance(entry.instance, StoredInstance) else 0)

    def hold_orphan(self, identity: str, record: RawRecord) -> RawRecord | None:
        """Let a label wait for its instance; return the label that has to leave instead, if any."""
        if identity in self._orphans:
            return record
        self._orphans[identity] = Orphan(record, self.watermark_ms)
        if len(self._orphans) > self._orphan_count:
            oldest = next(iter(self._orphans))
            return self._orphans.pop(oldest).record
        return None

    def adopt(self, identity: str) -> RawRecord | None:
        """Return the label that waited for an instance that has come."""
        orphan = self._orphans.pop(identity, None)
        return None if orphan is None else orphan.record

    def sweep(self) -> list[RawRecord]:
        """Apply the bounds at the end of a batch; return the labels whose time is over."""
        limit = self.watermark_ms - self._age_ms
        while self._entries:
            identity, entry = next(iter(self._entries.items()))
            over = len(self._entries) > self._count or self.bytes > self._bytes_limit
            if not over and entry.timestamp_ms >= limit:
                break
            self.forget(identity)
            self._marks[identity] = Entry(EXPIRED, entry.timestamp_ms, None)
            self.evicted += 1
        while self._marks:
            identity, entry = next(iter(self._marks.items()))
            # An expired id is kept for one more age, to say why its label is refused.
            if len(self._marks) <= self._count and entry.timestamp_ms >= limit - self._age_ms:
                break
            del self._marks[identity]
        expired = []
        orphan_limit = self.watermark_ms - self._orphan_age_ms
        while self._orphans:
            identity, orphan = next(iter(self._orphans.items()))
            if orphan.since_ms >= orphan_limit:
                break
            del self._orphans[identity]
            expired.append(orphan.record)
        return expired

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the store by name."""
        entries = list(self._entries.items())
        instances = [entry.instance for _, entry in entries]
        stored = [instance for instance in instances if isinstance(instance, StoredInstance)]
        arrays: dict[str, np.ndarray] = {}
        arrays["ids"], arrays["id_offsets"] = pack_names([identity for identity, _ in entries])
        arrays["timestamps"] = np.array([entry.timestamp_ms for _, entry in entries], np.int64)
        for name, dtype in _STORED.items():
            parts = [getattr(instance, name) for instance in stored]
            arrays[name] = np.concatenate(parts).astype(dtype) if parts else np.zeros(0, dtype)
        for name, part in _EDGES.items():
            arrays[name] = np.zeros(len(stored) + 1, np.int64)
            np.cumsum([getattr(instance, part).size for instance in stored], out=arrays[name][1:])
        marks = list(self._marks.items())
        arrays["marks"], arrays["mark_offsets"] = pack_names([identity for identity, _ in marks])
        arrays["mark_states"] = np.array([[mark.status, mark.timestamp_ms] for _, mark in marks], np.int64).reshape(
            -1, 2
        )
        orphans = [(identity, orphan.record, orphan.since_ms) for identity, orphan in self._orphans.items()]
        arrays["orphans"], arrays["orphan_offsets"] = pack_names([identity for identity, _, _ in orphans])
        arrays["orphan_topics"], arrays["orphan_topic_offsets"] = pack_names([record.topic for _, record, _ in orphans])
        arrays["orphan_places"] = np.array(
            [[record.partition, record.offset, record.timestamp_ms, since] for _, record, since in orphans], np.int64
        ).reshape(-1, 4)
        values = [record.value or b"" for _, record, _ in orphans]
        arrays["orphan_values"] = np.frombuffer(b"".join(values), np.uint8).copy()
        arrays["orphan_value_offsets"] = np.zeros(len(values) + 1, np.int64)
        np.cumsum([len(value) for value in values], out=arrays["orphan_value_offsets"][1:])
        keys = [b"-" if record.key is None else b"+" + record.key for _, record, _ in orphans]
        arrays["orphan_keys"] = np.frombuffer(b"".join(keys), np.uint8).copy()
        arrays["orphan_key_offsets"] = np.zeros(len(keys) + 1, np.int64)
        np.cumsum([len(key) for key in keys], out=arrays["orphan_key_offsets"][1:])
        header_names: list[str] = []
        header_values: list[bytes] = []
        header_counts: list[int] = []
        for _, record, _ in orphans:
            header_counts.append(len(record.headers))
            header_names.extend(name for name, _ in record.headers)
            header_values.extend(value or b"" for _, value in record.headers)
        arrays["orphan_header_counts"] = np.array(header_counts, np.int64)
        arrays["orphan_header_names"], arrays["orphan_header_name_offsets"] = pack_names(header_names)
        arrays["orphan_header_values"] = np.frombuffer(b"".join(header_values), np.uint8).copy()
        arrays["orphan_header_value_offsets"] = np.zeros(len(header_values) + 1, np.int64)
        np.cumsum([len(value) for value in header_values], out=arrays["orphan_header_value_offsets"][1:])
        arrays["clock"] = np.array([self.watermark_ms, self.evicted], np.int64)
        return arrays

    def load_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take a store over; raises `SnapshotError` when the arrays do not fit each other."""
        try:
            self._load(arrays)
        except (KeyError, IndexError, ValueError) as error:
            raise SnapshotError(f"the waiting instances in the snapshot cannot be read: {error}") from None

    def _load(self, arrays: Mapping[str, np.ndarray]) -> None:
        self._entries.clear()
        self._marks.clear()
        self._orphans.clear()
        self.bytes = 0
        edges_of = {name: arrays[name].tolist() for name in _EDGES}
        timestamps = arrays["timestamps"].tolist()
        for place, identity in enumerate(unpack_names(arrays["ids"], arrays["id_offsets"])):
            within = {name: slice(*edges[place : place + 2]) for name, edges in edges_of.items()}
            instance = StoredInstance(
                *(np.array(arrays[name][within[_EDGES_OF[name]]], dtype) for name, dtype in _STORED.items())
            )
            self._entries[identity] = Entry(WAITING, timestamps[place], instance)
            self.bytes += instance.nbytes + _ENTRY_BYTES
        for identity, (status, timestamp) in zip(
            unpack_names(arrays["marks"], arrays["mark_offsets"]), arrays["mark_states"].tolist(), strict=True
        ):
            self._marks[identity] = Entry(status, timestamp, None)
        values, edges = arrays["orphan_values"].tobytes(), arrays["orphan_value_offsets"].tolist()
        keys, key_edges = arrays["orphan_keys"].tobytes(), arrays["orphan_key_offsets"].tolist()
        header_names = unpack_names(arrays["orphan_header_names"], arrays["orphan_header_name_offsets"])
        header_values = arrays["orphan_header_values"].tobytes()
        header_edges = arrays["orphan_header_value_offsets"].tolist()
        topics = unpack_names(arrays["orphan_topics"], arrays["orphan_topic_offsets"])
        header = 0
        for place, identity in enumerate(unpack_names(arrays["orphans"], arrays["orphan_offsets"])):
            partition, offset, timestamp, since = arrays["orphan_places"][place].tolist()
            key = keys[key_edges[place] : key_edges[place + 1]]
            count = int(arrays["orphan_header_counts"][place])
            headers = tuple(
                (header_names[at], header_values[header_edges[at] : header_edges[at + 1]])
                for at in range(header, header + count)
            )
            header += count
            record = RawRecord(
                topics[place],
                partition,
                offset,
                timestamp,
                None if key == b"-" else key[1:],
                values[edges[place] : edges[place + 1]],
                headers,
            )
            self._orphans[identity] = Orphan(record, since)
        self.watermark_ms, self.evicted = arrays["clock"].tolist()
