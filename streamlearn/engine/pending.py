"""Instances that wait for their truth or may still get another one.

They are bounded by count, bytes and age. At a bound those that all is known of leave first, then the oldest. The id of
an instance that has left stays as a mark for one more age, so that its truth is told from one of an unknown id. Ages
are in event time: the largest timestamp applied, never above the journalled clock, minus the instance's timestamp.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from operator import attrgetter

import numpy as np

from streamlearn.codec.decode import Truth
from streamlearn.engine.orphans import Orphans
from streamlearn.engine.truths import truth_bytes, truth_of
from streamlearn.errors import SnapshotError
from streamlearn.plan import StoredInstance
from streamlearn.settings.model import LabelSettings
from streamlearn.source.base import RawRecord
from streamlearn.state.arrays import pack_bytes, pack_names, unpack_bytes, unpack_names

LEARNT, EXPIRED = 1, 2
_ENTRY_BYTES = 200


class Entry:
    """An instance: when it was, its bytes or the plan's operation that answered it, what is known of it as bytes, the
    learnt row that it is or the plan's operation that learns it, and whether what was never said was taken for false.
    """

    __slots__ = ("assumed", "instance", "learned_by", "row", "timestamp_ms", "truth")

    def __init__(self, timestamp_ms: int, instance: int | bytes, truth: bytes = b"", row: int = -1) -> None:
        self.timestamp_ms = timestamp_ms
        self.instance = instance
        self.truth = truth
        self.row = row
        self.learned_by = -1
        self.assumed = False

    @property
    def stored(self) -> StoredInstance | int:
        """The instance as a plan takes it."""
        return self.instance if isinstance(self.instance, int) else StoredInstance.unpacked(self.instance)

    @property
    def size(self) -> int:
        """Bytes that it takes, about."""
        return _ENTRY_BYTES + len(self.truth) + (0 if isinstance(self.instance, int) else len(self.instance))

    @property
    def complete(self) -> bool:
        """Whether all labels are known."""
        return self.truth.startswith(b"[")


class Pending:
    """The store of one task; ``labels`` has its bounds.

    Attributes
    ----------
    bytes:
        What the instances take, about.
    waiting:
        Instances without any truth.
    evicted:
        Instances that left while labels of them were not known, since the model began.
    """

    def __init__(self, labels: LabelSettings) -> None:
        self.orphans = Orphans()
        self.bound(labels)
        # What has left an ordinary dictionary is passed over each time that its first entry is looked for.
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._open: OrderedDict[str, None] = OrderedDict()
        self._settled: OrderedDict[str, None] = OrderedDict()
        self._marks: OrderedDict[str, tuple[int, int]] = OrderedDict()
        self.bytes = 0
        self.waiting = 0
        self.watermark_ms = 0
        self.evicted = 0

    def bound(self, labels: LabelSettings) -> None:
        """Set the bounds; the next sweep applies them."""
        self._count = labels.pending_count
        self._bytes_limit = labels.pending_bytes
        self._age_ms = int(labels.pending_seconds * 1000)
        self._negative_after_ms = int(labels.negative_after_seconds * 1000)
        self.orphans.bound(labels.orphan_count, labels.orphan_bytes, labels.orphan_seconds)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def kept(self) -> int:
        """Everything that is kept: instances, marks of those that have left, and labels whose instance has not come."""
        return len(self._entries) + len(self._marks) + len(self.orphans)

    def advance(self, timestamp_ms: int, now_ns: int) -> None:
        """Let event time reach a record's timestamp, but never pass the clock."""
        self.watermark_ms = max(self.watermark_ms, min(timestamp_ms, now_ns // 1_000_000))

    def entry(self, identity: str) -> Entry | None:
        """Return what is kept of an instance."""
        return self._entries.get(identity)

    def left(self, identity: str) -> int | None:
        """Return LEARNT or EXPIRED for an instance that has left, with a truth or without; None for an unknown id."""
        mark = self._marks.get(identity)
        return None if mark is None else mark[0]

    def knows(self, identity: str) -> bool:
        """Return whether an instance of this id has come."""
        return identity in self._entries or identity in self._marks

    def add(self, identity: str, timestamp_ms: int, operation: int, truth: Truth | None = None) -> Entry:
        """Keep the instance of a plan's operation; it replaces one of the same id."""
        self._remove(identity)
        self._marks.pop(identity, None)
        entry = self._entries[identity] = Entry(timestamp_ms, operation)
        self._open[identity] = None
        self.bytes += entry.size
        self.waiting += 1
        if truth is not None:
            self.tell(identity, truth)
        return entry

    def place(self, identity: str, operation: int, instance: bytes) -> None:
        """Put the packed instance where `add` had only its operation's number."""
        entry = self._entries.get(identity)
        # Of equal types alone: a number that equals bytes is none of ours.
        if entry is not None and isinstance(entry.instance, int) and entry.instance == operation:
            entry.instance = instance
            self.bytes += len(instance)

    def tell(self, identity: str, truth: Truth) -> None:
        """Note all that is known of an instance."""
        entry = self._entries[identity]
        data = truth_bytes(truth)
        self.bytes += len(data) - len(entry.truth)
        self.waiting -= 0 if entry.truth else 1
        entry.truth = data
        if entry.complete and identity in self._open:
            del self._open[identity]
            self._settled[identity] = None

    def silent(self) -> list[tuple[str, Entry, Truth | None]]:
        """Return the instances whose missing labels count as negative by now, with what is known of them."""
        if not self._negative_after_ms:
            return []
        limit = self.watermark_ms - self._negative_after_ms
        found = []
        for identity in self._open:
            entry = self._entries[identity]
            if entry.timestamp_ms > limit:
                break
            found.append((identity, entry, truth_of(entry.truth)))
        return found

    def _remove(self, identity: str) -> Entry | None:
        entry = self._entries.pop(identity, None)
        if entry is not None:
            self._open.pop(identity, None)
            self._settled.pop(identity, None)
            self.bytes -= entry.size
            self.waiting -= 0 if entry.truth else 1
        return entry

    def sweep(self) -> list[RawRecord]:
        """Apply the bounds at the end of a batch; return the labels whose time is over."""
        limit = self.watermark_ms - self._age_ms
        while self._entries:
            over = len(self._entries) > self._count or self.bytes > self._bytes_limit
            identity = next(iter(self._entries))
            if self._entries[identity].timestamp_ms >= limit:
                if not over:
                    break
                identity = next(iter(self._settled or self._entries))
            entry = self._remove(identity)
            assert entry is not None
            self._marks[identity] = (LEARNT if entry.truth else EXPIRED, entry.timestamp_ms)
            self.evicted += 0 if entry.complete else 1
        while self._marks:
            identity, (_, timestamp_ms) = next(iter(self._marks.items()))
            if len(self._marks) <= self._count and timestamp_ms >= limit - self._age_ms:
                break
            del self._marks[identity]
        return self.orphans.sweep(self.watermark_ms)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the store by name."""
        entries = list(self._entries.values())
        places = {identity: place for place, identity in enumerate(self._entries)} if self._settled else {}
        arrays: dict[str, np.ndarray] = {}
        arrays["ids"], arrays["id_offsets"] = pack_names(list(self._entries))
        arrays["timestamps"] = _numbers(entries, "timestamp_ms", np.int64)
        stored = [entry.instance for entry in entries if isinstance(entry.instance, bytes)]
        arrays["instances"], arrays["instance_offsets"] = pack_bytes(stored)
        arrays["truths"], arrays["truth_offsets"] = pack_bytes([entry.truth for entry in entries])
        arrays["learnt_rows"] = _numbers(entries, "row", np.int64)
        arrays["assumed"] = _numbers(entries, "assumed", np.uint8)
        arrays["settled"] = np.array([places[identity] for identity in self._settled], np.int64)
        arrays["marks"], arrays["mark_offsets"] = pack_names(list(self._marks))
        arrays["mark_states"] = np.array(list(self._marks.values()), np.int64).reshape(-1, 2)
        arrays["clock"] = np.array([self.watermark_ms, self.evicted], np.int64)
        return arrays | self.orphans.arrays()

    def load_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take a store over; raises `SnapshotError` when the arrays do not fit each other."""
        try:
            self._load(arrays)
            self.orphans.load_arrays(arrays)
        except (KeyError, IndexError, ValueError) as error:
            raise SnapshotError(f"the waiting instances in the snapshot cannot be read: {error}") from None

    def _load(self, arrays: Mapping[str, np.ndarray]) -> None:
        identities = unpack_names(arrays["ids"], arrays["id_offsets"])
        self._entries, self._open = OrderedDict(), OrderedDict()
        self.bytes = self.waiting = 0
        for identity, timestamp_ms, instance, truth, row, assumed in zip(
            identities,
            arrays["timestamps"].tolist(),
            unpack_bytes(arrays["instances"], arrays["instance_offsets"]),
            unpack_bytes(arrays["truths"], arrays["truth_offsets"]),
            arrays["learnt_rows"].tolist(),
            arrays["assumed"].tolist(),
            strict=True,
        ):
            entry = self._entries[identity] = Entry(timestamp_ms, instance, truth, row)
            entry.assumed = bool(assumed)
            self.bytes += entry.size
            self.waiting += 0 if truth else 1
            if not entry.complete:
                self._open[identity] = None
        self._settled = OrderedDict.fromkeys(identities[place] for place in arrays["settled"].tolist())
        marks = unpack_names(arrays["marks"], arrays["mark_offsets"])
        states = arrays["mark_states"].tolist()
        self._marks = OrderedDict((identity, (state, at)) for identity, (state, at) in zip(marks, states, strict=True))
        self.watermark_ms, self.evicted = arrays["clock"].tolist()


def _numbers(entries: Sequence[Entry], name: str, dtype: type[np.generic]) -> np.ndarray:
    return np.fromiter(map(attrgetter(name), entries), dtype, len(entries))
