"""Recovery: resuming equals never having stopped, and snapshots, journals and inputs that do not fit are refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, ClassVar

import pytest

from streamlearn._version import MODEL_VERSION
from streamlearn.engine.observer import NullObserver
from streamlearn.errors import (
    JournalError,
    NotDrainedError,
    OffsetLostError,
    SnapshotError,
    StopError,
    TopicError,
    UsageError,
)
from streamlearn.learner.drift.page_hinkley import Count
from streamlearn.learner.ensemble_learner import EnsembleLearner
from streamlearn.records.event import Event
from streamlearn.snapshot.store import SnapshotStore
from streamlearn.source.base import Bounds, CorruptInputError, RawRecord, TopicPartition
from streamlearn.source.memory import MemorySource
from tests.engine.upgrades import change_model_version
from tests.engine.world import JOURNAL, Faults, FaultyObserver, World, rows
from tests.snapshot_faults import alter_weights, copy_renamed, damage, snapshots

ROWS = rows(240)
INSTANCES = TopicPartition("instances", 0)


def run_in_parts(world: World, parts: int = 3) -> str:
    """Feed the rows in parts, with a restart after each; return the last state's hash."""
    size = len(ROWS) // parts
    for part in range(parts):
        for row in ROWS[part * size : (part + 1) * size]:
            world.add(row)
        engine = world.run()
    return engine.tasks[0].model.state_hash()


def uninterrupted(folder: Path) -> tuple[list[bytes], str]:
    world = World(folder)
    for row in ROWS:
        world.add(row)
    engine = world.run()
    return world.predictions(), engine.tasks[0].model.state_hash()


def test_resuming_equals_never_having_stopped(tmp_path: Path) -> None:
    world = World(tmp_path / "parts")
    state = run_in_parts(world)
    assert (world.predictions(), state) == uninterrupted(tmp_path / "whole")


def test_journal_alone_gives_the_same_state(tmp_path: Path) -> None:
    world = World(tmp_path)
    state = run_in_parts(world)
    shutil.rmtree(tmp_path)
    answered = len(world.predictions())
    assert world.run(store=False).tasks[0].model.state_hash() == state
    assert len(world.predictions()) == answered


def test_damaged_snapshot_is_refused_by_name_and_the_one_before_is_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(tmp_path)
    state = run_in_parts(world)
    newest = snapshots(tmp_path)[0]
    damage(newest)
    assert world.run().tasks[0].model.state_hash() == state
    assert f"snapshot refused: snapshot {newest}" in caplog.text or str(newest) in caplog.text


@pytest.mark.parametrize(
    ("seq", "chain", "reason"),
    [
        (None, "f" * 24, "has the chain ffffffffffffffffffffffff, committed is"),
        (10_000, None, "is of sequence 10000, beyond the committed"),
        (2, "f" * 24, "it belongs to another model"),
    ],
)
def test_foreign_and_future_snapshots_are_refused_by_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, seq: int | None, chain: str | None, reason: str
) -> None:
    world = World(tmp_path)
    state = run_in_parts(world)
    newest = snapshots(tmp_path)[0]
    other = copy_renamed(newest, seq=seq, chain=chain)
    for path in snapshots(tmp_path):
        if path != other:
            path.unlink()
    assert world.run().tasks[0].model.state_hash() == state
    assert f"{other}" in caplog.text
    assert reason in caplog.text


