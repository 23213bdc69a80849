"""Labels that wait in another partition than their instances are noticed, and nothing else is."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from streamlearn.engine.journal.records import TopicIdentity
from streamlearn.engine.misplaced_labels import LABELS_PER_SAMPLE, MisplacedLabels, Misplacement
from streamlearn.engine.tasks.batch import AppliedBatch
from streamlearn.engine.tasks.task import Task
from streamlearn.records.event import Event
from streamlearn.records.prediction import SourcePoint
from streamlearn.settings.settings import Settings
from streamlearn.source.base import RawRecord, TopicPartition
from tests.engine.counted import Counted
from tests.engine.world import LINEAGE, World

COUNT = 4
PARTITIONERS = {"first": lambda key, count: key[-1] % count, "second": lambda key, count: key[-2] % count}


def custom(key: bytes, count: int) -> int:
    """A partitioner that no list knows."""
    return (key[-1] + 3 * key[-2]) % count


def keys(first: int = 0, last: int = 400) -> list[bytes]:
    return [b"%03d" % number for number in range(first, last)]


class Worker:
    """The worker of some partitions; it sees instances, then labels, placed by two functions."""

    def __init__(self, *tasks: int, scope: str = "partition") -> None:
        settings = Settings.model_validate({"topics": {"labels": "labels"}, "engine": {"scope": scope}})
        self.now = 0.0
        self.watch = MisplacedLabels(settings, PARTITIONERS, lambda: self.now)
        self.tasks = tasks

    def batch(
        self, number: int, instances: list[bytes], labels: list[bytes], waiting: list[bytes], adopted: Any = ()
    ) -> Any:
        """Apply a batch; an offset is the number in the key."""
        self.now += 1.0
        task = SimpleNamespace(number=number, topics={"instances": TopicIdentity("id", COUNT)})
        records = [
            RawRecord(topic, number, int(key or b"0"), 0, key, b"")
            for topic, group in (("instances", instances), ("labels", labels))
            for key in group
        ]
        applied = SimpleNamespace(
            records=records,
            orphans={(number, int(key)) for key in waiting},
            adopted={(number, int(key)) for key in adopted},
        )
        return self.watch.note(task, applied)  # type: ignore[arg-type]

    def run(self, place_instance: Any, place_label: Any) -> list[Any]:
        """Apply all instances, then all labels; return what was found of each task at the end."""
        of_instances = {key: place_instance(key, COUNT) for key in keys()}
        of_labels = {key: place_label(key, COUNT) for key in keys()}
        for number in self.tasks:
            own = [key for key, partition in of_instances.items() if partition == number]
            for start in range(0, len(own), 25):
                self.batch(number, own[start : start + 25], [], [])
        found = []
        for number in self.tasks:
            own = [key for key, partition in of_labels.items() if partition == number]
            waiting = [key for key in own if of_instances[key] != number]
            for start in range(0, len(own), LABELS_PER_SAMPLE):
                result = self.batch(number, [], own[start : start + LABELS_PER_SAMPLE], waiting)
            found.append(result)
        return found


@pytest.mark.parametrize("tasks", [(0,), (0, 1, 2, 3)])
def test_labels_of_another_partitioner_are_found_by_the_hash_of_their_keys(tasks: tuple[int, ...]) -> None:
    for number, found in zip(tasks, Worker(*tasks).run(PARTITIONERS["first"], PARTITIONERS["second"]), strict=True):
        assert (found.task, found.instances, found.labels) == (number, "first", "second")
        assert found.share > 0.6
        assert found.example.partition == number
        assert f"labels[{number}] wait for instances of other partitions" in found.describe("instances")
        assert "instances is partitioned by first, labels by second" in found.describe("instances")


def test_labels_of_an_unknown_partitioner_are_found_too() -> None:
    (found,) = Worker(2).run(PARTITIONERS["first"], custom)
    assert (found.instances, found.labels) == ("first", "")
    assert "labels by another partitioner" in found.describe("instances")


def test_without_a_known_partitioner_a_worker_of_several_partitions_finds_equal_keys() -> None:
    found = Worker(0, 1, 2, 3).run(custom, PARTITIONERS["second"])
    assert [(each.task, each.instances, each.labels) for each in found] == [(n, "", "second") for n in range(COUNT)]
    assert Worker(1).run(custom, PARTITIONERS["second"]) == [None], "one that has no other partition cannot know"


@pytest.mark.parametrize("place", [PARTITIONERS["first"], custom])
def test_one_partitioner_for_both_topics_is_no_fault(place: Any) -> None:
    assert Worker(0, 1, 2, 3).run(place, place) == [None] * COUNT


def test_labels_that_wait_where_their_key_belongs_are_no_evidence() -> None:
    """Their instances come late, or never."""
    worker = Worker(1)
    own = [key for key in keys() if key[-1] % COUNT == 1]
    assert worker.batch(1, own[:40], [], []) is None
    assert worker.batch(1, [], own[40:90], own[40:90]) is None


def test_records_without_a_key_are_no_evidence() -> None:
    worker = Worker(1)
    own = [key for key in keys() if key[-1] % COUNT == 1]
    worker.batch(1, own[:40], [], [])
    nothing: Any = [None] * 50
    assert worker.batch(1, [], nothing, [b"0"]) is None


def test_a_producer_that_chooses_partitions_itself_is_no_fault() -> None:
    """Labels find their instance although their keys belong elsewhere; some come before it and are adopted."""
    worker = Worker(1)
    own = [key for key in keys() if key[-1] % COUNT == 1]
    other = [key for key in keys() if key[-1] % COUNT != 1]
    worker.batch(1, own[:40], [], [])
    assert worker.batch(1, [], other[:50], other[:15]) is None
    found = worker.batch(1, [], other[50:100], other[50:100])
    assert found is None, "labels that were applied contradict"
    early = Worker(1)
    early.batch(1, own[:40], [], [])
    assert early.batch(1, [], other[:50], other[:50]) is not None
    assert early.batch(1, [], [], [], adopted=other[:50]) is None


def test_nothing_is_looked_for_where_one_model_reads_all_partitions() -> None:
    assert Worker(0, scope="topic").run(PARTITIONERS["first"], PARTITIONERS["second"]) == [None]


def test_partitions_that_were_given_up_are_forgotten() -> None:
    worker = Worker(0, 1, 2, 3)
    worker.run(custom, custom)
    worker.watch.keep([1])
    other = [key for key in keys() if custom(key, COUNT) == 0]
    assert worker.batch(1, [], other[:50], other[:50]) is None


def test_a_bounded_number_of_keys_is_hashed_in_a_second() -> None:
    worker = Worker(1)
    hashed = 0

    def count(key: bytes, partitions: int) -> int:
        nonlocal hashed
        hashed += 1
        return 1

    settings = Settings.model_validate({"topics": {"labels": "labels"}, "engine": {"scope": "partition"}})
    worker.watch = MisplacedLabels(settings, {"counted": count}, lambda: 0.0)
    for _ in range(20):
        worker.batch(1, keys(), keys(), keys())
    assert hashed == 20 + LABELS_PER_SAMPLE


def test_misplaced_labels_are_a_metric_and_from_time_to_time_a_line_and_an_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world, moments = World(tmp_path), [0.0]
    counted = Counted(world, lambda: moments[-1])
    found = [Misplacement(3, 30, 40, "murmur2", "crc32", RawRecord("labels", 3, 17, 0, b"key", b"{}"))]
    monkeypatch.setattr(MisplacedLabels, "note", lambda *arguments: found[0] if found else None)
    applied = AppliedBatch([], [], [], 0, 0, 0, 0, [], 0, set(), set(), [], {}, 0, {})
    tasks = [Task(world.settings, number, [TopicPartition("instances", number)], LINEAGE) for number in (3, 4)]
    for moment in (1.0, 2.0, 300.0, 602.0):
        moments.append(moment)
        counted.observer.on_applied(tasks[0], applied, 0.01)
    assert counted.value("misplaced_label_share") == 0.75
    assert counted.value("events_total", kind="partitioner") == 2
    lines = [record.message for record in caplog.records]
    assert len(lines) == 2
    assert lines[0].startswith(
        "30 of the last 40 labels of labels[3] wait for instances of other partitions, such as the "
    )
    assert "offset 17: " in lines[0]
    assert "(instances is partitioned by murmur2, labels by crc32)" in lines[0]
    events = [Event.model_validate_json(record.value or b"") for record in counted.published]
    assert [(event.kind, event.after, event.n) for event in events] == [("partitioner", 0.75, 40)] * 2
    assert events[0].source == SourcePoint(topic="labels", partition=3, offset=17)
    assert {record.topic for record in counted.published} == {world.settings.topics.events}
    found.clear()
    counted.observer.on_applied(tasks[1], applied, 0.01)
    assert counted.value("misplaced_label_share") == 0.75, "that of the other partition"
    counted.observer.on_applied(tasks[0], applied, 0.01)
    assert counted.value("misplaced_label_share") == 0
