"""Pending instances: answered instances that wait for their truth, or may still be corrected.

They are bounded by count, bytes and age. At a bound of count or bytes, instances with a complete truth leave first,
then those that came first. The id of an instance that has left stays as a tombstone for one more age, so that its
labels are not taken for those of an unknown instance. Ages are in event time (`event_clock`): its distance to the
instance's timestamp. Instances become too old, and their missing labels negative, in the order of their timestamps.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

import numpy as np

from streamlearn.codec.decode import Truth
from streamlearn.engine.waiting.event_clock import EventClock
from streamlearn.engine.waiting.linked_queues import NONE, LinkedQueues
from streamlearn.engine.waiting.orphan_labels import Orphans
from streamlearn.engine.waiting.packed_bytes import PackedBytes
from streamlearn.engine.waiting.time_order import find_before
from streamlearn.engine.waiting.truth_updates import decode_truth, encode_truth
from streamlearn.errors import MissingArrayError, SnapshotError
from streamlearn.settings.settings import LabelSettings
from streamlearn.source.base import RawRecord
from streamlearn.state.arrays import iter_packed_bytes, pack_texts, unpack_texts
from streamlearn.state.growth import capacity, grow

_ENTRY_BYTES = 200


class InstanceState(IntEnum):
    """The state of a number of `Pending`; snapshots hold the values of tombstones."""

    FREE = 0  # nothing
    LEARNT = 1  # the tombstone of an instance that left with a truth
    EXPIRED = 2  # the tombstone of an instance that left without one
    OPEN = 3  # an instance some of whose labels are unknown
    COMPLETE = 4  # an instance whose labels are all known


class _ArrivalQueue(IntEnum):
    """Queues of all numbers in use."""

    INSTANCES = 0  # in order of arrival
    TOMBSTONES = 1  # in the order in which the instances left


# Bound to plain integers: before Python 3.12, reading members of an enum takes a third of the time per record here.
_FREE, _LEARNT, _EXPIRED, _OPEN, _COMPLETE = map(int, InstanceState)
_INSTANCES, _TOMBSTONES = map(int, _ArrivalQueue)
_LEFT = (_LEARNT, _EXPIRED)
_FIRST_CAPACITY = 1_024


class PendingEntry:
    """A pending instance, by the number that it has until it leaves."""

    __slots__ = ("_pending", "number")

    def __init__(self, pending: Pending, number: int) -> None:
        self._pending = pending
        self.number = number

    @property
    def instance(self) -> bytes:
        """The packed instance; empty in the batch with which it arrived."""
        return self._pending.instances.get(self.number)

    @property
    def truth(self) -> bytes:
        """The known labels as `encode_truth` gives them; empty without any."""
        return self._pending.truths.get(self.number)

    @property
    def row(self) -> int:
        """The learnt row of the instance, or -1."""
        return self._pending.rows[self.number]

    @row.setter
    def row(self, row: int) -> None:
        self._pending.rows[self.number] = row

    @property
    def assumed(self) -> bool:
        """Whether labels that were not named were taken as negative."""
        return bool(self._pending.assumed[self.number])

    @assumed.setter
    def assumed(self, assumed: bool) -> None:
        self._pending.assumed[self.number] = assumed


class Pending:
    """The pending instances of one task.

    Each instance has a number, which indexes every array and queue; it is given to another instance only after the
    batch in which the first one left.

    Parameters
    ----------
    labels:
        The bounds.

    Attributes
    ----------
    bytes:
        Approximate memory of the instances.
    waiting:
        Instances without any truth.
    evicted:
        Instances that left with unknown labels since the model began.
    clock:
        Event time.
    orphans:
        Labels whose instance has not been seen.
    instances, truths:
        The packed instances and the encoded truths, by number.
    rows, assumed:
        `PendingEntry.row` and `PendingEntry.assumed`, by number.
    """

    def __init__(self, labels: LabelSettings) -> None:
        self.orphans = Orphans()
        self.clock = EventClock()
        self.evicted = 0
        self._clear()
        self.set_bounds(labels)

    def _clear(self) -> None:
        self._number_by_id: dict[str, int] = {}
        self._names: list[str] = []
        self._free: list[int] = []
        self._freed_in_batch: list[int] = []
        self.instances = PackedBytes()
        self.truths = PackedBytes()
        self._arrivals = LinkedQueues(len(_ArrivalQueue))
        self._complete_truths = LinkedQueues(1)  # instances in the order in which their truths became complete
        self._timestamps_array = np.zeros(0, np.int64)
        self._places_array = np.zeros(0, np.int64)  # in the order of arrival or, for tombstones, of leaving
        self._next_place = 0
        self._rows_array = np.zeros(0, np.int64)
        self._assumed_array = np.zeros(0, np.uint8)
        self._states_array = np.zeros(0, np.uint8)
        self._reserve(_FIRST_CAPACITY)
        self.bytes = 0
        self.waiting = 0

    def _reserve(self, count: int) -> None:
        """Make room for ``count`` instances and tombstones."""
        size = capacity(count, len(self._names))
        self._timestamps_array = grow(self._timestamps_array, size)
        self._places_array = grow(self._places_array, size)
        self._rows_array = grow(self._rows_array, size)
        self._assumed_array = grow(self._assumed_array, size)
        self._states_array = grow(self._states_array, size)
        # Single values are read and written several times as fast through a memoryview.
        self._timestamps, self.rows = self._timestamps_array.data, self._rows_array.data
        self._places = self._places_array.data
        self.assumed, self._states = self._assumed_array.data, self._states_array.data
        for each in (self.instances, self.truths, self._arrivals, self._complete_truths):
            each.reserve(size)
        self._free.extend(range(size - 1, len(self._names) - 1, -1))
        self._names.extend([""] * (size - len(self._names)))

    def set_bounds(self, labels: LabelSettings) -> None:
        """Set the bounds; the next `sweep` applies them."""
        self._count = labels.pending_count
        self._bytes_limit = labels.pending_bytes
        self._age_ms = int(labels.pending_seconds * 1000)
        self.orphans.set_bounds(labels.orphan_count, labels.orphan_bytes, labels.orphan_seconds)
        self.clock.set_tolerance(int(labels.clock_tolerance_seconds * 1000))
        self._negative_after_ms = int(labels.negative_after_seconds * 1000)

    def __len__(self) -> int:
        return self._arrivals.size(_INSTANCES)

    @property
    def n_kept(self) -> int:
        """Number of instances, tombstones and orphans."""
        return len(self._number_by_id) + len(self.orphans)

    @property
    def watermark_ms(self) -> int:
        """Event time, in milliseconds since the epoch; negative before the first record."""
        return self.clock.time_ms

    def observe(self, timestamp_ms: int, now_ms: int) -> int:
        """Move event time by a record; return the time to take for that of the record, as `EventClock.observe`."""
        before = self.clock.time_ms
        stamp = self.clock.observe(timestamp_ms, now_ms)
        if self.clock.time_ms < before:
            self.orphans.set_back(self.clock.time_ms)
        return stamp

    def get(self, identity: str) -> PendingEntry | None:
        """Return the pending instance of an id."""
        number = self._number_by_id.get(identity)
        return None if number is None or self._states[number] in _LEFT else PendingEntry(self, number)

    def tombstone(self, identity: str) -> int | None:
        """Return LEARNT or EXPIRED for an instance that has left, with a truth or without; None for other ids."""
        number = self._number_by_id.get(identity)
        return None if number is None or self._states[number] not in _LEFT else self._states[number]

    def has_seen(self, identity: str) -> bool:
        """Return whether an id is that of a pending instance or of a tombstone."""
        return identity in self._number_by_id

    def add(self, identity: str, timestamp_ms: int, truth: Truth | None = None) -> PendingEntry:
        """Add an instance, whose bytes `store_instance` sets later; it replaces one of the same id."""
        replaced = self._number_by_id.pop(identity, None)
        if replaced is not None:
            self._remove(replaced)
        if not self._free:
            self._reserve(len(self._names) + 1)
        number = self._free.pop()
        self._number_by_id[identity] = number
        self._names[number] = identity
        self._timestamps[number] = timestamp_ms
        self.rows[number] = -1
        self.assumed[number] = False
        self._states[number] = _OPEN
        self._arrivals.append(_INSTANCES, number)
        self._places[number] = self._next_place
        self._next_place += 1
        self.bytes += _ENTRY_BYTES
        self.waiting += 1
        entry = PendingEntry(self, number)
        if truth is not None:
            self.set_truth(entry, truth)
        return entry

    def store_instance(self, entry: PendingEntry, instance: bytes) -> None:
        """Set the bytes of an instance, unless another of the same id has replaced it within the batch."""
        if self._states[entry.number] in (_OPEN, _COMPLETE):
            self.bytes += len(instance) - self.instances.length(entry.number)
            self.instances.put(entry.number, instance)

    def set_truth(self, entry: PendingEntry, truth: Truth) -> None:
        """Set all that is known of an instance's labels."""
        number = entry.number
        data = encode_truth(truth)
        before = self.truths.length(number)
        self.bytes += len(data) - before
        self.waiting -= 0 if before else 1
        self.truths.put(number, data)
        if _is_complete(data) and self._states[number] == _OPEN:
            self._complete(number)

    def _complete(self, number: int) -> None:
        self._complete_truths.append(0, number)
        self._states[number] = _COMPLETE

    def find_overdue(self) -> list[tuple[PendingEntry, Truth | None]]:
        """Return the instances whose missing labels count as negative by now, with their truths."""
        if not self._negative_after_ms:
            return []
        limit = self.watermark_ms - self._negative_after_ms
        numbers = self._find_before(limit + 1, self._states_array == _OPEN)
        return [(PendingEntry(self, number), decode_truth(self.truths.get(number))) for number in numbers]

    def _find_before(self, end_ms: int, is_wanted: np.ndarray) -> list[int]:
        return find_before(end_ms, self._timestamps_array, is_wanted, self._places_array)

    def _remove(self, number: int) -> None:
        """Remove an instance or tombstone whose id was removed."""
        if self._states[number] in _LEFT:
            self._arrivals.remove(_TOMBSTONES, number)
        else:
            self._clear_instance(number)
        self._states[number] = _FREE
        self._names[number] = ""
        # The batch may still write to the number, so it is free for another instance only when the batch is done.
        self._freed_in_batch.append(number)

    def _clear_instance(self, number: int) -> None:
        """Remove the instance and the truth of a number."""
        known = self.truths.length(number)
        self.bytes -= _ENTRY_BYTES + known + self.instances.length(number)
        self.waiting -= 0 if known else 1
        self._arrivals.remove(_INSTANCES, number)
        if self._states[number] == _COMPLETE:
            self._complete_truths.remove(0, number)
        self.instances.clear(number)
        self.truths.clear(number)

    def _bury(self, number: int) -> None:
        """Replace an instance by its tombstone."""
        known = self.truths.length(number)
        self.evicted += 1 if self._states[number] == _OPEN else 0
        self._clear_instance(number)
        self._arrivals.append(_TOMBSTONES, number)
        self._places[number] = self._next_place
        self._next_place += 1
        self._states[number] = _LEARNT if known else _EXPIRED

    def _forget(self, number: int) -> None:
        """Remove a tombstone."""
        del self._number_by_id[self._names[number]]
        self._remove(number)

    def sweep(self) -> list[RawRecord]:
        """Apply the bounds at the end of a batch; return the orphans that have expired."""
        limit = self.watermark_ms - self._age_ms
        for number in self._find_before(limit, self._states_array >= _OPEN):
            self._bury(number)
        while len(self) > self._count or (self.bytes > self._bytes_limit and len(self)):
            complete = self._complete_truths.first(0)
            self._bury(self._arrivals.first(_INSTANCES) if complete == NONE else complete)
        for number in self._find_before(
            limit - self._age_ms, (self._states_array > _FREE) & (self._states_array < _OPEN)
        ):
            self._forget(number)
        while self._arrivals.size(_TOMBSTONES) > self._count:
            self._forget(self._arrivals.first(_TOMBSTONES))
        self._free.extend(self._freed_in_batch)
        self._freed_in_batch.clear()
        self.instances.compact()
        self.truths.compact()
        return self.orphans.sweep(self.watermark_ms)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the store as named arrays."""
        entries = self._arrivals.numbers(_INSTANCES)
        tombstones = self._arrivals.numbers(_TOMBSTONES)
        positions = np.empty(len(self._names), np.int64)  # of each number in the queue of instances
        positions[entries] = np.arange(entries.size)
        arrays: dict[str, np.ndarray] = {}
        arrays["ids"], arrays["id_offsets"] = pack_texts([self._names[number] for number in entries.tolist()])
        arrays["timestamps"] = self._timestamps_array[entries]
        arrays["instances"], arrays["instance_offsets"] = self.instances.pack(entries)
        arrays["truths"], arrays["truth_offsets"] = self.truths.pack(entries)
        arrays["learnt_rows"] = self._rows_array[entries]
        arrays["assumed"] = self._assumed_array[entries]
        arrays["settled"] = positions[self._complete_truths.numbers(0)]
        arrays["marks"], arrays["mark_offsets"] = pack_texts([self._names[number] for number in tombstones.tolist()])
        arrays["mark_states"] = np.stack([self._states_array[tombstones], self._timestamps_array[tombstones]], axis=1)
        event_time, *rest = self.clock.state()
        arrays["clock"] = np.array([event_time, self.evicted, *rest], np.int64)
        return arrays | self.orphans.arrays()

    def load_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Replace the store by that of arrays; raises `SnapshotError` when they do not fit each other."""
        try:
            self._load(arrays)
            self.orphans.load_arrays(arrays)
        except MissingArrayError:
            raise
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise SnapshotError(f"the waiting instances in the snapshot cannot be read: {error}") from None

    def _load(self, arrays: Mapping[str, np.ndarray]) -> None:
        self._clear()
        identities = unpack_texts(arrays["ids"], arrays["id_offsets"])
        tombstones = unpack_texts(arrays["marks"], arrays["mark_offsets"])
        self._reserve(len(identities) + len(tombstones))
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
                raise ValueError(f"instance {identity!r} has no bytes")
            entry = self.add(identity, timestamp_ms)
            self.store_instance(entry, instance)
            self.truths.put(entry.number, truth)
            self.bytes += len(truth)
            self.waiting -= 1 if truth else 0
            entry.row, entry.assumed = row, bool(assumed)
            entries.append(entry.number)
            if _is_complete(truth):
                complete.add(entry.number)
        completed = [entries[position] for position in arrays["settled"].tolist()]
        if set(completed) != complete:
            raise ValueError("`settled` does not list the instances with a complete truth")
        for number in dict.fromkeys(completed):
            self._complete(number)
        for identity, (state, timestamp_ms) in zip(tombstones, arrays["mark_states"].tolist(), strict=True):
            if state not in _LEFT:
                raise ValueError(f"{identity!r} has the state {state}, which no tombstone has")
            number = self.add(identity, timestamp_ms).number
            self._bury(number)
            self._states[number] = state
        event_time, self.evicted, *rest = arrays["clock"].tolist()
        self.clock.load([event_time, *rest])
        if len(self._number_by_id) != len(identities) + len(tombstones):
            raise ValueError("an id occurs twice")


def _is_complete(truth: bytes) -> bool:
    return truth.startswith(b"[")