def test_altered_weight_is_detected_on_replay(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    world = World(tmp_path)
    state = run_in_parts(world)
    older, newest = snapshots(tmp_path)[1], snapshots(tmp_path)[0]
    newest.unlink()
    alter_weights(older)
    assert world.run().tasks[0].model.state_hash() == state
    assert "the state was altered, or this machine computes other bits" in caplog.text


def test_no_snapshot_and_a_journal_without_its_beginning_stops(tmp_path: Path) -> None:
    world = World(tmp_path)
    run_in_parts(world)
    shutil.rmtree(tmp_path)
    records = world.log.read(TopicPartition(JOURNAL, 0))
    records[0] = records[0]._replace(value=records[1].value)
    with pytest.raises(SnapshotError, match=r"no usable snapshot under .* no longer has the model's beginning"):
        world.run()


def test_changed_input_stops_the_replay(tmp_path: Path) -> None:
    world = World(tmp_path)
    run_in_parts(world)
    records = world.log.read(INSTANCES)
    records[5] = records[5]._replace(value=json.dumps(ROWS[6]).encode())
    with pytest.raises(JournalError, match="sequence 1: the input's values differ from those applied"):
        world.run(store=False)


def test_lost_input_stops_the_replay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path)
    run_in_parts(world)

    def read_less(self: Any, end: int) -> list[RawRecord]:
        records = self._records[self._position : end]
        self._position = end
        return [record for record in records if record.topic != "instances" or record.offset != 7]

    monkeypatch.setattr("streamlearn.source.memory._MemoryReader.read_to", read_less)
    with pytest.raises(OffsetLostError, match=r"instances\[0\] has 39 records in \[0, 40\), 40 were applied"):
        world.run(store=False)


def test_expired_offsets_stop_with_the_positions(tmp_path: Path) -> None:
    world = World(tmp_path)
    run_in_parts(world)
    world.log.committed.clear()
    with pytest.raises(JournalError, match=r"no offsets are committed, .* 240\]\]: the group's offsets expired"):
        world.run()


def test_recreated_topic_is_a_new_lineage(tmp_path: Path) -> None:
    world = World(tmp_path)
    run_in_parts(world)
    world.log.create("instances")
    world.log.committed.clear()
    for row in ROWS[:50]:
        world.add(row)
    engine = world.run(lineage="b" * 16)
    assert engine.tasks[0].lineage == "b" * 16
    assert engine.tasks[0].mark.seq == 2
    assert [record["id"] for record in world.journal() if record["type"] == "lineage"] == ["a" * 16, "b" * 16]
    again = world.run(lineage="c" * 16)
    assert again.tasks[0].lineage == "b" * 16
    assert again.tasks[0].model.state_hash() == engine.tasks[0].model.state_hash()


def test_recreated_topic_with_old_offsets_stops(tmp_path: Path) -> None:
    world = World(tmp_path)
    run_in_parts(world)
    world.log.create("instances")
    for row in ROWS:
        world.add(row)
    with pytest.raises(TopicError, match="instances was recreated since the model began"):
        world.run()


def test_partition_growth_stops(tmp_path: Path) -> None:
    world = World(tmp_path)
    run_in_parts(world)
    old = world.log.read(INSTANCES)[:]
    identity = world.log.topic_id("instances")
    world.log.create("instances", 2)
    world.log._ids["instances"] = identity
    world.log.read(INSTANCES).extend(old)
    with pytest.raises(TopicError, match=r"instances\[1\] has no committed offset, .* partitions were added"):
        world.run()


def test_a_labels_topic_that_the_model_began_without_is_named(tmp_path: Path) -> None:
    world = World(tmp_path)
    run_in_parts(world)
    world.change(topics={"labels": "late"})
    world.log.create("late", 1)
    with pytest.raises(UsageError, match=r"topic 'late' has no committed offset .* Set topics\.labels back"):
        world.run()


def test_partition_growth_stops_the_models_that_partitions_have_of_their_own(tmp_path: Path) -> None:
    world = World(tmp_path, engine={"scope": "partition"})
    run_in_parts(world)
    for topic in ("instances", JOURNAL):
        old, identity = world.log.read(TopicPartition(topic, 0))[:], world.log.topic_id(topic)
        world.log.create(topic, 2)
        world.log._ids[topic] = identity
        world.log.read(TopicPartition(topic, 0)).extend(old)
    with pytest.raises(TopicError, match="instances has 2 partitions, the model began with 1: keys hash to other"):
        world.run()


