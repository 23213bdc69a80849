"""Instances that wait for their truth or may still get another one.

They are bounded by count, bytes and age. At a bound those that all is known of leave first, then the oldest. The id of
an instance that has left stays as a mark for one more age, so that its truth is told from one of an unknown id. Ages
are in event time: the largest timestamp applied, never above the journalled clock, minus the instance's timestamp.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from streamlearn.codec.decode import Truth
from streamlearn.engine.waiting.linked_queues import NOBODY, LinkedQueues
from streamlearn.engine.waiting.orphans import Orphans
from streamlearn.engine.waiting.packed_bytes import PackedBytes
from streamlearn.engine.waiting.truth_updates import truth_bytes, truth_of
from streamlearn.errors import SnapshotError
from streamlearn.settings.settings import LabelSettings
from streamlearn.source.base import RawRecord
from streamlearn.state.arrays import iter_packed_bytes, pack_names, unpack_names
from streamlearn.state.growth import capacity, grow

_ENTRY_BYTES = 200
_GONE, LEARNT, EXPIRED, _OPEN, _SETTLED = range(5)
"""What a number is: nothing, the mark of an instance that left with a truth or without, an instance that labels are
missing of, one that all is known of."""
_MARKS = (LEARNT, EXPIRED)
_QUEUE_ENTRIES, _QUEUE_MARKS = range(2)
"""Of all numbers, in the order in which they came or left."""
_QUEUE_OPEN, _QUEUE_SETTLED = range(2)
"""Of instances, in the order in which they came or became known."""
_FIRST_ROOM = 1_024


class Entry:
    """An instance that is kept, by the number that it has until it leaves."""

    __slots__ = ("_pending", "number")

    def __init__(self, pending: Pending, number: int) -> None:
        self._pending = pending
        self.number = number

    @property
    def instance(self) -> bytes:
        """The packed instance; empty in the batch that it came with."""
        return self._pending.instances.get(self.number)

    @property
    def truth(self) -> bytes:
        """What is known of its labels, as bytes."""
        return self._pending.truths.get(self.number)

    @property
    def row(self) -> int:
        """The learnt row that it is, or -1."""
        return self._pending.rows[self.number]

    @row.setter
    def row(self, row: int) -> None:
        self._pending.rows[self.number] = row

    @property
    def assumed(self) -> bool:
        """Whether what was never said was taken for false."""
        return bool(self._pending.assumed[self.number])

    @assumed.setter
    def assumed(self, assumed: bool) -> None:
        self._pending.assumed[self.number] = assumed


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
    instances, truths:
        The packed instances, and what is known of their labels, by number.
    rows, assumed:
        As `Entry` says, by number.
    """

    def __init__(self, labels: LabelSettings) -> None:
        self.orphans = Orphans()
        self.bound(labels)
        self.evicted = 0
        self.watermark_ms = 0
        self._clear()

    def _clear(self) -> None:
        self._number_of: dict[str, int] = {}
        self._names: list[str] = []
        self._free: list[int] = []
        self._left_now: list[int] = []
        self.instances = PackedBytes()
        self.truths = PackedBytes()
        self._order = LinkedQueues(2)
        self._known = LinkedQueues(2)
        self._timestamps_array = np.zeros(0, np.int64)
        self._rows_array = np.zeros(0, np.int64)
        self._assumed_array = np.zeros(0, np.uint8)
        self._states_array = np.zeros(0, np.uint8)
        self._reserve(_FIRST_ROOM)
        self.bytes = 0
        self.waiting = 0

    def _reserve(self, count: int) -> None:
        """Let so many instances and marks have room."""
        room = capacity(count, len(self._names))
        self._timestamps_array = grow(self._timestamps_array, room)
        self._rows_array = grow(self._rows_array, room)
        self._assumed_array = grow(self._assumed_array, room)
        self._states_array = grow(self._states_array, room)
        # Single values are read and written several times as fast through a memoryview.
        self._timestamps, self.rows = self._timestamps_array.data, self._rows_array.data
        self.assumed, self._states = self._assumed_array.data, self._states_array.data
        for each in (self.instances, self.truths, self._order, self._known):
            each.reserve(room)
        self._free.extend(range(room - 1, len(self._names) - 1, -1))
        self._names.extend([""] * (room - len(self._names)))

    def bound(self, labels: LabelSettings) -> None:
        """Set the bounds; the next sweep applies them."""
        self._count = labels.pending_count
        self._bytes_limit = labels.pending_bytes
        self._age_ms = int(labels.pending_seconds * 1000)
        self._negative_after_ms = int(labels.negative_after_seconds * 1000)
        self.orphans.bound(labels.orphan_count, labels.orphan_bytes, labels.orphan_seconds)

    def __len__(self) -> int:
        return self._order.size(_QUEUE_ENTRIES)

    @property
    def kept(self) -> int:
        """Everything that is kept: instances, marks of those that have left, and labels whose instance has not come."""
        return len(self._number_of) + len(self.orphans)

    def advance(self, timestamp_ms: int, now_ns: int) -> None:
        """Let event time reach a record's timestamp, but never pass the clock."""
        self.watermark_ms = max(self.watermark_ms, min(timestamp_ms, now_ns // 1_000_000))

    def entry(self, identity: str) -> Entry | None:
        """Return what is kept of an instance."""
        number = self._number_of.get(identity)
        return None if number is None or self._states[number] in _MARKS else Entry(self, number)

    def left(self, identity: str) -> int | None:
        """Return LEARNT or EXPIRED for an instance that has left, with a truth or without; None for an unknown id."""
        number = self._number_of.get(identity)
        return None if number is None or self._states[number] not in _MARKS else self._states[number]

    def knows(self, identity: str) -> bool:
        """Return whether an instance of this id has come."""
        return identity in self._number_of

    def add(self, identity: str, timestamp_ms: int, truth: Truth | None = None) -> Entry:
        """Keep an instance, which `place` gives its bytes; it replaces one of the same id."""
        before = self._number_of.pop(identity, None)
        if before is not None:
            self._forget(before)
        if not self._free:
            self._reserve(len(self._names) + 1)
        number = self._free.pop()
        self._number_of[identity] = number
        self._names[number] = identity
        self._timestamps[number] = timestamp_ms
        self.rows[number] = -1
        self.assumed[number] = False
        self._states[number] = _OPEN
        self._order.append(_QUEUE_ENTRIES, number)
        self._known.append(_QUEUE_OPEN, number)
        self.bytes += _ENTRY_BYTES
        self.waiting += 1
        entry = Entry(self, number)
        if truth is not None:
            self.tell(entry, truth)
        return entry

    def place(self, entry: Entry, instance: bytes) -> None:
        """Keep the bytes of an instance, if another of the same id has not replaced it in its own batch."""
        if self._states[entry.number] in (_OPEN, _SETTLED):
            self.bytes += len(instance) - self.instances.length(entry.number)
            self.instances.put(entry.number, instance)

    def tell(self, entry: Entry, truth: Truth) -> None:
        """Note all that is known of an instance."""
        number = entry.number
        data = truth_bytes(truth)
        before = self.truths.length(number)
        self.bytes += len(data) - before
        self.waiting -= 0 if before else 1
        self.truths.put(number, data)
        if _is_complete(data) and self._states[number] == _OPEN:
            self._settle(number)

    def _settle(self, number: int) -> None:
        self._known.remove(_QUEUE_OPEN, number)
        self._known.append(_QUEUE_SETTLED, number)
        self._states[number] = _SETTLED

    def silent(self) -> list[tuple[Entry, Truth | None]]:
        """Return the instances whose missing labels count as negative by now, with what is known of them."""
        if not self._negative_after_ms:
            return []
        limit = self.watermark_ms - self._negative_after_ms
        found = []
        for number in self._known.each(_QUEUE_OPEN):
            if self._timestamps[number] > limit:
                break
            found.append((Entry(self, number), truth_of(self.truths.get(number))))
        return found

    def _forget(self, number: int) -> None:
        """Keep nothing of a number whose id is no longer known."""
        if self._states[number] in _MARKS:
            self._order.remove(_QUEUE_MARKS, number)
        else:
            self._let_go(number)
        self._states[number] = _GONE
        self._names[number] = ""
        # The batch may still write to it: another instance gets the number when that batch is done.
        self._left_now.append(number)

    def _let_go(self, number: int) -> None:
        """Keep no instance and no truth of a number."""
        known = self.truths.length(number)
        self.bytes -= _ENTRY_BYTES + known + self.instances.length(number)
        self.waiting -= 0 if known else 1
        self._order.remove(_QUEUE_ENTRIES, number)
        self._known.remove(_QUEUE_OPEN if self._states[number] == _OPEN else _QUEUE_SETTLED, number)
        self.instances.clear(number)
        self.truths.clear(number)

    def _mark(self, number: int) -> None:
        """Let an instance leave, and its id stay."""
        known = self.truths.length(number)
        self.evicted += 1 if self._states[number] == _OPEN else 0
        self._let_go(number)
        self._order.append(_QUEUE_MARKS, number)
        self._states[number] = LEARNT if known else EXPIRED

    def sweep(self) -> list[RawRecord]:
        """Apply the bounds at the end of a batch; return the labels whose time is over."""
        limit = self.watermark_ms - self._age_ms
        while len(self):
            over = len(self) > self._count or self.bytes > self._bytes_limit
            number = self._order.first(_QUEUE_ENTRIES)
            if self._timestamps[number] >= limit:
                if not over:
                    break
                settled = self._known.first(_QUEUE_SETTLED)
                number = number if settled == NOBODY else settled
            self._mark(number)
        while self._order.size(_QUEUE_MARKS):
            number = self._order.first(_QUEUE_MARKS)
            if self._order.size(_QUEUE_MARKS) <= self._count and self._timestamps[number] >= limit - self._age_ms:
                break
            del self._number_of[self._names[number]]
            self._forget(number)
        self._free.extend(self._left_now)
        self._left_now.clear()
        self.instances.tidy()
        self.truths.tidy()
        return self.orphans.sweep(self.watermark_ms)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the store by name."""
        entries, marks = self._order.numbers(_QUEUE_ENTRIES), self._order.numbers(_QUEUE_MARKS)
        places = np.empty(len(self._names), np.int64)
        places[entries] = np.arange(entries.size)
        arrays: dict[str, np.ndarray] = {}
        arrays["ids"], arrays["id_offsets"] = pack_names([self._names[number] for number in entries.tolist()])
        arrays["timestamps"] = self._timestamps_array[entries]
        arrays["instances"], arrays["instance_offsets"] = self.instances.gather(entries)
        arrays["truths"], arrays["truth_offsets"] = self.truths.gather(entries)
        arrays["learnt_rows"] = self._rows_array[entries]
        arrays["assumed"] = self._assumed_array[entries]
        arrays["settled"] = places[self._known.numbers(_QUEUE_SETTLED)]
        arrays["marks"], arrays["mark_offsets"] = pack_names([self._names[number] for number in marks.tolist()])
        arrays["mark_states"] = np.stack([self._states_array[marks], self._timestamps_array[marks]], axis=1)
        arrays["clock"] = np.array([self.watermark_ms, self.evicted], np.int64)
        return arrays | self.orphans.arrays()

    def load_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take a store over; raises `SnapshotError` when the arrays do not fit each other."""
        try:
            self._load(arrays)
            self.orphans.load_arrays(arrays)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise SnapshotError(f"the waiting instances in the snapshot cannot be read: {error}") from None

    def _load(self, arrays: Mapping[str, np.ndarray]) -> None:
        self._clear()
        identities = unpack_names(arrays["ids"], arrays["id_offsets"])
        marks = unpack_names(arrays["marks"], arrays["mark_offsets"])
        self._reserve(len(identities) + len(marks))
        entries, complete = [], set()
        for identity, timestamp_ms, instance, truth, row, assumed in zip(
            identities,
            arrays["timestamps"].tolist(),
            iter_packed_bytes(arrays["instances"], arrays["instance_offsets"]),
            iter_packed_bytes(arrays["truths"], arrays["truth_offsets"]),
            arrays["learnt_rows"].tolist(),
            arrays["assumed"].tolist(),
            strict=True,
        ):
            if not instance:
                raise ValueError(f"nothing is kept of instance {identity!r}")
            entry = self.add(identity, timestamp_ms)
            self.place(entry, instance)
            self.truths.put(entry.number, truth)
            self.bytes += len(truth)
            self.waiting -= 1 if truth else 0
            entry.row, entry.assumed = row, bool(assumed)
            entries.append(entry.number)
            if _is_complete(truth):
                complete.add(entry.number)
        settled = [entries[place] for place in arrays["settled"].tolist()]
        if set(settled) != complete:
            raise ValueError("those that all is known of are others")
        for number in dict.fromkeys(settled):
            self._settle(number)
        for identity, (state, timestamp_ms) in zip(marks, arrays["mark_states"].tolist(), strict=True):
            if state not in _MARKS:
                raise ValueError(f"an instance left as {state}")
            number = self.add(identity, timestamp_ms).number
            self._mark(number)
            self._states[number] = state
        self.watermark_ms, self.evicted = arrays["clock"].tolist()
        if len(self._number_of) != len(identities) + len(marks):
            raise ValueError("an id occurs twice")


def _is_complete(truth: bytes) -> bool:
    return truth.startswith(b"[")
