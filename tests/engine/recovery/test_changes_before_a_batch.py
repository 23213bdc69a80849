"""Changes that the journal gets with the next batch: no snapshot holds one of them before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from streamlearn.source.base import Bounds, TopicPartition
from streamlearn.source.memory import MemorySource
from tests.engine.world import World, rows
from tests.snapshot_faults import snapshots

ROWS = rows(160)
INSTANCES = TopicPartition("instances", 0)


def killed_world(folder: Path) -> World:
    """Return a world whose worker was killed after its last batch, without a snapshot."""
    world = World(folder, snapshot={"interval_seconds": 1e9})
    for row in ROWS[:80]:
        world.add(row)
    world.run(store=False)
    return world


def test_settings_that_change_after_a_kill_are_journalled_although_the_worker_stops_before_a_batch(
    tmp_path: Path,
) -> None:
    world = killed_world(tmp_path)
    world.change(learner={"scores_top": 3})
    world.run()
    assert [path.name.split("-")[0] for path in snapshots(tmp_path)] == ["2"]
    for row in ROWS[80:]:
        world.add(row)
    engine = world.run()
    assert [record["type"] for record in world.journal()][3:5] == ["settings", "batch"]
    again = world.run(store=False).tasks[0]
    assert (again.mark, again.model.state_hash()) == (engine.tasks[0].mark, engine.tasks[0].model.state_hash())


def test_a_worker_that_stops_after_it_has_skipped_lost_records_starts_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = killed_world(tmp_path)
    world.change(engine={"on_offset_lost": "earliest"})
    for row in ROWS[80:120]:
        world.add(row)

    bounds = MemorySource.bounds

    def without_the_first(self: MemorySource, partitions: Any) -> Any:
        return {p: Bounds(120, b.end) if p == INSTANCES else b for p, b in bounds(self, partitions).items()}

    monkeypatch.setattr(MemorySource, "bounds", without_the_first)
    world.run()
    assert [path.name.split("-")[0] for path in snapshots(tmp_path)] == ["2"]
    for row in ROWS[120:]:
        world.add(row)
    engine = world.run()
    assert len(world.predictions()) == 120
    assert [record["type"] for record in world.journal()][3:5] == ["control", "batch"]
    again = world.run(store=False).tasks[0]
    assert (again.mark, again.model.state_hash()) == (engine.tasks[0].mark, engine.tasks[0].model.state_hash())