def test_lost_offsets_stop_by_name_or_are_skipped_as_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path)
    run_in_parts(world)
    for row in ROWS:
        world.add(row)
    bounds = MemorySource.bounds

    def later(self: MemorySource, partitions: Any) -> Any:
        return {p: Bounds(300, b.end) if p == INSTANCES else b for p, b in bounds(self, partitions).items()}

    monkeypatch.setattr(MemorySource, "bounds", later)
    with pytest.raises(
        OffsetLostError, match=r"instances\[0\] has the offsets \[300, 480\), but the next one to read is 240"
    ):
        world.run()
    world.change(engine={"on_offset_lost": "earliest"})
    engine = world.run()
    assert len(world.predictions()) == 240 + 180
    assert [record["lost"] for record in world.journal() if record["type"] == "control"] == [
        [["instances", 0, 240, 300]]
    ]
    monkeypatch.setattr(MemorySource, "bounds", bounds)
    shutil.rmtree(tmp_path)
    assert world.run(store=False).tasks[0].model.state_hash() == engine.tasks[0].model.state_hash()


def test_settings_that_change_are_journalled(tmp_path: Path) -> None:
    world = World(tmp_path)
    for row in ROWS[:120]:
        world.add(row)
    world.run()
    world.change(learner={"rule": "hamming"}, engine={"frozen": True})
    for row in ROWS[120:]:
        world.add(row)
    engine = world.run()
    (change,) = (record for record in world.journal() if record["type"] == "settings")
    assert (change["settings"]["learner.rule"], change["settings"]["engine.frozen"]) == ("hamming", True)
    assert engine.tasks[0].model.learned == 120
    assert b'"rule":"hamming"' in world.predictions()[-1]
    shutil.rmtree(tmp_path)
    again = world.run(store=False)
    assert again.tasks[0].model.state_hash() == engine.tasks[0].model.state_hash()


@pytest.mark.parametrize("detector", ["page_hinkley", "none"])
def test_another_drift_detector_begins_at_the_journalled_batch(tmp_path: Path, detector: str) -> None:
    world = World(tmp_path)
    for row in ROWS[:120]:
        world.add(row)
    before = world.run().tasks[0].model.learner
    assert isinstance(before, EnsembleLearner)
    assert before.detectors.kind == "adwin"
    world.change(drift={"detector": detector, "significance": 0.01, "cooldown_rows": 7})
    for row in ROWS[120:]:
        world.add(row)
    engine = world.run()
    (change,) = (record for record in world.journal() if record["type"] == "settings")
    assert change["settings"]["drift.detector"] == detector
    learner = engine.tasks[0].model.learner
    assert isinstance(learner, EnsembleLearner)
    assert (learner.detectors.kind, learner.detectors.state.cooldown_rows) == (detector, 7)
    if detector == "page_hinkley":
        assert learner.detectors.state.page_hinkley.counts[:, Count.VALUES].max() == len(ROWS) - 120
    shutil.rmtree(tmp_path)
    again = world.run(store=False)
    assert again.tasks[0].model.state_hash() == engine.tasks[0].model.state_hash()


@pytest.mark.parametrize("late", [False, True])
def test_an_event_has_the_source_of_the_learnt_record(tmp_path: Path, late: bool) -> None:
    world = World(tmp_path, topics={"labels": "labels"})
    for row in ROWS[:40]:
        world.add({"id": row["id"], "x": row["x"]} if late else row)
        if late:
            world.add({"id": row["id"], "y": row["y"]}, topic="labels")
    world.run()
    events = [json.loads(record.value or b"") for record in world.read("events")]
    ready = next(event for event in events if event["signal"] == "label_sets")
    topic = "labels" if late else "instances"
    assert ready["source"] == {"topic": topic, "partition": 0, "offset": ready["at"]["row"]}
    assert all(Event.model_validate(event).source for event in events)


