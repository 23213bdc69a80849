"""The metrics observer on the memory engine: what it counts and sets."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamlearn.engine.tasks.batch import AppliedBatch
from streamlearn.engine.tasks.task import Task
from streamlearn.model.model_event import ModelEvent
from streamlearn.source.base import TopicPartition
from tests.engine.counted import Counted, run
from tests.engine.world import LABELS, LINEAGE, World, rows


def test_applied_records_are_counted_by_outcome(tmp_path: Path) -> None:
    world = World(tmp_path, labels={"maximum": 4}, features={"maximum": 7}, limits={"name_bytes": 40})
    for row in rows(100):
        world.add(row)
    world.add({"x": {"f0": 1.0}})
    world.add({"x": {"f0": 1e200, "text": "t" * 60, "f9": 1.0, "g1": 2.0, "g2": 3.0}, "y": ["news", "a fifth"]})
    world.add(b"{bad")
    world.add(b"{bad")
    world.add(b'{"y": []}')
    counted = Counted(world)
    run(world, counted)
    assert counted.value("records_total", outcome="predicted") == 102
    assert counted.value("records_total", outcome="learned") == 101
    assert counted.value("records_total", outcome="dead_letter") == 3
    assert counted.value("dead_letters_total", reason="not_json") == 2
    assert counted.value("dead_letters_total", reason="missing_field") == 1
    assert counted.value("dropped_values_total", reason="infinite") == 1
    assert counted.value("dropped_values_total", reason="text_too_long") == 1
    assert counted.value("dropped_values_total", reason="features_full") == 2
    assert counted.value("dropped_values_total", reason="labels_full") == 1
    assert counted.value("events_total", kind="label") == len(world.read("events")) == 1 + len(LABELS)
    assert counted.value("learn_seconds_count") == counted.value("commit_seconds_count") == 3


def test_labels_from_their_topic_are_counted_when_they_are_learnt(tmp_path: Path) -> None:
    world = World(tmp_path, topics={"labels": "labels"})
    for row in rows(30):
        truth = row.pop("y")
        world.add(row)
        if row["id"] != "id29":
            world.add({"id": row["id"], "y": truth}, topic="labels")
    world.add({"id": "id0", "y": []}, topic="labels")
    world.add({"id": "never", "y": []}, topic="labels")
    counted = Counted(world)
    run(world, counted)
    assert counted.value("records_total", outcome="predicted") == 30
    assert counted.value("records_total", outcome="learned") == 29
    assert counted.value("dead_letters_total", reason="duplicate_label") == 1
    assert counted.value("pending_instances") == 1
    assert counted.value("orphan_labels") == 1


def test_a_commit_sets_sizes_and_times(tmp_path: Path) -> None:
    world = World(tmp_path)
    for row in rows(80):
        world.add(row)
    counted = Counted(world)
    counted.observer.on_committed({}, 0.3, 0.2)
    engine = run(world, counted)
    (task,) = engine.tasks.values()
    assert counted.value("labels") == len(task.model.label_names) == 4
    assert counted.value("features") == task.model.feature_count == 6
    assert counted.value("clusters") == task.model.cluster_count
    assert counted.value("commit_seconds_count") == 3
    assert counted.value("batch_seconds_bucket", le="0.5") == 3
    total, commits = counted.value("batch_seconds_sum"), counted.value("commit_seconds_sum")
    assert total is not None
    assert commits is not None
    assert total >= 0.3
    assert commits >= 0.2


def test_a_restored_worker_counts_replayed_rows_and_nothing_twice(tmp_path: Path) -> None:
    world = World(tmp_path, snapshot={"interval_seconds": 1e9})
    for row in rows(90):
        world.add(row)
    world.run(store=False)
    counted = Counted(world)
    run(world, counted)
    assert counted.value("restored_rows") == 90
    assert counted.value("records_total", outcome="predicted") == 0


@pytest.mark.parametrize(("kind", "counted_as"), [("drift", "drift"), ("tree", "tree"), ("a new kind", "other")])
def test_events_are_counted_by_kind(tmp_path: Path, kind: str, counted_as: str) -> None:
    world = World(tmp_path)
    counted = Counted(world)
    event = ModelEvent(0, 5, kind, "model", "", "loss", "worse", 0.1, 0.2, 30, 2, "none")
    applied = AppliedBatch([], [], [], 0, 0, 0, 0, [], 0, set(), set(), [event, event], {"a new reason": 4}, 0, {})
    task = Task(world.settings, 0, [TopicPartition("instances", 0)], LINEAGE)
    counted.observer.on_applied(task, applied, 0.01)
    assert counted.value("events_total", kind=counted_as) == 2
    assert counted.value("dropped_values_total", reason="other") == 4
