"""Instances become too old, and their missing labels negative, in the order of their times: a naive twin agrees."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from streamlearn.engine.waiting.event_clock import CONFIRMATIONS
from streamlearn.engine.waiting.pending_instances import Pending
from streamlearn.settings.settings import LabelSettings

AGE_MS, NEGATIVE_MS, COUNT = 100, 30, 12
LABELS = LabelSettings(
    pending_count=COUNT, pending_seconds=AGE_MS / 1000, negative_after_seconds=NEGATIVE_MS / 1000, orphan_count=3
)
MANY = LABELS.model_copy(update={"pending_count": 1_000})


class Naive:
    """The waiting instances as a list of dictionaries, oldest arrival first."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.waiting: list[dict[str, Any]] = []
        self.left: list[dict[str, Any]] = []
        self.completed = 0

    def add(self, identity: str, time: int) -> None:
        self.waiting = [each for each in self.waiting if each["id"] != identity]
        self.left = [each for each in self.left if each["id"] != identity]
        self.waiting.append({"id": identity, "time": time, "complete": 0})

    def complete(self, identity: str) -> None:
        for each in self.waiting:
            if each["id"] == identity and not each["complete"]:
                self.completed += 1
                each["complete"] = self.completed

    def overdue(self, now: int) -> list[str]:
        due = [each for each in self.waiting if not each["complete"] and each["time"] <= now - NEGATIVE_MS]
        return [each["id"] for each in sorted(due, key=lambda each: each["time"])]

    def sweep(self, now: int) -> None:
        for each in sorted(self.waiting, key=lambda each: each["time"]):
            if each["time"] < now - AGE_MS:
                self._leave(each)
        while len(self.waiting) > self.count:
            complete = sorted((e for e in self.waiting if e["complete"]), key=lambda each: each["complete"])
            self._leave((complete or self.waiting)[0])
        self.left = [each for each in self.left if each["time"] >= now - 2 * AGE_MS][-self.count :]

    def _leave(self, each: dict[str, Any]) -> None:
        self.waiting.remove(each)
        self.left.append(each)


def ids(store: Pending, names: str, offsets: str) -> list[str]:
    arrays = store.arrays()
    data, ends = arrays[names].tobytes(), arrays[offsets].tolist()
    return [data[start:end].decode() for start, end in itertools.pairwise(ends)]


@given(
    st.sampled_from([LABELS, MANY]),
    st.lists(
        st.tuples(
            st.sampled_from(["add"] * 6 + ["complete", "complete", "batch", "batch", "reload"]),
            st.integers(0, 25),
            st.sampled_from([0, 0, 1, 2, 5, -40, 60, 5_000]),
        ),
        max_size=120,
    ),
)
def test_a_naive_twin_closes_and_drops_the_same_in_the_same_order(
    labels: LabelSettings, steps: list[tuple[str, int, int]]
) -> None:
    store, naive = Pending(labels), Naive(labels.pending_count)
    now = 10_000
    for action, number, offset in steps:
        now += 3
        identity = f"id{number}"
        if action == "add":
            time = max(0, now + offset)
            store.store_instance(store.add(identity, time), b"instance")
            naive.add(identity, time)
        elif action == "complete" and (entry := store.get(identity)) is not None:
            store.set_truth(entry, ["x"])
            naive.complete(identity)
        elif action == "reload":
            arrays = store.arrays()
            store = Pending(labels)
            store.load_arrays(arrays)
        elif action == "batch":
            # The clock alone moves event time, here by one record that is in time.
            store.clock.load([now, now, CONFIRMATIONS, 0, 0, 0])
            found = store.find_overdue()
            assert [store._names[entry.number] for entry, _ in found] == naive.overdue(now)
            for entry, _ in found:
                naive.complete(store._names[entry.number])
                store.set_truth(entry, [])
            store.sweep()
            naive.sweep(now)
            assert ids(store, "ids", "id_offsets") == [each["id"] for each in naive.waiting]
            assert ids(store, "marks", "mark_offsets") == [each["id"] for each in naive.left]


def test_one_instance_from_the_future_holds_up_no_other() -> None:
    store = Pending(MANY)
    store.store_instance(store.add("future", 3_600_000), b"instance")
    for number in range(5):
        store.store_instance(store.add(f"{number}", number), b"instance")
    store.clock.load([NEGATIVE_MS + 2, 0, CONFIRMATIONS, 0, 0, 0])
    assert [entry.number for entry, _ in store.find_overdue()] == [
        store._number_by_id[f"{number}"] for number in range(3)
    ]
    store.clock.load([AGE_MS + 3, 0, CONFIRMATIONS, 0, 0, 0])
    store.sweep()
    assert ids(store, "ids", "id_offsets") == ["future", "3", "4"]


def test_an_orphan_of_the_first_records_does_not_outlive_the_others() -> None:
    from streamlearn.source.base import RawRecord

    store = Pending(LABELS.model_copy(update={"orphan_seconds": 0.05, "clock_tolerance_seconds": 1.0}))
    now = 10_000_000
    store.observe(5_000_000, now)
    store.orphans.add("a", RawRecord("labels", 0, 0, 5_000_000, None, b"1"), store.watermark_ms)
    store.observe(1_000, now)
    store.orphans.add("b", RawRecord("labels", 0, 1, 1_000, None, b"2"), store.watermark_ms)
    store.observe(1_051, now)
    assert [record.value for record in store.sweep()] == [b"1", b"2"]