@pytest.mark.parametrize(
    ("sections", "name"),
    [
        ({"learner": {"seed": 3}}, "learner.seed"),
        ({"labels": {"maximum": 17}}, "labels.maximum"),
        ({"labels": {"declared": ["x"]}}, "labels.declared"),
        ({"features": {"hashed": True}}, "features.hashed"),
    ],
)
def test_settings_that_a_model_cannot_change_are_refused_with_a_way_out(
    tmp_path: Path, sections: dict[str, Any], name: str
) -> None:
    world = World(tmp_path)
    run_in_parts(world)
    world.change(**sections)
    with pytest.raises(UsageError, match=rf"{name} is .* began with .* another kafka\.group_id"):
        world.run()


def test_another_release_continues_only_from_a_snapshot_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path)
    state = run_in_parts(world)
    newest = snapshots(tmp_path)[0]
    change_model_version(monkeypatch, MODEL_VERSION + 1)
    assert world.run().tasks[0].model.state_hash() == state
    world.add(ROWS[0])
    world.run()
    changes = [record for record in world.journal() if record["type"] == "control"]
    assert [change["model_version"] for change in changes] == [MODEL_VERSION + 1]
    for path in snapshots(tmp_path):
        if path != newest:
            path.unlink()
    newest.unlink(missing_ok=True)
    with pytest.raises(SnapshotError, match=f"batches after it were computed by model version {MODEL_VERSION}, "):
        world.run()


def test_foreign_offsets_are_refused(tmp_path: Path) -> None:
    world = World(tmp_path)
    run_in_parts(world)
    key = next(iter(world.log.committed))
    world.log.committed[key] = world.log.committed[key]._replace(metadata="")
    with pytest.raises(JournalError, match="the consumer group is used by another program"):
        world.run()


def test_a_corrupt_record_stops_the_worker_or_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path)
    for row in ROWS[:100]:
        world.add(row)
    bad = 61
    poll = MemorySource.poll

    def polling(self: MemorySource, timeout_seconds: float, limit: int) -> Any:
        position = self._positions.get(INSTANCES, 0)
        if position == bad:
            raise CorruptInputError(INSTANCES, bad, "checksum")
        return poll(self, timeout_seconds, min(limit, bad - position) if position < bad else limit)

    monkeypatch.setattr(MemorySource, "poll", polling)
    with pytest.raises(CorruptInputError, match=r"instances\[0\] cannot be read at offset 61: checksum"):
        world.run()
    world.change(engine={"on_offset_lost": "earliest"})
    engine = world.run()
    offsets = [json.loads(value)["source"]["offset"] for value in world.predictions()]
    assert offsets == [offset for offset in range(100) if offset != bad]
    (control,) = (record for record in world.journal() if record["type"] == "control")
    assert control["lost"] == [["instances", 0, bad, bad + 1]]
    (dead,) = world.read("dead-letters")
    assert (dead.key, dead.value) == (b"", None)
    headers = {name: value.decode() for name, value in dead.headers}
    assert headers["streamlearn.reason"] == "corrupt_record"
    assert headers["streamlearn.text"] == "checksum"
    assert (headers["streamlearn.topic"], headers["streamlearn.partition"], headers["streamlearn.offset"]) == (
        "instances",
        "0",
        str(bad),
    )
    assert "streamlearn.pointer" in headers
    assert world.run(store=False).tasks[0].model.state_hash() == engine.tasks[0].model.state_hash()
    assert len(world.read("dead-letters")) == 1, "a replay writes nothing"


