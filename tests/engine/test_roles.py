"""What a worker shows in each of its roles: metrics, readiness, and its description."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from streamlearn.engine.journal.records import Mark
from streamlearn.engine.metrics_observer import MetricsObserver
from streamlearn.engine.recovery.snapshot_writer import SnapshotStats
from streamlearn.engine.standby import StandbyStatus
from streamlearn.source.base import AssignmentChange, RawRecord, TopicPartition
from streamlearn.source.memory import MemorySource
from streamlearn.telemetry.metrics import ROLES
from tests.engine.counted import Counted, make_engine
from tests.engine.world import World, rows

SHOWN = ("labels", "features", "clusters", "model_bytes", "pending_instances", "remembered_bytes", "sequence", "chain")


class _Rebalancing(MemorySource):
    """Never waits; revokes the partitions after 40 polls without records, then assigns what a test says."""

    idle = 0
    next_assignment: tuple[TopicPartition, ...] | None = None

    def poll(self, timeout_seconds: float, limit: int) -> Mapping[TopicPartition, list[RawRecord]]:
        polled = super().poll(0.0, limit)
        self.idle = 0 if polled else self.idle + 1
        if self.idle == 40:
            self._changes.append(AssignmentChange("revoked", tuple(self._positions), None))
        if self.idle == 60 and self.next_assignment is not None:
            self._changes.append(AssignmentChange("assigned", self.next_assignment, None))
        return polled


@pytest.mark.parametrize("standby", ["warm", "cold"])
def test_a_worker_that_loses_its_partitions_says_so_and_shows_no_stale_gauge(
    tmp_path: Path, standby: str, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(
        tmp_path, measures={"interval_seconds": 1e-6}, engine={"standby": standby}, topics={"labels": "labels"}
    )
    for row in rows(40):
        world.add(row)
    world.add({"id": "waits", "x": {"f0": 1.0}})
    found: dict[str, dict[str, Any]] = {}

    class Looping(MetricsObserver):
        def on_loop(self, tasks: Any) -> None:
            super().on_loop(tasks)
            source = engine._worker.source
            assert isinstance(source, _Rebalancing)
            role = next(role for role in ROLES if counted.value("role", role=role))
            found[role] = {name: counted.value(name) for name in SHOWN} | {
                "lag": counted.value("lag_records"),
                "accuracy": counted.value("whole_measure", measure="subset_accuracy"),
                "ready": counted.observer.ready(),
            }
            if role == "unassigned":
                source.next_assignment = ()
            if role == "stand-by":
                engine.stop()

    counted = Counted(world)
    counted.observer = Looping(counted.metrics, world.settings, counted.published.append, monotonic=time.monotonic)
    engine = make_engine(world, counted, source=_Rebalancing)
    with caplog.at_level("INFO"):
        engine.run()
    active, lost, after = found["active"], found["unassigned"], found["stand-by"]
    assert all(active[name] for name in SHOWN), active
    assert active["ready"] is None
    assert "no longer active: the group has taken instances[0]" in caplog.text
    assert "standing by: the group has assigned no partitions" in caplog.text
    assert lost["ready"] == f"unassigned: waiting for an assignment of group {world.settings.kafka.group_id}"
    for shown in (lost, after):
        # A warm stand-by holds a model, and shows its sequence and chain.
        names = SHOWN[:-2] if shown is after and standby == "warm" else SHOWN
        assert {name: shown[name] for name in names} == dict.fromkeys(names, 0)
        assert shown["lag"] is None
        assert math.isnan(shown["accuracy"])


def test_a_worker_restores_a_model_that_was_overtaken_before_it_is_active_again(tmp_path: Path) -> None:
    """See also the tests of the engine; here: what the metrics show meanwhile."""
    world = World(tmp_path)
    for row in rows(80):
        world.add(row)
    roles: list[tuple[str, float | None]] = []

    class Noting(MetricsObserver):
        def on_role(self, role: str, tasks: Any) -> None:
            super().on_role(role, tasks)
            roles.append((role, counted.value("labels")))

    counted = Counted(world)
    counted.observer = Noting(counted.metrics, world.settings, counted.published.append)
    engine = make_engine(world, counted)
    committed = engine._applier._commit

    def overtake_once() -> None:
        if not overtaken:
            overtaken.append(True)
            other = World(tmp_path / "other")
            other.log = world.log
            other.run()
            raise ConnectionResetError("the outcome is not known")
        committed()

    overtaken: list[bool] = []
    engine._applier._commit = overtake_once  # type: ignore[method-assign]
    engine.run(stop_at_end=True)
    assert [role for role, _ in roles] == ["restoring", "active", "restoring", "active", "stopping"]
    assert roles[2] == ("restoring", 0), "the overtaken model is not shown"
    assert roles[3][1] == 4


def test_roles_lag_and_failures_are_set(tmp_path: Path) -> None:
    counted = Counted(World(tmp_path))
    observer = counted.observer
    assert observer.ready() == "starting: waiting for an assignment of group group"
    assert counted.value("role", role="starting") == 1
    assert counted.value("lag_records") is None, "no lag is known before the worker is active"
    observer.on_role("restoring", {})
    assert observer.ready() == "restoring"
    assert counted.value("role", role="restoring") == 1
    for role in ("stand-by", "active"):
        observer.on_role(role, {})
        assert observer.ready() is None
        assert counted.value("role", role=role) == 1
    assert counted.value("role", role="restoring") == 0
    observer.on_lag(17, 2.5)
    observer.on_restore_progress(9, 0.25)
    assert observer.ready() is None
    observer.on_snapshots(3, SnapshotStats(1_000, 2.0, 0.004))
    observer.on_snapshots(3, None)
    assert (counted.value("lag_records"), counted.value("lag_seconds")) == (17, 2.5)
    assert (counted.value("restored_rows"), counted.value("snapshot_failures")) == (9, 3)
    assert (counted.value("restored_share"), counted.value("snapshot_bytes")) == (0.25, 1_000)
    assert (counted.value("snapshot_seconds"), counted.value("snapshot_pause_seconds_count")) == (2.0, 1)
    observer.on_role("stand-by", {})
    assert counted.value("lag_records") is None
    observer.on_lag(17, 2.5)
    observer.on_standby(StandbyStatus("restoring"))
    assert counted.value("lag_seconds") is None
    observer.on_role("restoring", {})
    assert observer.ready() == "restoring"
    observer.on_restore_progress(1_234, 0.25)
    assert observer.ready() == "restoring: 25% of the batches, 1,234 rows"
    observer.on_role("unassigned", {})
    observer.on_role("restoring", {})
    assert observer.ready() == "restoring", "the progress is that of an earlier restore"


def test_a_stand_by_describes_its_status(tmp_path: Path) -> None:
    counted = Counted(World(tmp_path))
    observer = counted.observer
    observer.on_standby(StandbyStatus("restoring"))
    assert observer.ready() == "restoring"
    observer.on_standby(StandbyStatus("restoring", restored=(50, 0.5)))
    assert observer.ready() == "restoring: 50% of the batches, 50 rows"
    observer.on_standby(StandbyStatus("waiting"))
    assert (observer.ready(), observer.describe()) == (None, "stand-by, nothing to follow yet")
    mark = Mark(12, "00000000ffff" + "0" * 12)
    observer.on_standby(StandbyStatus("following", mark, 3))
    assert observer.ready() is None
    assert observer.describe() == f"stand-by, warm: at sequence 12, chain {mark.chain}, 3 batches behind"
    assert [counted.value(name) for name in ("sequence", "chain", "stand_by_warm", "stand_by_lag_batches")] == [
        12,
        0xFFFF,
        1,
        3,
    ]
    observer.on_standby(StandbyStatus("cold", reason="the disk is gone"))
    assert observer.describe() == "stand-by, cold: the disk is gone"
    assert (counted.value("stand_by_warm"), counted.value("sequence")) == (0, 0)
    observer.on_role("active", {})
    assert (observer.describe(), counted.value("stand_by_lag_batches")) == ("active", None)
