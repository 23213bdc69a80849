"""Models that a release of the next model version continues: worlds, crashes and that release."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from streamlearn._version import MODEL_VERSION
from streamlearn.engine.recovery.version_road import VersionRoad, find_road
from streamlearn.migrations import registry
from streamlearn.migrations.migration import Migration
from streamlearn.snapshot.store import SnapshotStore
from streamlearn.source.base import TopicPartition
from streamlearn.source.memory import MemorySource
from tests.engine.world import GROUP, Crash, Faults, World, rows

ROWS = rows(200)
PART = 40
INSTANCES = TopicPartition("instances", 0)
NEXT = MODEL_VERSION + 1


def change_model_version(monkeypatch: pytest.MonkeyPatch, version: int) -> None:
    """Run on as a release of another model version, which reads the one before."""
    for name, module in list(sys.modules.items()):
        if name.startswith("streamlearn.") and hasattr(module, "MODEL_VERSION"):
            monkeypatch.setattr(module, "MODEL_VERSION", version)
    monkeypatch.setattr(registry, "MIGRATION", Migration(version - 1))


def world_of(folder: Path, **sections: dict[str, Any]) -> World:
    world = World(folder, engine={"batch_instances": 10}, **sections)
    for row in ROWS[:PART]:
        world.add(row)
    world.run()
    return world


def crash(world: World, count: int = PART, batches: int = 3) -> None:
    """Add rows, and end the worker when it has committed some batches, without a snapshot of them."""
    for row in ROWS[PART : PART + count]:
        world.add(row)
    with pytest.raises(Crash):
        world.run(Faults("committed", times=batches))


def next_release(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run on as a release that computes other bits: it halves every feature."""
    change_model_version(monkeypatch, NEXT)
    from streamlearn.engine.tasks import batch

    decode = batch.decode_instance

    def halve(*arguments: Any) -> Any:
        instance = decode(*arguments)
        instance.x = {name: value / 2 for name, value in instance.x.items()}
        return instance

    monkeypatch.setattr(batch, "decode_instance", halve)


def offsets_answered(world: World) -> list[int]:
    return [json.loads(value)["source"]["offset"] for value in world.predictions()]


def records_of(world: World, kind: str) -> list[dict[str, Any]]:
    return [record for record in world.journal() if record["type"] == kind]


def road_of(world: World) -> VersionRoad:
    source = MemorySource(world.log, ["instances"], GROUP)
    return find_road(world.settings, source, SnapshotStore(str(world.folder)), 0, (INSTANCES,))
