"""Labels from the labels topic: late, out of order, partial, missing, duplicate, expired, before their instance."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import numpy as np
import pytest

from tests.engine.world import START_NS, Crash, Faults, World, rows

NOW_MS = START_NS // 1_000_000


def world_with_labels(folder: Path, **sections: dict) -> World:
    sections.setdefault("topics", {"labels": "labels"})
    return World(folder, **sections)


def instance(world: World, identity: str, *, at: int = 0, partition: int = 0, **more: object) -> None:
    world.add({"id": identity, "x": {"a": 1}, **more}, partition=partition, timestamp_ms=NOW_MS + at)


def label(world: World, identity: str, y: object, *, at: int = 0, partition: int = 0) -> None:
    world.add({"id": identity, "y": y}, topic="labels", partition=partition, timestamp_ms=NOW_MS + at)


def test_label_reaches_the_instance_that_waits(tmp_path: Path) -> None:
    world = world_with_labels(tmp_path)
    instance(world, "1")
    instance(world, "2", at=1)
    label(world, "2", ["news"], at=2)
    task = world.run().tasks[0]
    assert (task.model.observed, task.model.learned, task.pending.waiting) == (2, 1, 1)
    label(world, "1", {"news": False, "sport": True}, at=3)
    task = world.run().tasks[0]
    assert (task.model.observed, task.model.learned, task.pending.waiting) == (2, 2, 0)
    assert task.model.label_names == ["news", "sport"]
    assert world.dead() == []


def test_late_truth_learns_what_an_inline_one_does(tmp_path: Path) -> None:
    late, inline = world_with_labels(tmp_path / "late"), World(tmp_path / "inline")
    for moment, row in enumerate(rows(60)):
        late.add({"id": row["id"], "x": row["x"]}, timestamp_ms=NOW_MS + 2 * moment)
        label(late, row["id"], row["y"], at=2 * moment + 1)
        inline.add(row)
    models = late.run().tasks[0].model, inline.run().tasks[0].model
    assert models[0].learned == models[1].learned == 60
    assert models[0].measures.whole() == models[1].measures.whole()
    assert [p.split(b'"rule"')[0] for p in late.predictions()] == [p.split(b'"rule"')[0] for p in inline.predictions()]


def truth_of(world_task: object, identity: str) -> bytes:
    entry = world_task.pending.get(identity)  # type: ignore[attr-defined]
    assert entry is not None
    return entry.truth


def test_a_label_that_says_nothing_new_is_a_duplicate(tmp_path: Path) -> None:
    world = world_with_labels(tmp_path)
    instance(world, "1")
    instance(world, "2", y=["news", "sport"])
    label(world, "1", {"news": True}, at=1)
    label(world, "1", {"news": True}, at=2)
    label(world, "2", ["sport", "news"], at=3)
    label(world, "2", {"science": False}, at=4)
    task = world.run().tasks[0]
    assert (task.model.learned, truth_of(task, "1"), truth_of(task, "2")) == (2, b'{"news":true}', b'["news","sport"]')
    assert [reason for reason, _ in world.dead()] == ["duplicate_label"] * 3


@pytest.mark.parametrize("batch", [1, 40])
def test_partial_truths_add_up_and_the_last_makes_them_complete(tmp_path: Path, batch: int) -> None:
    world = world_with_labels(tmp_path, engine={"batch_instances": batch})
    instance(world, "1")
    label(world, "1", {"news": True}, at=1)
    label(world, "1", {"sport": False}, at=2)
    label(world, "1", ["news", "science"], at=3)
    task = world.run().tasks[0]
    assert (task.model.learned, task.model.label_names) == (1, ["news", "sport", "science"])
    assert (truth_of(task, "1"), task.pending.waiting, world.dead()) == (b'["news","science"]', 0, [])
    learner = task.model.arrays()
    assert learner["learner.positives"].tolist() == [1, 0, 1]
    assert learner["learner.counters"].tolist()[:2] == [1, 1], "one row, complete"
    assert task.model.measures.rows()["subset_accuracy"] == 1


@pytest.mark.parametrize("inline", [True, False])
@pytest.mark.parametrize("batch", [1, 40])
def test_a_correction_is_learnt_once(tmp_path: Path, inline: bool, batch: int) -> None:
    world = world_with_labels(tmp_path, engine={"batch_instances": batch})
    instance(world, "0", y=["sport"])
    if inline:
        instance(world, "1", at=1, y=["news"])
    else:
        instance(world, "1", at=1)
        label(world, "1", ["news"], at=1)
    before = world.run().tasks[0].model.arrays()
    label(world, "1", ["sport"], at=2)
    label(world, "1", ["sport"], at=3)
    task = world.run().tasks[0]
    after = task.model.arrays()
    assert [reason for reason, _ in world.dead()] == ["duplicate_label"]
    assert (task.model.learned, truth_of(task, "1")) == (2, b'["sport"]')
    sport, news = 0, 1
    bias = "learner.panel.slow_linear.bias"
    assert after[bias][sport] > before[bias][sport]
    assert after[bias][news] < before[bias][news]
    np.testing.assert_array_equal(after["learner.panel.rates.slow"], before["learner.panel.rates.slow"])
    assert after["learner.panel.neighbours.known"].tolist() == [sport, sport]


def test_partial_corrections_of_a_complete_truth(tmp_path: Path) -> None:
    world = world_with_labels(tmp_path)
    instance(world, "1", y=["news", "sport"])
    label(world, "1", {"sport": False, "science": True, "news": True}, at=1)
    task = world.run().tasks[0]
    assert (truth_of(task, "1"), task.model.learned, world.dead()) == (b'["news","science"]', 1, [])


def test_label_before_its_instance_waits_for_it(tmp_path: Path) -> None:
    world = world_with_labels(tmp_path)
    label(world, "later", ["news"])
    task = world.run().tasks[0]
    assert (len(task.pending.orphans), task.model.learned) == (1, 0)
    instance(world, "later", at=5)
    task = world.run().tasks[0]
    assert (len(task.pending.orphans), task.pending.waiting, task.model.learned) == (0, 0, 1)
    assert world.dead() == []


def test_equal_labels_for_an_unknown_id_wait_once(tmp_path: Path) -> None:
    world = world_with_labels(tmp_path)
    label(world, "later", {"news": True})
    label(world, "later", {"sport": True})
    label(world, "later", {"news": True})
    assert len(world.run().tasks[0].pending.orphans) == 2
    assert [reason for reason, _ in world.dead()] == ["duplicate_label"]
    instance(world, "later", at=5)
    assert truth_of(world.run().tasks[0], "later") == b'{"news":true,"sport":true}'


TRUTHS = ({"news": True}, {"sport": False}, ["news", "science"], {"science": True})


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_labels_before_their_instance_are_learnt_like_labels_after_it(tmp_path: Path, order: tuple[int, ...]) -> None:
    early, late = world_with_labels(tmp_path / "early"), world_with_labels(tmp_path / "late")
    for world, first, then in ((early, "labels", "instance"), (late, "instance", "labels")):
        instance(world, "0", at=-9, y=["sport"])
        for what, at in ((first, 0), (then, 5)):
            if what == "instance":
                instance(world, "1", at=at)
            else:
                for number in order:
                    label(world, "1", TRUTHS[number], at=at)
        instance(world, "2", at=9)
    tasks = early.run().tasks[0], late.run().tasks[0]
    assert truth_of(tasks[0], "1") == truth_of(tasks[1], "1")
    assert tasks[0].model.state_hash() == tasks[1].model.state_hash()
    assert early.dead() == late.dead()


def test_orphan_becomes_a_dead_letter_after_its_time(tmp_path: Path) -> None:
    world = world_with_labels(tmp_path, labels={"orphan_seconds": 0.01})
    label(world, "nobody", ["news"])
    assert len(world.run().tasks[0].pending.orphans) == 1
    instance(world, "1", at=100)
    assert len(world.run().tasks[0].pending.orphans) == 0
    ((reason, value),) = world.dead()
    assert (reason, value) == ("unknown_instance", b'{"id": "nobody", "y": ["news"]}')


def test_orphans_are_bounded_by_count(tmp_path: Path) -> None:
    world = world_with_labels(tmp_path, labels={"orphan_count": 3})
    for number in range(5):
        label(world, f"nobody{number}", ["news"], at=number)
    assert len(world.run().tasks[0].pending.orphans) == 3
    assert [value for _, value in world.dead()] == [
        b'{"id": "nobody0", "y": ["news"]}',
        b'{"id": "nobody1", "y": ["news"]}',
    ]


@pytest.mark.parametrize(
    "bounds", [{"pending_count": 3}, {"pending_seconds": 0.0025}, {"pending_bytes": 700}], ids=["count", "age", "bytes"]
)
def test_waiting_instances_are_bounded_and_their_labels_expire(tmp_path: Path, bounds: dict) -> None:
    world = world_with_labels(tmp_path, labels=bounds)
    for number in range(6):
        instance(world, str(number), at=number)
    assert world.run().tasks[0].pending.waiting == 3
    label(world, "2", ["news"], at=5)
    label(world, "5", ["news"], at=5)
    assert world.run().tasks[0].model.learned == 1
    assert [reason for reason, _ in world.dead()] == ["label_expired"]


def test_age_is_event_time_and_never_beyond_the_clock(tmp_path: Path) -> None:
    world = world_with_labels(tmp_path, labels={"pending_seconds": 60.0})
    instance(world, "1")
    instance(world, "from the future", at=10_000_000_000)
    assert world.run().tasks[0].pending.waiting == 2


def test_an_id_that_is_used_again_waits_again(tmp_path: Path) -> None:
    world = world_with_labels(tmp_path)
    instance(world, "1")
    label(world, "1", ["news"], at=1)
    instance(world, "1", at=2)
    label(world, "1", ["sport"], at=3)
    task = world.run().tasks[0]
    assert (task.model.learned, task.pending.waiting, world.dead()) == (2, 0, [])


def test_labels_far_ahead_wait_for_their_instances(tmp_path: Path) -> None:
    world = world_with_labels(tmp_path, engine={"batch_instances": 5, "batch_bytes": 400})
    for number in range(100):
        label(world, str(number), ["news"], at=0)
    for number in range(100):
        instance(world, str(number), at=1_000 + number)
    task = world.run().tasks[0]
    assert (task.model.learned, task.pending.waiting, len(task.pending.orphans)) == (100, 0, 0)
    assert world.dead() == []


def make_scrambled_world(folder: Path, seed: int = 5) -> World:
    """Return a world of three partitions with late, unordered, partial, duplicate, unknown and missing labels."""
    draw = random.Random(seed)
    world = world_with_labels(
        folder,
        partitions=3,
        engine={"batch_instances": 25},
        labels={"orphan_seconds": 0.05, "pending_count": 60},
    )
    events = []
    for number, row in enumerate(rows(300)):
        partition = draw.randrange(3)
        events.append((number, "instances", partition, {"id": row["id"], "x": row["x"]}))
        fate = draw.random()
        if fate < 0.1:
            continue
        truth = {"news": "news" in row["y"]} if fate < 0.25 else row["y"]
        events.append((number + draw.randrange(-3, 40), "labels", partition, {"id": row["id"], "y": truth}))
        if fate > 0.95:
            events.append((number + 45, "labels", partition, {"id": row["id"], "y": []}))
        if fate > 0.97:
            events.append((number, "labels", partition, {"id": f"nobody{number}", "y": []}))
    for moment, topic, partition, value in sorted(events, key=lambda event: event[0]):
        world.add(value, topic=topic, partition=partition, timestamp_ms=NOW_MS + moment)
    return world


@pytest.mark.parametrize("point", ["before commit", "after commit", "applied", "committed", "poll"])
def test_crashes_with_several_partitions_equal_one_run_over_the_same_journal(tmp_path: Path, point: str) -> None:
    world = make_scrambled_world(tmp_path)
    for times in (1, 3, 4):
        with pytest.raises(Crash):
            world.run(Faults(point, times))
    crashed = world.run().tasks[0]
    answered = [p.split(b'"source":')[1] for p in world.predictions()]
    assert len(answered) == len(set(answered)) == 300
    reasons = {reason for reason, _ in world.dead()}
    assert {"duplicate_label", "unknown_instance"} <= reasons
    replayed = world.run(store=False).tasks[0]
    assert replayed.model.state_hash() == crashed.model.state_hash()
    assert {name: a.tobytes() for name, a in replayed.pending.arrays().items()} == {
        name: a.tobytes() for name, a in crashed.pending.arrays().items()
    }


def test_several_partitions_apply_in_order_of_time(tmp_path: Path) -> None:
    world = World(tmp_path, partitions=2)
    for moment, partition in enumerate([0, 0, 1, 0, 1, 1, 1, 0]):
        instance(world, str(moment), at=moment, partition=partition)
    world.run()
    seen = sorted((int(p.split(b'"seen":')[1].split(b",")[0]), p.split(b'"id":"')[1][:1]) for p in world.predictions())
    assert [identity for _, identity in seen] == [str(moment).encode() for moment in range(8)]


def test_scope_partition_has_a_model_for_each(tmp_path: Path) -> None:
    world = world_with_labels(tmp_path, partitions=2, engine={"scope": "partition"})
    for number in range(10):
        instance(world, str(number), partition=number % 2, at=2 * number)
        label(world, str(number), [f"label{number % 2}"], partition=number % 2, at=2 * number + 1)
    tasks = world.run().tasks
    assert [tasks[number].model.label_names for number in (0, 1)] == [["label0"], ["label1"]]
    assert [tasks[number].model.learned for number in (0, 1)] == [5, 5]
    assert {record["task"] for record in world.journal()} == {0, 1}
    again = world.run(store=False).tasks
    assert [again[n].model.state_hash() for n in (0, 1)] == [tasks[n].model.state_hash() for n in (0, 1)]


def test_labels_may_have_other_partitions_in_scope_topic(tmp_path: Path) -> None:
    world = world_with_labels(tmp_path, partitions=2)
    world.log.create("labels", 3)
    for number in range(6):
        instance(world, str(number), at=number, partition=number % 2)
        label(world, str(number), ["news"], at=number, partition=number % 3)
    task = world.run().tasks[0]
    assert (task.model.learned, world.dead()) == (6, [])
    assert world.run(store=False).tasks[0].model.state_hash() == task.model.state_hash()


def test_labels_topic_with_other_partitions_stops_in_scope_partition(tmp_path: Path) -> None:
    from streamlearn.errors import TopicError

    world = world_with_labels(tmp_path, partitions=2, engine={"scope": "partition"})
    world.log.create("labels", 3)
    with pytest.raises(TopicError, match="both topics need the same number of partitions"):
        world.run()
