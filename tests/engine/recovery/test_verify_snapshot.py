"""A snapshot is verified by replaying the journal, or it is reported what cannot be verified and why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from streamlearn._version import MODEL_VERSION
from streamlearn.engine.recovery.verify_snapshot import SnapshotVerification, verify_against_journal
from streamlearn.errors import JournalError, OffsetLostError, SnapshotError
from streamlearn.snapshot.format import read_snapshot, write_snapshot
from streamlearn.snapshot.store import SnapshotStore
from streamlearn.source.base import TopicPartition
from streamlearn.source.memory import MemorySource
from tests.engine.recovery.test_rollback import roll_back_to, shorten_journal
from tests.engine.upgrades import change_model_version
from tests.engine.world import GROUP, Crash, Faults, World, rows
from tests.snapshot_faults import alter_weights, copy_renamed, snapshots

ROWS = rows(120)


def run(folder: Path, parts: int = 3) -> World:
    world = World(folder)
    for part in range(parts):
        for row in ROWS[40 * part : 40 * (part + 1)]:
            world.add(row)
        world.run()
    return world


def verify(world: World, seq: int) -> SnapshotVerification:
    store = SnapshotStore(str(world.folder))
    (entry,) = (entry for entry in store.list() if entry.seq == seq)
    return verify_against_journal(world.settings, MemorySource(world.log, ["instances"], GROUP), store, entry)


def test_a_snapshot_is_verified_from_the_one_before_or_from_the_beginning(tmp_path: Path) -> None:
    world = run(tmp_path)
    assert verify(world, 3) == ("replayed", "the journal applied again from sequence 2 gives the same state")
    assert verify(world, 1) == (
        "replayed",
        "the journal applied again from the model's beginning gives the same state",
    )
    roll_back_to(world, "1")
    world.add(ROWS[0])
    world.run()
    assert verify(world, 5).text == "the journal applied again from sequence 1 gives the same state"
    assert verify(world, 3).text == "the journal applied again from sequence 2 gives the same state"


def test_an_altered_state_whose_checksums_fit_is_found(tmp_path: Path) -> None:
    world = run(tmp_path)
    alter_weights(snapshots(tmp_path)[0])
    with pytest.raises(SnapshotError, match=r"model\.learner.* is not what the replay from sequence 2 gives"):
        verify(world, 3)


def test_an_altered_earlier_snapshot_is_refused_and_the_one_before_that_is_used(tmp_path: Path) -> None:
    world = run(tmp_path)
    alter_weights(snapshots(tmp_path)[1])
    assert verify(world, 3).text == "the journal applied again from sequence 1 gives the same state"


@pytest.mark.parametrize(("key", "value"), [("positions", [["instances", 0, 119]]), ("now", 1)])
def test_an_altered_manifest_is_found(tmp_path: Path, key: str, value: Any) -> None:
    world = run(tmp_path)
    path = snapshots(tmp_path)[0]
    manifest, arrays = read_snapshot(path)
    keys = {name: manifest[name] for name in manifest if name not in ("format", "version", "arrays")}
    write_snapshot(path, arrays, keys | {key: value})
    with pytest.raises((SnapshotError, JournalError), match=rf"says {key} |do not belong together"):
        verify(world, 3)


def test_a_snapshot_of_another_model_is_refused(tmp_path: Path) -> None:
    world = run(tmp_path)
    copy_renamed(snapshots(tmp_path)[0], seq=7)
    with pytest.raises(SnapshotError, match="it belongs to another model"):
        verify(world, 7)


def test_changed_input_is_found(tmp_path: Path) -> None:
    world = run(tmp_path)
    records = world.log.read(TopicPartition("instances", 0))
    records[100] = records[100]._replace(value=json.dumps(ROWS[6]).encode())
    with pytest.raises(JournalError, match="sequence 3: the input's values differ from those applied"):
        verify(world, 3)


def test_what_the_journal_no_longer_has_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = run(tmp_path)
    shorten_journal(monkeypatch, 2)
    assert verify(world, 3).result == "replayed", "the snapshot before it and the batches since are enough"
    first = verify(world, 1)
    assert first == ("unverified", "the journal begins at offset 2, its record of this point was at 1")
    snapshots(tmp_path)[2].unlink()
    second = verify(world, 2)
    assert second.result == "recorded"
    assert "no longer has the model's beginning" in second.text


def test_what_cannot_be_replayed_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = run(tmp_path)

    def raise_lost(self: Any, end: int) -> Any:
        if self._records and self._records[0].topic == "instances":
            raise OffsetLostError("instances[0] no longer has the records from 0 on")
        records = self._records[self._position : end]
        self._position = end
        return records

    with monkeypatch.context() as patch:
        patch.setattr("streamlearn.source.memory._MemoryReader.read_to", raise_lost)
        assert verify(world, 2) == ("recorded", "instances[0] no longer has the records from 0 on")
    change_model_version(monkeypatch, MODEL_VERSION + 1)
    other = verify(world, 3)
    assert other.result == "recorded"
    assert other.text.startswith(f"model version {MODEL_VERSION} computed it")


def test_a_model_that_another_one_has_followed_is_not_replayed(tmp_path: Path) -> None:
    world = run(tmp_path, 1)
    world.log.create("instances")
    world.log.committed.clear()
    world.add(ROWS[0])
    world.run(lineage="b" * 16)
    store = SnapshotStore(str(tmp_path))
    source = MemorySource(world.log, ["instances"], GROUP)
    results = {
        entry.lineage[0]: verify_against_journal(world.settings, source, store, entry).result for entry in store.list()
    }
    assert results == {"a": "recorded", "b": "replayed"}


def test_another_release_of_the_model_version_verifies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = run(tmp_path)
    monkeypatch.setattr("streamlearn.engine.recovery.snapshot_manifest.__version__", "9.9.9")
    assert verify(world, 3).result == "replayed"


def test_a_snapshot_after_an_upgrade_is_verified_from_its_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = run(tmp_path)
    newest = max(entry.seq for entry in SnapshotStore(str(tmp_path)).list())
    for row in ROWS:
        world.add(row)
    with pytest.raises(Crash):
        world.run(Faults("committed"))
    change_model_version(monkeypatch, MODEL_VERSION + 1)
    upgraded = world.run().tasks[0]
    result = verify(world, upgraded.mark.seq)
    assert result.result == "replayed"
    assert upgraded.upgrade is not None
    assert upgraded.upgrade.base.seq == newest