@pytest.mark.parametrize("bad", [b"{", b'{"v": 1, "type": "batch"}', b"\xff\xfe", None])
def test_a_corrupt_record_of_the_journal_stops_at_once_and_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, bad: bytes | None
) -> None:
    world = World(tmp_path)
    run_in_parts(world)
    snapshots(tmp_path)[0].unlink()
    records = world.log.read(TopicPartition(JOURNAL, 0))
    records[-1] = records[-1]._replace(value=bad, key=b"")
    faults = Faults()
    match = (
        r"group-journal\[0\]@6 is not a journal record .*Restore the partition from another replica, or put a snapshot"
    )
    with pytest.raises(JournalError, match=match):
        world.run(faults)
    assert "trying again" not in caplog.text
    assert faults.passed["open"] == 1


def test_a_journal_that_fails_its_checksum_stops_at_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path)
    run_in_parts(world)

    def damaged(self: Any, end: int) -> list[RawRecord]:
        raise StopError("group-journal[0] cannot be read again at offset 6")

    monkeypatch.setattr("streamlearn.source.memory._MemoryReader.read_to", damaged)
    faults = Faults()
    with pytest.raises(StopError, match="cannot be read again at offset 6"):
        world.run(faults)
    assert "trying again" not in caplog.text
    assert faults.passed["open"] == 1


class _FullStore(SnapshotStore):
    def save(self, *arguments: Any) -> Any:
        raise ValueError("the bucket's own error")


def test_a_snapshot_that_fails_in_any_way_is_counted_and_answers_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(tmp_path, snapshot={"interval_seconds": 1e-9})
    for row in ROWS:
        world.add(row)
    monkeypatch.setattr(SnapshotStore, "save", _FullStore.save)
    with pytest.raises(NotDrainedError, match="it has no snapshot: ValueError: the bucket's own error"):
        world.run()
    assert len(world.predictions()) == len(ROWS)
    assert "snapshot not written, the engine continues without it: ValueError: the bucket's own error" in caplog.text
    monkeypatch.undo()
    world.change(snapshot={"interval_seconds": 1e9})
    world.run()
    assert len(snapshots(tmp_path)) == 1


@pytest.mark.parametrize("store", [True, False])
def test_a_stop_ends_a_restore_between_two_batches_and_loses_nothing(tmp_path: Path, store: bool) -> None:
    world = World(tmp_path)
    for row in ROWS[:40]:
        world.add(row)
    world.run()
    for row in ROWS[40:]:
        world.add(row)
    state = world.run(store=False).tasks[0].model.state_hash()
    before = world.journal(), world.predictions(), snapshots(tmp_path)

    class Stopping(FaultyObserver):
        shares: ClassVar[list[float]] = []

        def on_restore_progress(self, rows: int, share: float) -> None:
            if rows:
                self.shares.append(share)
                assert engine.has_nothing_to_save
                engine.stop()

    observer = Stopping(Faults())
    engine = world.engine(store=store, observer=observer)
    engine.run()
    assert observer.attempts == [], "a stop is no failure"
    assert len(Stopping.shares) == 1, "the restore continues after the stop"
    assert 0 < Stopping.shares[0] < 1
    assert not engine.tasks
    assert engine.has_nothing_to_save
    assert (world.journal(), world.predictions(), snapshots(tmp_path)) == before
    Stopping.shares.clear()
    again = world.run(store=store)
    assert again.tasks[0].model.state_hash() == state
    assert (world.journal(), world.predictions()) == before[:2]


def test_an_active_worker_has_something_to_save_until_it_has_ended(tmp_path: Path) -> None:
    world = World(tmp_path)
    for row in ROWS:
        world.add(row)
    found: list[bool] = []

    class Noting(NullObserver):
        def on_committed(self, tasks: Any, batch_seconds: float, commit_seconds: float) -> None:
            found.append(engine.has_nothing_to_save)

        def on_snapshots(self, failures: int, last: Any) -> None:
            found.append(engine.has_nothing_to_save)

    engine = world.engine(observer=Noting())
    assert engine.has_nothing_to_save
    engine.run(stop_at_end=True)
    assert found
    assert not any(found[1:])
    assert snapshots(tmp_path)
