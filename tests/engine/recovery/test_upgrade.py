"""Upgrades to another model version: rows since the last snapshot are applied again, and nothing is answered twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from streamlearn._version import MODEL_VERSION
from streamlearn.engine.journal import records as journal
from streamlearn.engine.recovery.verify_snapshot import verify_against_journal
from streamlearn.engine.recovery.version_road import Road
from streamlearn.errors import (
    JournalError,
    OutOfReachError,
    RetryableError,
    SnapshotError,
)
from streamlearn.records.event import Event
from streamlearn.snapshot.store import SnapshotStore
from streamlearn.source.base import TopicPartition
from streamlearn.source.memory import MemorySource
from tests.engine.test_standby import second
from tests.engine.upgrades import (
    NEXT,
    PART,
    ROWS,
    crash,
    next_release,
    offsets_answered,
    records_of,
    road_of,
    world_of,
)
from tests.engine.world import GROUP, JOURNAL, Crash, Faults, World
from tests.snapshot_faults import damage, snapshots


def test_rows_since_the_snapshot_are_learnt_again_and_answered_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = world_of(tmp_path)
    base = snapshots(tmp_path)[0]
    crash(world)
    before = world.predictions()
    assert road_of(world).road is Road.CONTINUE
    next_release(monkeypatch)
    road = road_of(world)
    assert (road.road, road.rows) == (Road.UPGRADE, 30)
    task = world.run().tasks[0]
    (record,) = records_of(world, "upgrade")
    assert (record["from_version"], record["to_version"], record["rows"]) == (MODEL_VERSION, NEXT, 30)
    assert f"{record['base'][0]}-{record['base'][1]}.npz" == base.name
    assert offsets_answered(world) == list(range(2 * PART))
    assert world.predictions()[: len(before)] == before, "committed answers stay what they were"
    (event,) = [json.loads(r.value or b"") for r in world.read("events") if b'"upgrade"' in (r.value or b"")]
    assert Event.model_validate(event).n == 30
    assert (event["before"], event["after"]) == (MODEL_VERSION, NEXT)
    assert task.model.learned == 2 * PART


def test_the_state_is_that_of_the_new_release_on_the_same_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of(tmp_path / "crashed")
    crash(world)
    drained = world_of(tmp_path / "drained")
    next_release(monkeypatch)
    state = world.run().tasks[0].model.state_hash()
    for row in ROWS[PART : 2 * PART]:
        drained.add(row)
    assert drained.run().tasks[0].model.state_hash() == state
    assert not records_of(drained, "upgrade")
    assert [r["model_version"] for r in records_of(drained, "control")] == [NEXT]


@pytest.mark.parametrize("kept", ["base", "all", "after"])
def test_every_restore_after_an_upgrade_gives_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: str
) -> None:
    world = world_of(tmp_path)
    base = snapshots(tmp_path)[0]
    crash(world)
    next_release(monkeypatch)
    world.run()
    for row in ROWS[2 * PART : 3 * PART]:
        world.add(row)
    task = world.run().tasks[0]
    for path in snapshots(tmp_path):
        if (path == base) == (kept == "after") and kept != "all":
            path.unlink()
    again = world.run().tasks[0]
    assert (again.mark, again.model.state_hash()) == (task.mark, task.model.state_hash())
    assert len(records_of(world, "upgrade")) == 1
    assert again.upgrade is not None


def test_no_restore_crosses_an_upgrade_from_another_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of(tmp_path)
    first = snapshots(tmp_path)[0]
    for row in ROWS[PART : 2 * PART]:
        world.add(row)
    world.run()
    base = snapshots(tmp_path)[0]
    for row in ROWS[2 * PART : 3 * PART]:
        world.add(row)
    with pytest.raises(Crash):
        world.run(Faults("committed", times=2))
    next_release(monkeypatch)
    world.run()
    for path in snapshots(tmp_path):
        if path != first:
            path.unlink()
    with pytest.raises(SnapshotError, match=rf"only the snapshot {base.name} leads across it"):
        world.run()


def test_a_model_without_a_snapshot_is_upgraded_from_its_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, engine={"batch_instances": 10})
    crash(world)
    next_release(monkeypatch)
    task = world.run().tasks[0]
    (record,) = records_of(world, "upgrade")
    assert (record["base"][0], record["rows"]) == (0, 30)
    for path in snapshots(tmp_path):
        path.unlink()
    again = world.run().tasks[0]
    assert again.model.state_hash() == task.model.state_hash()
    assert offsets_answered(world) == list(range(PART))


POINTS = ["open", "before commit", "after commit", "read committed"]


@pytest.mark.parametrize("error", [Crash, RetryableError])
@pytest.mark.parametrize("point", POINTS)
def test_a_worker_that_fails_while_it_upgrades_upgrades_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str, error: type[BaseException]
) -> None:
    reference = world_of(tmp_path / "reference")
    crash(reference)
    world = world_of(tmp_path / "world")
    crash(world)
    next_release(monkeypatch)
    state = reference.run().tasks[0].model.state_hash()
    faults = Faults(point, error=lambda: error("failed"))
    if error is Crash:
        with pytest.raises(Crash):
            world.run(faults)
        task = world.run().tasks[0]
    else:
        task = world.run(faults).tasks[0]
    assert faults.fired
    assert len(records_of(world, "upgrade")) == 1
    assert task.model.state_hash() == state
    assert offsets_answered(world) == list(range(2 * PART))
    # A snapshot of the mark refers to its journal record, also when its commit was found out later.
    assert world.run().tasks[0].snapshot_seq == task.mark.seq


def test_labels_that_wait_are_kept_and_rows_carry_the_new_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def begin(folder: Path) -> World:
        world = World(folder, engine={"batch_instances": 10}, topics={"labels": "labels"})
        for number, row in enumerate(ROWS[:PART]):
            world.add({"id": f"i{number}", "x": row["x"]}, timestamp_ms=1_700_000_000_000 + number)
        world.run()
        return world

    def go_on(world: World) -> None:
        for number, row in enumerate(ROWS[PART : 2 * PART], PART):
            world.add({"id": f"i{number}", "x": row["x"]}, timestamp_ms=1_700_000_000_000 + number)

    def label(world: World) -> None:
        for number, row in enumerate(ROWS[: 2 * PART]):
            value = {"id": f"i{number}", "y": row["y"]}
            world.add(value, topic="labels", timestamp_ms=1_700_000_001_000 + number)

    world, drained = begin(tmp_path / "world"), begin(tmp_path / "drained")
    go_on(world)
    with pytest.raises(Crash):
        world.run(Faults("committed", times=2))
    next_release(monkeypatch)
    go_on(drained)
    for each in (world, drained):
        each.run()
        label(each)
    upgraded, other = world.run().tasks[0], drained.run().tasks[0]
    assert 0 < records_of(world, "upgrade")[0]["rows"] < PART
    assert upgraded.model.learned == 2 * PART
    assert upgraded.model.state_hash() == other.model.state_hash(), "measures score the answers of the new release"


def test_an_upgrade_keeps_what_happened_since_the_snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of(tmp_path)
    world.change(learner={"rule": "hamming"})
    crash(world)
    next_release(monkeypatch)
    task = world.run().tasks[0]
    assert records_of(world, "settings")[0]["settings"]["learner.rule"] == "hamming"
    for path in snapshots(tmp_path)[:-1]:
        path.unlink()
    assert world.run().tasks[0].model.state_hash() == task.model.state_hash()


def test_a_broken_newest_snapshot_makes_the_one_before_the_base(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = world_of(tmp_path)
    first = snapshots(tmp_path)[0]
    for row in ROWS[PART : 2 * PART]:
        world.add(row)
    world.run()
    damage(snapshots(tmp_path)[0])
    for row in ROWS[2 * PART : 3 * PART]:
        world.add(row)
    next_release(monkeypatch)
    world.run()
    (record,) = records_of(world, "upgrade")
    assert f"{record['base'][0]}-{record['base'][1]}.npz" == first.name
    assert record["rows"] == PART


def test_an_altered_record_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of(tmp_path)
    base = snapshots(tmp_path)[0]
    crash(world)
    next_release(monkeypatch)
    world.run()
    for path in snapshots(tmp_path):
        if path != base:
            path.unlink()
    partition = TopicPartition(JOURNAL, 0)
    records = world.log._records[partition]
    (index,) = [i for i, record in enumerate(records) if b'"upgrade"' in (record.value or b"")]
    original = records[index]
    records[index] = original._replace(value=(original.value or b"").replace(b'"rows":30', b'"rows":31'))
    with pytest.raises(JournalError, match="does not have the chain that belongs to it"):
        world.run()


def test_a_standby_of_the_next_version_waits_and_takes_over_a_crashed_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = world_of(tmp_path / "reference")
    crash(reference)
    world = world_of(tmp_path / "world")
    crash(world)
    next_release(monkeypatch)
    state = reference.run().tasks[0].model.state_hash()
    with second(world) as worker:
        worker.wait("cold", lambda: worker.status.state == "cold")
        assert worker.status.reason.startswith("waits for an upgrade: the model is of model version")
        worker.source.promote()
        worker.wait("active", lambda: "active" in worker.observer.roles and len(world.predictions()) == 2 * PART)
        assert worker.engine.tasks[0].model.state_hash() == state
    assert len(records_of(world, "upgrade")) == 1
    assert offsets_answered(world) == list(range(2 * PART))


def test_a_standby_of_the_next_version_takes_over_a_drained_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = world_of(tmp_path)
    next_release(monkeypatch)
    with second(world) as worker:
        worker.wait("cold", lambda: worker.status.state == "cold")
        worker.source.promote()
        worker.wait("active", lambda: "active" in worker.observer.roles)
    assert not records_of(world, "upgrade")


def test_a_standby_of_the_version_before_says_that_it_needs_the_upgrade_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = world_of(tmp_path)
    with second(world) as worker:
        worker.wait("warm", lambda: worker.status.state == "following")
        record = journal.ControlRecord(journal.VERSION, 0, model_version=NEXT, release="9.0")
        world.log.append(JOURNAL, 0, journal.encode(record), timestamp_ms=0)
        worker.wait("cold", lambda: worker.status.state == "cold")
        assert "upgrade this worker too" in worker.status.reason


def test_the_base_and_the_last_snapshot_of_the_version_before_are_kept_until_there_are_as_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = world_of(tmp_path)
    crash(world)
    base = snapshots(tmp_path)[0]
    store = SnapshotStore(str(tmp_path), keep=3)
    next_release(monkeypatch)
    kept = []
    for part in range(2, 5):
        for row in ROWS[part * PART : (part + 1) * PART]:
            world.add(row)
        world.run()
        (lineage,) = {entry.lineage for entry in store.list()}
        store.prune(GROUP, lineage, 0)
        own = [entry for entry in store.list() if store.read_manifest(entry)["model_version"] == NEXT]
        kept.append((len(own), base in snapshots(tmp_path)))
    assert kept == [(2, True), (3, False), (3, False)]


@pytest.mark.parametrize("kept", ["base", "none", "other"])
def test_a_snapshot_after_an_upgrade_is_verified_from_the_base_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: str
) -> None:
    world = world_of(tmp_path)
    other = snapshots(tmp_path)[0]
    for row in ROWS[2 * PART : 3 * PART]:
        world.add(row)
    world.run()
    base = snapshots(tmp_path)[0]
    crash(world)
    next_release(monkeypatch)
    world.run()
    newest = snapshots(tmp_path)[0]
    for path in snapshots(tmp_path):
        if path not in (newest, {"base": base, "other": other}.get(kept)):
            path.unlink()
    store = SnapshotStore(str(tmp_path))
    source = MemorySource(world.log, ["instances"], GROUP)
    result, text = verify_against_journal(world.settings, source, store, store.list()[0])
    if kept == "base":
        assert result == "replayed"
    else:
        # It is whole, although nothing leads to it.
        assert result == "recorded"
        assert f"only the snapshot {base.name} leads across it" in text


def test_a_base_that_is_gone_or_damaged_is_named_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = world_of(tmp_path)
    base = snapshots(tmp_path)[0]
    crash(world)
    next_release(monkeypatch)
    world.run()
    for path in snapshots(tmp_path):
        if path != base:
            path.unlink()
    damage(base)
    with pytest.raises(OutOfReachError) as raised:
        world.run()
    text = str(raised.value)
    assert f"only the snapshot {base.name} leads across it" in text
    assert f"{base} is damaged or truncated" in text
    assert text.endswith(
        "put that snapshot back, or one since then, or go back to another one with `streamlearn snapshot rollback`"
    )
