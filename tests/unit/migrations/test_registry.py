"""A task and a classifier of a made-up version before are restored as the same bits."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamlearn import LabelHierarchyClassifier
from streamlearn._version import MODEL_VERSION
from streamlearn.engine.recovery.snapshot_manifest import load_task
from streamlearn.errors import SnapshotError
from streamlearn.migrations import registry
from streamlearn.migrations.migration import (
    Before,
    Conversion,
    Migration,
    PartMigration,
    Rebuilding,
    SettingsMigration,
    filled,
)
from streamlearn.snapshot.format import read_snapshot, write_snapshot
from streamlearn.snapshot.store import SnapshotStore
from streamlearn.state.arrays import state_hash
from streamlearn.state.lazy_arrays import get_lazy
from tests.golden.snapshots.case import FOLDER, INSTANCES, LABELS, SETTINGS, unpack

EXPERTS = "model.learner.panel"


def _sizes(before: Before) -> np.ndarray:
    return np.array([get_lazy(before.arrays, name).shape[0] for name in ("used", "positives")], np.int64)


def _header_counts(before: Before) -> np.ndarray:
    return filled((before.arrays["orphan_offsets"].size - 1,), np.int64, 3)


def _window(before: Before) -> dict[str, np.ndarray]:
    flags = before.arrays["flags"]
    places = before.settings["limits.bad_records"] + np.flatnonzero(flags)
    return {"count": np.array([flags.size + before.settings["limits.bad_records"]]), "bad": places.astype(np.int64)}


MADE_UP = Migration(
    MODEL_VERSION - 1,
    [
        PartMigration("", renamed={"experts": EXPERTS}, dropped=["scratch"]),
        PartMigration("experts.slow_linear", renamed={"w": "weight"}),
        PartMigration("experts.fast_linear", converted={"weight": Conversion(np.float32, lambda block: block / 2)}),
        PartMigration("model.learner", added={"sizes": _sizes}, dropped=["statistics"]),
        PartMigration("pending", added={"orphan_header_counts": _header_counts}),
        PartMigration("bad_records", rebuilt=Rebuilding(["count", "bad"], _window)),
    ],
    settings=SettingsMigration(
        renamed={"labels.least": "labels.min_count"},
        dropped=["limits.bad_records"],
        added={"limits.bad_window": lambda before: 30},
    ),
)
"""The migration of what `_as_before` returns."""


def _as_before(arrays: dict[str, np.ndarray], first: int) -> dict[str, np.ndarray]:
    """Return the arrays of a task as the made-up version before has them; ``first`` records precede its window."""
    old = {name.replace(EXPERTS, "experts"): array for name, array in arrays.items()}
    old["experts.slow_linear.w"] = old.pop("experts.slow_linear.weight")
    old["experts.fast_linear.weight"] = old["experts.fast_linear.weight"].astype(np.float64) * 2
    del old["model.learner.sizes"]
    del old["pending.orphan_header_counts"]
    flags = np.zeros(int(old.pop("bad_records.count")[0]) - first, np.bool_)
    flags[old.pop("bad_records.bad") - first] = True
    more = {"bad_records.flags": flags, "scratch": np.ones(3), "model.learner.statistics.deep": np.ones((2, 2))}
    return old | more


def test_a_task_is_migrated_to_the_same_bits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(registry, "MIGRATION", MADE_UP)
    store, entry, _ = unpack(FOLDER / str(MODEL_VERSION), tmp_path / "now")
    manifest, arrays = store.read(entry)
    own = {key: manifest[key] for key in manifest if key not in ("format", "version", "arrays", *entry._fields)}
    settings: dict[str, Any] = dict(manifest["settings"])
    settings["labels.least"] = settings.pop("labels.min_count") + 4
    first = int(arrays["bad_records.bad"][0])
    settings["limits.bad_records"] = first
    del settings["limits.bad_window"]
    older = SnapshotStore(str(tmp_path / "before"))
    own |= {"model_version": MODEL_VERSION - 1, "settings": settings}
    saved = older.save(*entry[:5], _as_before(arrays, first), own)
    task = load_task(SETTINGS, older, saved, [INSTANCES, LABELS])
    assert state_hash(task.arrays()) == state_hash(arrays)
    assert task.settings.labels.min_count == SETTINGS.labels.min_count + 4
    assert task.settings.limits.bad_window == 30


def test_a_classifier_is_migrated_to_the_same_bits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def seeded(before: Before) -> np.ndarray:
        assert before.settings["learner.seed"] == 5
        return _sizes(before)

    parts = [
        PartMigration("", added={"nowhere": lambda before: np.ones(1)}),
        PartMigration("model.learner", renamed={"experts": "panel"}, added={"sizes": seeded}),
        PartMigration("pending", dropped=["gone"]),
    ]
    parameters = SettingsMigration(renamed={"least": "minimum_count"}, dropped=["old"])
    monkeypatch.setattr(registry, "MIGRATION", Migration(MODEL_VERSION - 1, parts, parameters=parameters))
    model = LabelHierarchyClassifier(seed=5, minimum_count=2, maximum_features=300)
    for number in range(20):
        model.learn_one({"a": number % 3, "b": 1.0}, {"x"} if number % 3 else {"y", "x"})
    path = tmp_path / "model.npz"
    model.save(path)
    manifest, arrays = read_snapshot(path)
    assert (manifest["model_version"], LabelHierarchyClassifier.load(path).state_hash()) == (
        MODEL_VERSION,
        model.state_hash(),
    )
    old = {name.replace("learner.panel", "learner.experts"): array for name, array in arrays.items()}
    del old["learner.sizes"]
    written = dict(manifest["classifier"])
    written["least"], written["old"] = written.pop("minimum_count"), "x"
    write_snapshot(path, old, {"model_version": MODEL_VERSION - 1, "classifier": written})
    loaded = LabelHierarchyClassifier.load(path)
    assert (loaded.state_hash(), loaded.minimum_count) == (model.state_hash(), 2)


def test_this_version_passes_untouched() -> None:
    arrays, settings = {"a": np.zeros(1)}, {"b": 1}
    migrated_settings, migrated = registry.migrate(MODEL_VERSION, settings, arrays)
    assert migrated is arrays
    assert migrated_settings is settings
    assert registry.migrate_settings(MODEL_VERSION, settings) is settings


def test_the_migration_from_the_version_before_is_the_only_one() -> None:
    assert registry.MIGRATION.version == MODEL_VERSION - 1
    folder = Path(registry.__file__).parent
    assert sorted(path.name for path in folder.glob("from_*.py")) == [f"from_{MODEL_VERSION - 1}.py"]


@pytest.mark.parametrize("version", [MODEL_VERSION - 2, MODEL_VERSION + 1, 99])
def test_other_versions_are_refused_with_the_way_out(version: int, tmp_path: Path) -> None:
    assert not registry.is_readable(version)
    way_out = (
        "run a release of each model version"
        if version < MODEL_VERSION
        else f"run a release of model version {version}"
    )
    message = re.compile(rf"model version {version} .*{MODEL_VERSION - 1} and {MODEL_VERSION}; {way_out}")
    for ask in (lambda: registry.migrate(version, {}, {}), lambda: registry.migrate_settings(version, {})):
        with pytest.raises(SnapshotError, match=message):
            ask()
    path = tmp_path / "model.npz"
    write_snapshot(path, {}, {"model_version": version, "classifier": {}})
    with pytest.raises(SnapshotError, match=rf"model\.npz'?: {message.pattern}"):
        LabelHierarchyClassifier.load(path)


def test_this_version_and_the_one_before_are_readable() -> None:
    assert registry.is_readable(MODEL_VERSION)
    assert registry.is_readable(MODEL_VERSION - 1)
