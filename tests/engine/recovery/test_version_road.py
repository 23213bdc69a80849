"""Models that this release does not continue are refused with the way out."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamlearn._version import MODEL_VERSION
from streamlearn.engine.recovery.snapshot_manifest import load_task
from streamlearn.engine.recovery.version_road import Road
from streamlearn.errors import (
    OtherVersionError,
    SnapshotError,
)
from streamlearn.snapshot.store import SnapshotStore
from tests.engine.upgrades import (
    INSTANCES,
    NEXT,
    PART,
    ROWS,
    change_model_version,
    crash,
    next_release,
    road_of,
    world_of,
)
from tests.engine.world import World
from tests.snapshot_faults import snapshots


def test_a_version_that_is_not_read_is_refused_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = world_of(tmp_path)
    change_model_version(monkeypatch, MODEL_VERSION + 2)
    road = road_of(world)
    assert road.road is Road.REFUSE
    assert f"this release reads version {MODEL_VERSION + 1}" in road.text
    with pytest.raises(OtherVersionError, match="run --drain"):
        world.run()


def test_a_newer_model_is_refused_with_the_snapshot_of_this_release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = world_of(tmp_path)
    own = snapshots(tmp_path)[0]
    with monkeypatch.context() as patch:
        next_release(patch)
        for row in ROWS[PART : 2 * PART]:
            world.add(row)
        world.run()
    road = road_of(world)
    assert road.road is Road.REFUSE
    assert road.text.endswith(f"the newest of these is {own}")
    with pytest.raises(OtherVersionError, match="snapshot rollback"):
        world.run()


def test_a_snapshot_that_this_release_does_not_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of(tmp_path)
    with monkeypatch.context() as patch:
        next_release(patch)
        for row in ROWS[PART : 2 * PART]:
            world.add(row)
        world.run()
    newest = SnapshotStore(str(tmp_path)).list()[0]
    with pytest.raises(SnapshotError, match=rf"^{newest.path}: model version {NEXT} cannot be read"):
        load_task(world.settings, SnapshotStore(str(tmp_path)), newest, (INSTANCES,))


def test_a_model_without_a_snapshot_is_upgraded_from_its_beginning_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, engine={"batch_instances": 10})
    crash(world)
    next_release(monkeypatch)
    assert "30 rows were applied since the model's beginning: " in road_of(world).text
