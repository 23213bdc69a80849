"""Wrong or missing timestamps of a few records harm no others, live and in a backlog, and are replayed alike."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamlearn.engine.observer import NullObserver
from streamlearn.engine.tasks.batch import AppliedBatch
from streamlearn.engine.tasks.task import Task
from tests.engine.tasks.test_labels import NOW_MS, instance, label, truth_of, world_with_labels
from tests.engine.waiting.test_pending_instances import state_of
from tests.engine.world import Crash, Faults, World, rows

MINUTE_MS = 60_000
DAY_MS = 86_400_000


@pytest.mark.parametrize("place", [0, 7])
@pytest.mark.parametrize("behind_ms", [0, DAY_MS], ids=["live", "backlog"])
def test_one_instance_from_the_future_keeps_no_other_open(tmp_path: Path, place: int, behind_ms: int) -> None:
    # A second of records a batch, and the clock advances by a second a batch.
    world = world_with_labels(tmp_path, labels={"negative_after_seconds": 3.0}, engine={"batch_instances": 10})
    for number in range(150):
        if number == place:
            instance(world, "future", at=59 * MINUTE_MS + 100 * number - behind_ms)
        instance(world, f"{number}", at=100 * number - behind_ms)
    task = world.run().tasks[0]
    closed = [number for number in range(150) if truth_of(task, f"{number}") == b"[]"]
    assert closed == list(range(120)), "those that are 3 s older than the last one"
    # In a backlog its time may be right; live it cannot be later than the clock.
    assert truth_of(task, "future") == (b"" if behind_ms else b"[]")
    assert task.pending.watermark_ms == NOW_MS + 14_900 - behind_ms


def test_a_partition_behind_a_record_from_the_future_is_applied_in_its_turn_and_closed(tmp_path: Path) -> None:
    world = world_with_labels(
        tmp_path, partitions=2, labels={"negative_after_seconds": 3.0}, engine={"batch_instances": 10}
    )
    instance(world, "future", at=59 * MINUTE_MS)
    for number in range(100):
        instance(world, f"{number}", at=100 * number, partition=number % 2)
    task = world.run().tasks[0]
    assert sum(truth_of(task, f"{number}") == b"[]" for number in range(100)) == 70
    assert world.run(store=False).tasks[0].mark == task.mark


def test_labels_in_a_backlog_wait_for_instances_behind_one_from_the_future(tmp_path: Path) -> None:
    world = world_with_labels(tmp_path, labels={"orphan_count": 50})
    for number in range(400):
        at = 100 * number - DAY_MS
        instance(world, f"{number}", at=at + (59 * MINUTE_MS if number == 30 else 0))
        label(world, f"{number}", ["news"], at=at + 50)
    task = world.run().tasks[0]
    assert (task.model.learned, world.dead()) == (400, [])
    assert world.run(store=False).tasks[0].mark == task.mark


@pytest.mark.parametrize("behind_ms", [0, DAY_MS], ids=["live", "backlog"])
def test_records_without_a_timestamp_are_not_of_1969(tmp_path: Path, behind_ms: int) -> None:
    world = world_with_labels(tmp_path, labels={"pending_seconds": 60.0})
    for number in range(10):
        instance(world, f"{number}", at=100 * number - behind_ms)
    instance(world, "none", at=-NOW_MS - 1)
    label(world, "none", ["news"], at=-NOW_MS - 1)
    instance(world, "later", at=950 - behind_ms)
    task = world.run().tasks[0]
    assert (truth_of(task, "none"), task.pending.evicted, world.dead()) == (b'["news"]', 0, [])
    # The label comes first, when only the clock is known; the timestamps of a backlog then count.
    assert task.pending.watermark_ms == (NOW_MS + 950 - behind_ms if behind_ms else task.now_ns // 1_000_000)


def test_a_topic_without_timestamps_ages_by_the_clock(tmp_path: Path) -> None:
    world = world_with_labels(tmp_path, labels={"negative_after_seconds": 3.0})
    for number in range(6):
        instance(world, f"{number}", at=-NOW_MS - 1)
        world.run()  # the clock goes on by a second or more
    task = world.run().tasks[0]
    assert truth_of(task, "0") == b"[]"
    assert truth_of(task, "5") == b""


def test_wrong_and_missing_timestamps_are_counted(tmp_path: Path) -> None:
    counted: dict[str, int] = {}

    class Counting(NullObserver):
        def on_applied(self, task: Task, applied: AppliedBatch, learn_seconds: float) -> None:
            for fault, count in applied.stamps.items():
                counted[fault] = counted.get(fault, 0) + count

    world = world_with_labels(tmp_path, labels={"clock_tolerance_seconds": 5.0})
    for at in (0, 5_000, 10_001, 59 * MINUTE_MS, -NOW_MS - 1, 6_000):
        instance(world, f"{at}", at=at)
    world.engine(observer=Counting()).run(stop_at_end=True)
    assert counted == {"ahead": 2, "missing": 1}


def make_world(folder: Path, seed: int) -> World:
    """Return a world whose records are stamped wrongly now and then, in bursts, with pauses of the stream."""
    draw = random.Random(seed)
    world = world_with_labels(
        folder,
        partitions=2,
        engine={"batch_instances": draw.choice([3, 10])},
        labels={
            "negative_after_seconds": 0.05,
            "pending_seconds": 2.0,
            "orphan_seconds": 0.3,
            "clock_tolerance_seconds": draw.choice([0.0, 0.02, 1.0, 60.0]),
        },
    )
    moment = draw.choice([0, -DAY_MS])
    wrong = 0
    for row in rows(90, seed):
        moment += draw.choice([1, 1, 5, 20, 20_000 if draw.random() < 0.1 else 2])
        if not wrong and draw.random() < 0.1:
            wrong = draw.choice([1, 2, 12])
        ahead = draw.choice([59 * MINUTE_MS, 3 * DAY_MS, -DAY_MS]) if wrong else 0
        wrong = max(0, wrong - 1)
        at = -NOW_MS - 1 if draw.random() < 0.05 else moment + ahead
        partition = draw.randrange(2)
        instance(world, row["id"], at=at, partition=partition)
        if draw.random() < 0.6:
            label(world, draw.choice([row["id"], f"nobody {moment}"]), row["y"], at=at, partition=partition)
    return world


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**31), stops=st.lists(st.integers(1, 6), min_size=1, max_size=3))
def test_restores_with_wrong_timestamps_equal_one_run_over_the_journal(
    tmp_path_factory: pytest.TempPathFactory, seed: int, stops: list[int]
) -> None:
    world = make_world(tmp_path_factory.mktemp("world"), seed)
    for number, turns in enumerate(stops):
        world.change(snapshot={"interval_seconds": 0.000001})
        with pytest.raises(Crash):
            world.run(Faults(("committed", "before commit", "after commit")[number % 3], turns))
    stopped = state_of(world)
    assert state_of(world, store=False) == stopped
