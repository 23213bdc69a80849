"""What `run` would refuse of the group's models is found before, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from streamlearn._version import MODEL_VERSION
from streamlearn.engine.loop.start_check import find_start_faults
from streamlearn.errors import StreamlearnError
from streamlearn.migrations import registry
from streamlearn.migrations.migration import Migration, SettingsMigration
from streamlearn.snapshot.store import SnapshotStore
from streamlearn.source.base import Bounds, TopicPartition
from streamlearn.source.memory import MemorySource
from tests.engine.upgrades import change_model_version
from tests.engine.world import World, rows
from tests.snapshot_faults import snapshots

FIRST = TopicPartition("instances", 0)


class Shortened(MemorySource):
    """A memory source whose log has lost its first records."""

    def bounds(self, partitions: Any) -> dict[TopicPartition, Bounds]:
        found = super().bounds(partitions)
        return {p: Bounds(45, bound.end) if p == FIRST else bound for p, bound in found.items()}


def find(world: World, kind: type[MemorySource] = MemorySource) -> list[str]:
    return find_start_faults(world.settings, kind(world.log, ["instances"], "group"), SnapshotStore(str(world.folder)))


def make_world(folder: Path, **sections: Any) -> World:
    world = World(folder, **sections)
    for row in rows(40):
        world.add(row)
    return world


@pytest.mark.parametrize("store", [True, False], ids=["snapshot", "journal"])
def test_a_fixed_setting_that_differs_is_found_and_others_are_not(tmp_path: Path, store: bool) -> None:
    world = make_world(tmp_path)
    assert find(world) == [], "there is no model yet"
    world.run(store=store)
    assert find(world) == []
    world.change(learner={"rule": "subset"}, labels={"pending_count": 7})
    assert find(world) == []
    world.change(learner={"seed": 3})
    (fault,) = find(world)
    assert fault.startswith("learner.seed is 3, but the model in the journal began with 0")
    with pytest.raises(StreamlearnError, match=r"learner\.seed is 3"):
        world.run(store=store)


@pytest.mark.parametrize("store", [True, False], ids=["snapshot", "journal"])
def test_settings_of_the_version_before_are_compared_as_they_are_migrated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: bool
) -> None:
    world = make_world(tmp_path)
    world.run(store=store)
    change_model_version(monkeypatch, MODEL_VERSION + 1)
    doubled = SettingsMigration(converted={"labels.maximum": lambda value: value * 2})
    monkeypatch.setattr(registry, "MIGRATION", Migration(MODEL_VERSION, settings=doubled))
    (fault,) = find(world)
    assert fault.startswith("labels.maximum is 16, but the model in the journal began with 32")
    world.change(labels={"maximum": 32})
    assert find(world) == []
    change_model_version(monkeypatch, MODEL_VERSION + 2)
    assert find(world) == [], "a version that is not read is found elsewhere"


def test_a_damaged_snapshot_is_no_fault_as_the_one_before_is_used(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    world.run()
    for row in rows(20):
        world.add(row)
    world.run()
    newest = max(snapshots(tmp_path), key=lambda path: path.name)
    newest.write_bytes(newest.read_bytes()[:100])
    assert find(world) == []
    world.change(learner={"seed": 3})
    assert len(find(world)) == 1


def test_offsets_that_are_no_longer_kept_are_found_unless_they_may_be_skipped(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    world.run()
    for row in rows(20):
        world.add(row)
    (fault,) = find(world, Shortened)
    assert fault.startswith("instances[0] has the offsets [45, 60), but the next one to read is 40")
    world.change(engine={"on_offset_lost": "earliest"})
    assert find(world, Shortened) == []


def test_inputs_that_were_recreated_are_found(tmp_path: Path) -> None:
    world = make_world(tmp_path, partitions=2)
    world.run()
    world.log.create("instances", 2)
    recreated, lost = find(world)
    assert "instances was recreated since the model began" in recreated
    assert "but the next one to read is 40" in lost
    world.log.create("instances", 3)
    (grown,) = find(world)
    assert grown.startswith("instances[2] has no committed offset, but the other partitions of the model have one")
