"""The layouts of version 0, of which release 0.1.0 wrote the first, are read as the loaders need them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from streamlearn.engine.recovery.snapshot_manifest import load_task
from streamlearn.engine.tasks.task import Task
from streamlearn.engine.waiting.event_clock import CONFIRMATIONS, UNSET
from streamlearn.errors import MissingArrayError
from streamlearn.migrations.from_0 import MIGRATION
from streamlearn.migrations.migrated_arrays import MigratedArrays
from streamlearn.snapshot.store import SnapshotStore
from streamlearn.state.arrays import state_hash
from tests.golden.snapshots.case import FOLDER, INSTANCES, LABELS, LINEAGE, SETTINGS, unpack

LATER = (
    "bad_records.bad",
    "bad_records.count",
    "model.learner.panel.neighbours.learnt_rows",
    "pending.orphan_header_nulls",
)
"""Arrays that later releases of version 0 added."""


@pytest.fixture(scope="module")
def newest(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """The arrays of a task as the last release of version 0 wrote them."""
    store, entry, _ = unpack(FOLDER / "0", tmp_path_factory.mktemp("version-0"))
    return store.read(entry)[1]


def _first_layout(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    old = {name: array for name, array in arrays.items() if name not in LATER}
    return old | {"pending.clock": arrays["pending.clock"][:2]}


def _task() -> Task:
    return Task(SETTINGS, 0, [INSTANCES, LABELS], LINEAGE)


def test_the_newest_layout_passes_unchanged(newest: dict[str, np.ndarray]) -> None:
    assert state_hash(dict(MigratedArrays(newest, {}, MIGRATION))) == state_hash(newest)


def test_what_the_first_layout_lacks_is_added(newest: dict[str, np.ndarray]) -> None:
    task = _task()
    task.load_arrays(MigratedArrays(_first_layout(newest), {}, MIGRATION))
    found = task.arrays()
    assert found.keys() == newest.keys()
    event_time, evicted = newest["pending.clock"][:2].tolist()
    assert event_time > 0
    assert found["pending.clock"].tolist() == [event_time, evicted, event_time, CONFIRMATIONS, 0, 0, 0]
    assert newest["pending.orphan_header_nulls"].any(), "null and empty headers differ in the newest layout"
    assert not found["pending.orphan_header_nulls"].any()
    assert set(found["model.learner.panel.neighbours.learnt_rows"].tolist()) == {-1}
    assert (found["bad_records.count"].tolist(), found["bad_records.bad"].tolist()) == ([0], [])
    for name in found.keys() - {*LATER, "pending.clock"}:
        np.testing.assert_array_equal(found[name], newest[name])


def test_event_time_of_the_first_layout_is_0_before_the_first_record(newest: dict[str, np.ndarray]) -> None:
    migrated = MigratedArrays({**newest, "pending.clock": np.array([0, 3])}, {}, MIGRATION)
    assert migrated["pending.clock"].tolist() == [UNSET, 3, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("name", [*LATER, "pending.ids", "model.labels.generations", "model.learner.mixer.shared"])
def test_the_loaders_refuse_a_state_that_lacks_an_array(newest: dict[str, np.ndarray], name: str) -> None:
    lacking = {each: array for each, array in newest.items() if each != name}
    with pytest.raises(MissingArrayError, match=f"lacks the array '{name}'"):
        _task().load_arrays(lacking)


def test_a_snapshot_of_the_first_layout_is_restored(newest: dict[str, np.ndarray], tmp_path: Path) -> None:
    store, entry, _ = unpack(FOLDER / "0", tmp_path / "new")
    manifest, arrays = store.read(entry)
    own = {key: manifest[key] for key in manifest if key not in ("format", "version", "arrays", *entry._fields)}
    old = SnapshotStore(str(tmp_path / "old"))
    first = old.save(
        *entry[:5], _first_layout(arrays), {key: own[key] for key in own if key not in ("now", "rollback")}
    )
    task = load_task(SETTINGS, old, first, [INSTANCES, LABELS])
    assert (task.now_ns, task.rollback) == (0, None)
    assert task.model.state_hash()
