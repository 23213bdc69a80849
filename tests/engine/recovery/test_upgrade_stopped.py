"""Upgrades of a stopped group, by the command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from streamlearn.engine.recovery.upgrade_stopped import UpgradeResult, upgrade_stopped
from streamlearn.engine.recovery.version_road import Road
from streamlearn.errors import (
    OvertakenError,
    SnapshotError,
    StopError,
    UsageError,
)
from streamlearn.snapshot.store import SnapshotStore
from streamlearn.source.memory import MemorySource
from tests.engine.upgrades import (
    INSTANCES,
    PART,
    crash,
    next_release,
    offsets_answered,
    records_of,
    road_of,
    world_of,
)
from tests.engine.world import GROUP, Crash, Faults, FaultySink, World
from tests.snapshot_faults import snapshots


def upgrade(
    world: World, faults: Faults | None = None, source: Callable[..., MemorySource] = MemorySource
) -> UpgradeResult:
    observer = MemorySource(world.log, ["instances"], GROUP)
    store = SnapshotStore(str(world.folder))
    sink = FaultySink(world.log, faults or Faults())
    return upgrade_stopped(
        world.settings,
        observer,
        source(world.log, ["instances"], GROUP),
        sink,
        store,
        0,
        (INSTANCES,),
        clock=world.clock,
    )


def test_the_command_upgrades_a_stopped_group_and_writes_a_snapshot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = world_of(tmp_path / "reference")
    crash(reference, count=30)
    world = world_of(tmp_path / "world")
    crash(world, count=30)
    next_release(monkeypatch)
    result = upgrade(world)
    assert result.rows == 30
    assert road_of(world).road is Road.CONTINUE
    assert snapshots(world.folder)[0].name == f"{result.mark.seq}-{result.mark.chain}.npz"
    task = world.run().tasks[0]
    assert task.snapshot_seq == result.mark.seq, "the next start applies nothing again"
    assert task.model.state_hash() == reference.run().tasks[0].model.state_hash()
    with pytest.raises(UsageError, match="needs no upgrade"):
        upgrade(world)


@pytest.mark.parametrize("point", ["open", "before commit", "after commit"])
def test_a_command_that_dies_leaves_the_model_before_or_after_the_upgrade(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    world = world_of(tmp_path)
    crash(world)
    next_release(monkeypatch)
    faults = Faults(point)
    with pytest.raises(Crash):
        upgrade(world, faults)
    assert faults.fired
    assert len(records_of(world, "upgrade")) == (point == "after commit")
    if point != "after commit":
        upgrade(world)
    world.run()
    assert len(records_of(world, "upgrade")) == 1
    assert offsets_answered(world) == list(range(2 * PART))


def test_a_worker_that_has_run_since_makes_the_command_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of(tmp_path)
    crash(world)
    next_release(monkeypatch)

    class Late(MemorySource):
        def open(self) -> None:
            world.run()
            super().open()

    with pytest.raises((OvertakenError, StopError)):
        upgrade(world, source=Late)
    assert len(records_of(world, "upgrade")) == 1


def test_an_upgrade_whose_snapshot_is_not_written_says_that_it_is_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = world_of(tmp_path)
    crash(world)
    next_release(monkeypatch)

    def refuse(*arguments: Any) -> Any:
        raise SnapshotError("cannot write: No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(SnapshotStore, "save", refuse)
        with pytest.raises(SnapshotError, match=r"task 0 is upgraded at .*No space left on device.*start the workers"):
            upgrade(world)
    world.run()
    assert len(records_of(world, "upgrade")) == 1
