"""Pending instances: which leave first, when missing labels are negative, and that a stop anywhere changes nothing."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamlearn.engine.waiting.pending_instances import Pending
from streamlearn.errors import SnapshotError
from streamlearn.model.stream_model import StreamModel
from streamlearn.settings.settings import LabelSettings, Settings
from tests.engine.tasks.test_labels import NOW_MS, instance, label, truth_of, world_with_labels
from tests.engine.world import START_NS, Crash, Faults, World, rows


def test_instances_with_a_complete_truth_leave_first(tmp_path: Path) -> None:
    world = world_with_labels(tmp_path, labels={"pending_count": 3})
    instance(world, "waits", at=0)
    instance(world, "partly", at=1)
    label(world, "partly", {"news": True}, at=1)
    for number in range(3):
        instance(world, f"known {number}", at=2 + number, y=["news"])
    pending = world.run().tasks[0].pending
    assert [pending.get(i) is not None for i in ("waits", "partly", "known 0", "known 1", "known 2")] == [
        True,
        True,
        False,
        False,
        True,
    ]
    assert (pending.waiting, len(pending), pending.evicted) == (1, 3, 0)
    for number in range(2):
        instance(world, f"more {number}", at=10 + number)
    pending = world.run().tasks[0].pending
    assert (pending.waiting, len(pending), pending.evicted) == (2, 3, 1), "the oldest that waited has left"
    label(world, "waits", ["news"], at=20)
    label(world, "known 1", ["sport"], at=21)
    label(world, "more 1", ["sport"], at=22)
    assert world.run().tasks[0].model.learned == 5
    texts = [dict(r.headers)["streamlearn.text"].decode() for r in world.read("dead-letters")]
    assert [reason for reason, _ in world.dead()] == ["label_expired"] * 2
    assert "'waits' no longer waits" in texts[0]
    assert "'known 1' was learnt, and may no longer be corrected" in texts[1]


def test_an_instance_outlives_its_truth_until_its_age(tmp_path: Path) -> None:
    world = world_with_labels(tmp_path, labels={"pending_seconds": 0.1})
    instance(world, "1", y=["news"])
    label(world, "1", ["sport"], at=100)
    assert truth_of(world.run().tasks[0], "1") == b'["sport"]'
    instance(world, "2", at=101)
    label(world, "1", ["news"], at=102)
    pending = world.run().tasks[0].pending
    assert (pending.get("1"), pending.evicted) == (None, 0)
    instance(world, "3", at=102)
    label(world, "1", ["news"], at=103)
    world.run()
    assert [reason for reason, _ in world.dead()] == ["label_expired"]


@pytest.mark.parametrize("seconds", [0.0, 0.05])
def test_missing_labels_are_negative_only_when_the_setting_says_so(tmp_path: Path, seconds: float) -> None:
    world = world_with_labels(tmp_path, labels={"negative_after_seconds": seconds})
    instance(world, "0", y=["news", "sport"])
    instance(world, "silent", at=10)
    instance(world, "partly", at=10)
    label(world, "partly", {"news": True}, at=11)
    world.run()
    instance(world, "later", at=59)
    task = world.run().tasks[0]
    assert (task.model.learned, task.pending.waiting) == (2, 2), "a moment too early"
    instance(world, "later still", at=60)
    task = world.run().tasks[0]
    expected = (3, b"[]", b'["news"]') if seconds else (2, b"", b'{"news":true}')
    assert (task.model.learned, truth_of(task, "silent"), truth_of(task, "partly")) == expected
    assert task.model.arrays()["learner.counters"][1] == (3 if seconds else 1), "complete rows"


def test_assumed_negatives_may_be_confirmed_and_corrected(tmp_path: Path) -> None:
    world = world_with_labels(tmp_path, labels={"negative_after_seconds": 0.05})
    for name in ("1", "2"):
        instance(world, name)
    instance(world, "moves time", at=60)
    assert world.run().tasks[0].model.learned == 2
    for at, truth in ((61, []), (62, []), (63, ["news"])):
        label(world, "1", truth, at=at)
    label(world, "2", ["news"], at=64)
    task = world.run().tasks[0]
    assert [truth_of(task, name) for name in ("1", "2")] == [b'["news"]'] * 2
    assert [value for _, value in world.dead()] == [b'{"id": "1", "y": []}'], "only the second one says nothing new"
    assert task.model.learned == 2


def test_assumed_negatives_follow_event_time_and_are_replayed(tmp_path: Path) -> None:
    world = world_with_labels(tmp_path, labels={"negative_after_seconds": 0.02}, engine={"batch_instances": 7})
    for moment, row in enumerate(rows(60)):
        world.add({"id": row["id"], "x": row["x"]}, timestamp_ms=NOW_MS + moment)
        if moment % 3:
            label(world, row["id"], row["y"], at=moment + 1)
    ran = world.run().tasks[0]
    assert ran.model.learned > 50
    replayed = world.run(store=False).tasks[0]
    assert replayed.model.state_hash() == ran.model.state_hash()


def test_negative_after_seconds_must_be_below_pending_seconds() -> None:
    with pytest.raises(ValueError, match="negative_after_seconds is not below pending_seconds"):
        Settings.model_validate({"labels": {"negative_after_seconds": 10.0, "pending_seconds": 10.0}})


def make_busy_world(folder: Path, seed: int, partitions: int) -> World:
    """Return a world of small stores with late, early, partial, corrected, duplicate, unknown and missing labels."""
    draw = random.Random(seed)
    world = world_with_labels(
        folder,
        partitions=partitions,
        engine={"batch_instances": draw.choice([3, 10])},
        labels={"orphan_seconds": 0.05, "orphan_count": 8, "pending_count": 30, "negative_after_seconds": 0.03},
    )
    events = []
    for number, row in enumerate(rows(120, seed)):
        partition = draw.randrange(partitions)
        inline = {"y": row["y"]} if draw.random() < 0.2 else {}
        events.append((number, "instances", partition, {"id": row["id"], "x": row["x"]} | inline))
        for _ in range(draw.choice([0, 1, 1, 2, 3])):
            names = draw.sample(["news", "sport", "politics", f"rare{number}"], draw.randrange(1, 3))
            partly = {name: draw.random() < 0.5 for name in names}
            truth = draw.choice([row["y"], partly, partly, [names[0]]])
            identity = row["id"] if draw.random() < 0.9 else f"nobody{number}"
            events.append((number + draw.randrange(-5, 45), "labels", partition, {"id": identity, "y": truth}))
    for moment, topic, partition, value in sorted(events, key=lambda event: event[0]):
        world.add(value, topic=topic, partition=partition, timestamp_ms=NOW_MS + moment)
    return world


def test_an_instance_replaced_in_its_own_batch_leaves_nothing_to_others(tmp_path: Path) -> None:
    states = []
    for batch in (1, 40):
        world = world_with_labels(tmp_path / str(batch), engine={"batch_instances": batch})
        instance(world, "twice", y=["news"])
        instance(world, "twice", at=1)
        for moment, identity in enumerate(["thrice", "thrice", "thrice", "other"], 2):
            instance(world, identity, at=moment)
            label(world, identity, {"sport": True}, at=moment)
        state, arrays, counted = state_of(world)
        clock = np.frombuffer(arrays.pop("clock"), np.int64)
        # When event time last moved is a time of the journal, which has another number of batches.
        states.append((state, arrays, counted, [clock[0], clock[1], *clock[3:]]))
    assert states[0] == states[1]


def state_of(world: World, *, store: bool = True) -> tuple[str, dict[str, bytes], tuple[int, ...]]:
    task = world.run(store=store).tasks[0]
    pending = task.pending
    counted = pending.bytes, pending.waiting, pending.evicted, pending.n_kept
    return task.model.state_hash(), {name: array.tobytes() for name, array in pending.arrays().items()}, counted


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**31), partitions=st.sampled_from([1, 3]), stops=st.lists(st.integers(1, 6), max_size=4))
def test_a_stop_or_crash_at_any_row_equals_one_run_over_the_journal(
    tmp_path_factory: pytest.TempPathFactory, seed: int, partitions: int, stops: list[int]
) -> None:
    world = make_busy_world(tmp_path_factory.mktemp("world"), seed, partitions)
    for number, turns in enumerate(stops):
        world.change(snapshot={"interval_seconds": 0.000001})
        with pytest.raises(Crash):
            world.run(Faults(("committed", "before commit", "after commit")[number % 3], turns))
    stopped = state_of(world)
    assert {"duplicate_label", "label_expired"} <= {reason for reason, _ in world.dead()}
    assert state_of(world, store=False) == stopped


def set_truth(store: Pending, identity: str, truth: list[str]) -> None:
    entry = store.get(identity)
    assert entry is not None
    store.set_truth(entry, truth)


def test_a_store_loaded_from_its_arrays_behaves_like_the_original() -> None:
    labels = LabelSettings(pending_count=4, orphan_count=3)
    stores = [Pending(labels), Pending(labels)]
    model = StreamModel(Settings())
    batch = model.new_batch()
    for number in range(6):
        batch.predict({"a": number, "b": "text"})
    result = model.apply(batch)
    for number in range(6):
        entry = stores[0].add(f"id{number}", 10 * number, [None, {"x": True}, ["x"]][number % 3])
        stores[0].store_instance(entry, result.packed(number))
        stores[0].observe(10 * number, START_NS // 1_000_000)
    stores[0].sweep()
    set_truth(stores[0], "id4", ["y"])
    set_truth(stores[0], "id0", [])
    stores[1].load_arrays(stores[0].arrays())
    for store in stores:
        store.store_instance(store.add("id7", 100), result.packed(0))
        store.observe(100, START_NS // 1_000_000)
        store.sweep()
    first, second = (store.arrays() for store in stores)
    assert {name: array.tobytes() for name, array in first.items()} == {n: a.tobytes() for n, a in second.items()}
    assert [(s.bytes, s.waiting, s.evicted, len(s)) for s in stores] == [(stores[0].bytes, 2, 0, 4)] * 2
    assert stores[0].bytes == 4 * 200 + first["instances"].size + first["truths"].size
    assert stores[1].get("id4") is None, "the one that was complete first"
    kept = stores[1].get("id3")
    assert kept is not None
    assert kept.instance == result.packed(3)


@pytest.mark.parametrize(("known", "of"), [(0, 10), (3, 10), (10, 10), (499, 500)])
def test_memory_is_bounded_by_the_pending_instances(known: int, of: int) -> None:
    """``known`` of ``of`` instances have a complete truth and leave first; the others stay up to the largest count."""
    store = Pending(LabelSettings(pending_count=200))
    for number in range(30_000):
        store.store_instance(store.add(f"{number}", number, ["x"] if number % of < known else None), bytes(1_000))
        if number % 5 == 0:
            store.sweep()
    # Two blocks, and as much unused as is used.
    assert store.instances.room < 2 * 200 * 1_000 + 3 * store.instances.block_bytes
    assert store.truths.room <= 3 * 65_536


def test_arrays_that_contradict_each_other_are_refused() -> None:
    store = Pending(LabelSettings(pending_count=2))
    for number, truth in enumerate([["x"], ["x"], None, {"x": True}]):
        store.store_instance(store.add(f"{number}", 0, truth), b"instance")
    store.sweep()
    arrays = store.arrays()
    Pending(LabelSettings()).load_arrays(arrays)
    twice = arrays["ids"].copy()
    twice[1] = twice[0]
    for name, array, message in (
        ("ids", twice, "an id occurs twice"),
        ("marks", arrays["ids"], "an id occurs twice"),
        ("settled", np.zeros(1, np.int64), "does not list the instances with a complete truth"),
        ("mark_states", arrays["mark_states"] + 3, "has the state 4"),
        ("instance_offsets", np.array([0, 0, 16]), "instance '2' has no bytes"),
        ("timestamps", arrays["timestamps"].astype(np.float64), "cannot be read"),
    ):
        with pytest.raises(SnapshotError, match=message):
            Pending(LabelSettings()).load_arrays({**arrays, name: array})


@pytest.mark.parametrize("name", ["ids", "instances", "truth_offsets", "learnt_rows", "settled", "orphan_values"])
def test_arrays_that_do_not_fit_are_refused(name: str) -> None:
    store = Pending(LabelSettings())
    model = StreamModel(Settings())
    batch = model.new_batch()
    batch.predict({"a": 1})
    result = model.apply(batch)
    store.store_instance(store.add("id", 0, ["x"]), result.packed(0))
    arrays = store.arrays()
    arrays[name] = arrays[name] + 7 if name == "settled" else arrays[name][:-1] if arrays[name].size else arrays["ids"]
    with pytest.raises(SnapshotError, match="waiting instances in the snapshot cannot be read"):
        Pending(LabelSettings()).load_arrays(arrays)
