"""Rollbacks: restoring the model afterwards gives the same state from any snapshot."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from streamlearn._version import MODEL_VERSION
from streamlearn.engine import standby
from streamlearn.engine.journal import records as journal
from streamlearn.engine.recovery.rollback import roll_back
from streamlearn.engine.recovery.rollback_plan import RollbackPlan, SnapshotChoice, plan_rollback
from streamlearn.errors import JournalError, OvertakenError, RetryableError, SnapshotError, StopError, UsageError
from streamlearn.records.event import Event
from streamlearn.snapshot.store import SnapshotStore
from streamlearn.source.base import Bounds, TopicPartition
from streamlearn.source.memory import MemorySource
from streamlearn.state.arrays import unpack_texts
from tests.engine.upgrades import change_model_version
from tests.engine.world import GROUP, JOURNAL, START_NS, Crash, Faults, FaultySink, World, rows
from tests.snapshot_faults import copy_renamed, damage, snapshots

ROWS = rows(200)
PART = 40
BATCH = 20
INSTANCES = TopicPartition("instances", 0)


def world_of(folder: Path, **sections: dict[str, Any]) -> World:
    return World(folder, engine={"batch_instances": BATCH}, **sections)


def feed(world: World, part: int) -> Any:
    """Add one part of the rows, run a worker over them, and return its task."""
    for row in ROWS[part * PART : (part + 1) * PART]:
        world.add(row)
    return world.run().tasks[0]


def plan_of(world: World, name: str = "", *, until_ns: int | None = None, task: int = 0) -> RollbackPlan:
    topics = [topic for topic in (world.settings.topics.instances, world.settings.topics.labels) if topic]
    source = MemorySource(world.log, topics, GROUP)
    return plan_rollback(world.settings, source, SnapshotStore(str(world.folder)), task, SnapshotChoice(name, until_ns))


def roll_back_to(
    world: World,
    name: str,
    faults: Faults | None = None,
    source: Callable[..., MemorySource] = MemorySource,
    clock: Callable[[], int] | None = None,
) -> journal.Mark:
    plan = plan_of(world, name)
    topics = [topic for topic in (world.settings.topics.instances, world.settings.topics.labels) if topic]
    sink = FaultySink(world.log, faults or Faults())
    return roll_back(world.settings, source(world.log, topics, GROUP), sink, plan, clock or world.clock)


def run_parts(folder: Path, *parts: int) -> tuple[str, list[Any]]:
    """Return the state and the answers of a model that has seen these parts only."""
    world = world_of(folder)
    for part in parts:
        task = feed(world, part)
    return task.model.state_hash(), [answer(value) for value in world.predictions()]


def answer(value: bytes) -> Any:
    prediction = json.loads(value)
    return prediction["id"], prediction["labels"], prediction["scores"], prediction["model"]["seen"]


def test_a_rolled_back_model_continues_as_if_it_had_never_seen_the_rest(tmp_path: Path) -> None:
    world = world_of(tmp_path / "world")
    for part in range(3):
        feed(world, part)
    before = plan_of(world, "2")
    assert (before.before.seq, before.forgotten, before.learned) == (6, 2 * PART, PART)
    roll_back_to(world, "2")
    task = feed(world, 3)
    state, answers = run_parts(tmp_path / "reference", 0, 3)
    assert task.model.state_hash() == state
    answered = [answer(value) for value in world.predictions()]
    assert answered[3 * PART :] == answers[PART:]
    offsets = [json.loads(value)["source"]["offset"] for value in world.predictions()]
    assert offsets == list(range(4 * PART)), "what was consumed stays consumed, and is answered once"


def test_the_record_is_committed_with_the_offsets_and_an_event(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    for part in range(3):
        feed(world, part)
    last = world.journal()[-1]["now"]
    mark = roll_back_to(world, "2", clock=lambda: START_NS)
    record = world.journal()[-1]
    assert record["now"] == last, "the journal's clock never goes back"
    chains = {each["seq"]: each["chain"] for each in world.journal() if each["type"] == "batch"}
    assert (record["type"], record["seq"], record["before"]) == ("rollback", 7, chains[6])
    assert (record["to"], record["positions"]) == ([2, chains[2]], [["instances", 0, 3 * PART]])
    committed = world.log.committed[GROUP, INSTANCES]
    assert (committed.offset, committed.metadata) == (3 * PART, f"7:{record['chain']}") == (3 * PART, str(mark))
    event = Event.model_validate_json(world.read("events")[-1].value or b"")
    assert (event.kind, event.before, event.after, event.at.now_ns) == ("rollback", 6.0, 2.0, record["now"])
    task = feed(world, 3)
    batches = [each for each in world.journal() if each["type"] == "batch"]
    assert [each["seq"] for each in batches] == [1, 2, 3, 4, 5, 6, 8, 9]
    assert [each["rng"][0][2:] for each in batches] == [[at, at + BATCH] for at in range(0, 4 * PART, BATCH)]
    assert world.log.committed[GROUP, INSTANCES].metadata == str(task.mark) == f"9:{batches[-1]['chain']}"


@pytest.mark.parametrize("left", ["the one it went to", "one before it", "one after it", "none"])
def test_the_state_is_the_same_from_whatever_is_left(tmp_path: Path, left: str) -> None:
    world = world_of(tmp_path)
    for part in range(3):
        feed(world, part)
    roll_back_to(world, "4")
    state = feed(world, 3).model.state_hash()
    keep = {"the one it went to": 4, "one before it": 2, "one after it": 9, "none": 0}[left]
    for path in snapshots(tmp_path):
        if not path.name.startswith(f"{keep}-"):
            path.unlink()
    engine = world.engine()
    engine.run(stop_at_end=True)
    assert (engine.tasks[0].mark.seq, engine.tasks[0].model.state_hash()) == (9, state)
    assert len(world.predictions()) == 4 * PART, "a restore answers nothing"


def test_an_abandoned_snapshot_is_refused_and_the_one_before_is_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = world_of(tmp_path)
    for part in range(3):
        feed(world, part)
    roll_back_to(world, "2")
    for path in snapshots(tmp_path):
        if path.name.startswith("2-"):
            damage(path)
    task = feed(world, 3)
    assert "4 is of sequence" not in caplog.text
    assert "is of sequence 6, which the rollback to 2:" in caplog.text
    assert task.model.state_hash() == run_parts(tmp_path / "reference", 0, 3)[0], "from the journal's beginning"


def test_rolled_back_again_and_forward(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    states = {(part + 1) * 2: feed(world, part).model.state_hash() for part in range(3)}
    roll_back_to(world, "2")
    feed(world, 3)
    roll_back_to(world, "6")
    assert world.run().tasks[0].model.state_hash() == states[6], "also to what a rollback had abandoned"
    roll_back_to(world, "9")
    state = feed(world, 4).model.state_hash()
    assert state == run_parts(tmp_path / "reference", 0, 3, 4)[0]
    shutil.rmtree(tmp_path)
    assert world.run(store=False).tasks[0].model.state_hash() == state


@pytest.mark.parametrize("point", ["before commit", "after commit"])
def test_a_kill_of_the_rollback_leaves_all_or_nothing(tmp_path: Path, point: str) -> None:
    world = world_of(tmp_path / "world")
    for part in range(3):
        feed(world, part)
    with pytest.raises(Crash):
        roll_back_to(world, "2", Faults(point))
    done = point == "after commit"
    state = feed(world, 3).model.state_hash()
    assert state == run_parts(tmp_path / "reference", *((0, 3) if done else (0, 1, 2, 3)))[0]
    assert sum(each["type"] == "rollback" for each in world.journal()) == done


@pytest.mark.parametrize("point", ["before commit", "after commit"])
def test_an_unknown_outcome_of_the_rollback_is_resolved(tmp_path: Path, point: str) -> None:
    world = world_of(tmp_path)
    for part in range(2):
        feed(world, part)
    faults = Faults(point, error=lambda: OSError("the answer was lost"))
    if point == "after commit":
        assert roll_back_to(world, "2", faults).seq == 5
    else:
        with pytest.raises(RetryableError, match=r"not committed .*the answer was lost.* nothing was changed"):
            roll_back_to(world, "2", faults)
        assert plan_of(world, "2").before.seq == 4


@pytest.mark.parametrize("point", ["before commit", "after commit"])
def test_a_worker_killed_after_the_rollback_equals_one_that_was_not(tmp_path: Path, point: str) -> None:
    world = world_of(tmp_path / "world")
    for part in range(3):
        feed(world, part)
    roll_back_to(world, "4")
    for row in ROWS[3 * PART :]:
        world.add(row)
    with contextlib.suppress(Crash):
        world.run(Faults(point, 2))
    for path in snapshots(tmp_path / "world"):
        if not path.name.startswith("2-"):
            path.unlink()
    state, answers = run_parts(tmp_path / "reference", 0, 1, 3, 4)
    assert world.run().tasks[0].model.state_hash() == state
    assert [answer(value) for value in world.predictions()][3 * PART :] == answers[2 * PART :]


def test_pending_instances_and_orphans_are_rolled_back_with_the_model(tmp_path: Path) -> None:
    world = world_of(tmp_path, topics={"labels": "labels"}, labels={"orphan_seconds": 1})
    later = START_NS // 1_000_000 + 50_000

    def instance(name: str, at: int = 0) -> None:
        world.add({"id": name, "x": {"f0": 1.0}}, timestamp_ms=START_NS // 1_000_000 + at)

    def truth(name: str, label: str, at: int = 0) -> None:
        world.add({"id": name, "y": [label]}, topic="labels", timestamp_ms=START_NS // 1_000_000 + at)

    instance("early")
    instance("twice")
    world.run()
    truth("twice", "news", 1)
    instance("between", 2)
    world.run()
    first = plan_of(world, "1")
    assert first.forgotten == 2
    roll_back_to(world, "1")
    task = world.run().tasks[0]
    assert unpack_texts(*(task.pending.arrays()[name] for name in ("ids", "id_offsets"))) == ["early", "twice"]
    assert task.pending.waiting == 2, "the truth that was learnt since is forgotten, and the instance waits again"
    truth("early", "sport", 3)
    truth("twice", "news", 4)
    truth("between", "news", 5)
    world.run()
    world.add({"id": "last", "x": {"f0": 1.0}}, timestamp_ms=later)
    task = world.run().tasks[0]
    assert task.model.learned == 2
    assert [reason for reason, _ in world.dead()] == ["unknown_instance"]
    state = task.model.state_hash()
    shutil.rmtree(tmp_path)
    assert world.run(store=False).tasks[0].model.state_hash() == state
    assert len(world.predictions()) == 4


def test_settings_are_rolled_back_and_journalled_again(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    feed(world, 0)
    world.change(learner={"rule": "hamming"})
    feed(world, 1)
    roll_back_to(world, "2")
    state = feed(world, 2).model.state_hash()
    assert b'"rule":"hamming"' in world.predictions()[-1]
    assert [each["type"] for each in world.journal()][-4:] == ["rollback", "settings", "batch", "batch"]
    shutil.rmtree(tmp_path)
    assert world.run(store=False).tasks[0].model.state_hash() == state


def test_a_rollback_to_a_snapshot_of_another_release_journals_the_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = world_of(tmp_path)
    feed(world, 0)
    feed(world, 1)
    change_model_version(monkeypatch, MODEL_VERSION + 1)
    roll_back_to(world, "2")
    feed(world, 2)
    assert [each["type"] for each in world.journal()][-4:] == ["rollback", "control", "batch", "batch"]
    for path in snapshots(tmp_path):
        path.unlink()
    with pytest.raises(SnapshotError, match=f"batches after it were computed by model version {MODEL_VERSION}, "):
        world.run()


def test_the_snapshot_is_kept_until_all_kept_ones_are_newer(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    store = SnapshotStore(str(tmp_path), keep=3)

    def names() -> list[int]:
        (lineage,) = {entry.lineage for entry in store.list()}
        store.prune(GROUP, lineage, 0)
        return [entry.seq for entry in store.list()]

    for part in range(4):
        feed(world, part)
    roll_back_to(world, "2")
    assert snapshots(tmp_path)[-1].name.startswith("2-")
    kept = []
    for part in range(3):
        world.add(ROWS[part])
        world.run()
        kept.append(names())
    assert kept == [[10, 8, 6, 2], [11, 10, 8, 2], [12, 11, 10]]


def test_without_the_snapshot_and_the_journal_before_it_a_worker_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = world_of(tmp_path)
    for part in range(3):
        feed(world, part)
    roll_back_to(world, "2")
    chain = world.journal()[-1]["to"][1]
    shorten_journal(monkeypatch, 3)
    for path in snapshots(tmp_path):
        if path.name.startswith("2-"):
            path.unlink()
    with pytest.raises(SnapshotError, match=rf"rolled back to 2:{chain}.*put that snapshot or one since then back"):
        world.run()


def shorten_journal(monkeypatch: pytest.MonkeyPatch, start: int) -> None:
    """Cut the journal off before an offset, as retention does."""
    bounds = MemorySource.bounds

    def later(self: MemorySource, partitions: Any) -> Any:
        found = bounds(self, partitions)
        return {p: Bounds(start, b.end) if p.topic == JOURNAL else b for p, b in found.items()}

    monkeypatch.setattr(MemorySource, "bounds", later)


def test_a_snapshot_older_than_the_journal_needs_a_newer_one_in_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = world_of(tmp_path)
    for part in range(3):
        feed(world, part)
    shorten_journal(monkeypatch, 4)
    roll_back_to(world, "2")
    task = feed(world, 3)
    assert task.model.state_hash() == run_parts(tmp_path / "reference", 0, 3)[0]
    for path in snapshots(tmp_path):
        if not path.name.startswith("2-"):
            path.unlink()
    assert world.run().tasks[0].model.state_hash() == task.model.state_hash()
    shorten_journal(monkeypatch, 99)
    with pytest.raises(SnapshotError, match="nothing shows that it is of this model"):
        plan_of(world, "2")


def test_a_stand_by_that_meets_a_rollback_restores_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standby, "RETRY_SECONDS", 0.01)
    world = world_of(tmp_path)
    state = feed(world, 0).model.state_hash()
    feed(world, 1)
    follower = standby.Standby(
        world.settings, MemorySource(world.log, ["instances"], GROUP), SnapshotStore(str(tmp_path))
    )
    try:
        wait_for(lambda: follower.status.mark is not None and follower.status.mark.seq == 4, world)
        rolled = roll_back_to(world, "2")
        wait_for(lambda: follower.status.mark == rolled, world)
        task = follower.take_over(rolled, {INSTANCES: 2 * PART}, lambda task, rows, share: None)
        assert task is not None
        assert task.model.state_hash() == state
    finally:
        follower.close()


def wait_for(condition: Callable[[], bool], world: World) -> None:
    for _ in range(2000):
        if condition():
            return
        world.log.wait(0.02, lambda: False)
    raise AssertionError("not within 40 s")


class _Busy(MemorySource):
    def members(self) -> list[str]:
        return ["tagging-1 (10.0.0.2)", "tagging-0 (10.0.0.1)"]

    def open(self) -> None:
        raise AssertionError("it must not join")


def test_it_refuses_while_workers_live_and_names_them(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    for part in range(2):
        feed(world, part)
    length = len(world.journal())
    with pytest.raises(
        StopError, match=r"live: tagging-0 \(10.0.0.1\), tagging-1 \(10.0.0.2\)\. .*Nothing was changed"
    ):
        roll_back_to(world, "2", source=_Busy)
    assert len(world.journal()) == length


def test_a_worker_that_has_run_since_the_plan_stops_the_rollback(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    for part in range(2):
        feed(world, part)
    plan = plan_of(world, "2")
    feed(world, 2)
    source = MemorySource(world.log, ["instances"], GROUP)
    with pytest.raises(OvertakenError, match=r"was at 4:.* is at 6:.*nothing was changed"):
        roll_back(world.settings, source, FaultySink(world.log, Faults()), plan, world.clock)
    assert world.journal()[-1]["type"] == "batch"


def test_the_snapshot_is_chosen_by_sequence_name_path_or_time(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    for part in range(3):
        feed(world, part)
    by_seq = {plan_of(world, seq).entry.seq: plan_of(world, seq) for seq in ("2", "4")}
    wanted = by_seq[2]
    assert plan_of(world, wanted.entry.path).entry == wanted.entry
    assert plan_of(world, Path(wanted.entry.path).name).entry == wanted.entry
    assert plan_of(world, until_ns=wanted.taken_ns).entry == wanted.entry
    assert plan_of(world, until_ns=by_seq[4].taken_ns - 1).entry == wanted.entry
    assert plan_of(world, until_ns=by_seq[4].taken_ns).entry == by_seq[4].entry
    for name, until in (("5", None), ("", START_NS)):
        with pytest.raises(UsageError, match=r"there is no snapshot .* `streamlearn snapshot list` shows"):
            plan_of(world, name, until_ns=until)
    with pytest.raises(UsageError, match="the model is at that point already"):
        plan_of(world, "6")
    with pytest.raises(UsageError, match=r"there is no task 1: with engine\.scope = topic there are 1"):
        plan_of(world, "2", task=1)


def test_a_snapshot_that_is_broken_or_of_another_model_is_refused(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    for part in range(3):
        feed(world, part)
    middle = next(path for path in snapshots(tmp_path) if path.name.startswith("4-"))
    other = copy_renamed(middle, chain="f" * 24)
    with pytest.raises(SnapshotError, match="it belongs to another model"):
        plan_of(world, str(other))
    assert plan_of(world, "4").entry.path == str(middle)
    damage(middle)
    with pytest.raises(SnapshotError, match=middle.name):
        plan_of(world, "4")


def test_an_altered_record_of_a_rollback_stops(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    for part in range(2):
        feed(world, part)
    roll_back_to(world, "2")
    records = world.log.read(TopicPartition(JOURNAL, 0))
    altered = json.loads(records[-1].value or b"") | {"now": 1}
    records[-1] = records[-1]._replace(value=json.dumps(altered).encode())
    with pytest.raises(JournalError, match="sequence 5: the rollback's record does not have the chain"):
        world.run()


def test_one_model_of_several_is_rolled_back_alone(tmp_path: Path) -> None:
    world = World(tmp_path, partitions=2, engine={"scope": "partition"})
    for part in range(2):
        for row in ROWS[part * PART : (part + 1) * PART]:
            world.add(row)
            world.add(row, partition=1)
        tasks = world.run().tasks
    source = MemorySource(world.log, ["instances"], GROUP)
    store = SnapshotStore(str(tmp_path))
    oldest = store.list(GROUP, None, 1)[-1]
    plan = plan_rollback(world.settings, source, store, 1, SnapshotChoice(str(oldest.seq)))
    roll_back(world.settings, source, FaultySink(world.log, Faults()), plan, world.clock)
    after = world.run().tasks
    assert (after[0].mark, after[0].model.state_hash()) == (tasks[0].mark, tasks[0].model.state_hash())
    assert (after[1].mark.seq, after[1].model.learned) == (tasks[1].mark.seq + 1, PART)
