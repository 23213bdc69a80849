"""The golden snapshots of this model version and of the one before are restored, and go on answering."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from streamlearn._version import MODEL_VERSION
from streamlearn.engine.recovery.snapshot_manifest import load_task, model_version_of
from streamlearn.migrations.registry import MIGRATION, migrate
from streamlearn.snapshot.format import read_manifest
from tests.golden.snapshots.case import EXPECTED, FOLDER, INSTANCES, LABELS, SETTINGS, observe, unpack

VERSIONS = {"own": MODEL_VERSION, "migrated": MODEL_VERSION - 1}
WAY_OUT = (
    "`python -m tests.golden.snapshots` writes those of a new MODEL_VERSION; what an old one wrote must be migrated"
)


@pytest.mark.parametrize("name", VERSIONS)
def test_golden_snapshots_are_restored_and_go_on(name: str, tmp_path: Path) -> None:
    expected = json.loads((FOLDER / str(MODEL_VERSION) / EXPECTED).read_text(encoding="utf-8"))
    assert observe(FOLDER / str(VERSIONS[name]), tmp_path) == expected[name], WAY_OUT


@pytest.mark.parametrize("version", VERSIONS.values())
def test_golden_snapshots_hold_every_kind_of_state(version: int, tmp_path: Path) -> None:
    store, entry, classifier = unpack(FOLDER / str(version), tmp_path)
    assert model_version_of(store.read_manifest(entry)) == model_version_of(read_manifest(classifier)) == version
    task = load_task(SETTINGS, store, entry, [INSTANCES, LABELS])
    assert len(task.pending) > 5
    assert len(task.pending.orphans) > 2
    assert task.pending.n_kept > len(task.pending) + len(task.pending.orphans), "tombstones"
    assert 0 < task.pending.waiting < len(task.pending)
    assert task.bad_records.arrays()["bad"].size
    assert task.pending.watermark_ms > 0
    assert task.model.learned > 50
    assert all(
        (FOLDER / str(version) / file.name).stat().st_size < 60_000 for file in (FOLDER / str(version)).iterdir()
    )


def test_every_array_of_the_version_before_is_accounted_for(tmp_path: Path) -> None:
    store, entry, _ = unpack(FOLDER / str(MODEL_VERSION - 1), tmp_path)
    manifest, arrays = store.read(entry)
    _, migrated = migrate(model_version_of(manifest), manifest["settings"], arrays)
    task = load_task(SETTINGS, store, entry, [INSTANCES, LABELS])
    loaded = task.arrays()
    # What is migrated is what the task then has, to the name and the bit: no array is left over or lost.
    assert sorted(migrated) == sorted(loaded)
    for name, array in migrated.items():
        np.testing.assert_array_equal(array, loaded[name], err_msg=name)
    ruled = {
        part.prefix + name: part for part in MIGRATION.parts for name in (*part.renamed, *part.dropped, *part.converted)
    }
    rebuilt = tuple(part.prefix for part in MIGRATION.parts if part.rebuilt)
    for name in arrays.keys() - migrated.keys():
        assert name.startswith(rebuilt or "\0") or any(name == rule or name.startswith(rule + ".") for rule in ruled), (
            name
        )


def test_every_version_has_golden_snapshots() -> None:
    versions = {int(folder.name) for folder in FOLDER.iterdir() if folder.name.isdecimal()}
    assert {MODEL_VERSION - 1, MODEL_VERSION} <= versions, WAY_OUT
    assert max(versions) == MODEL_VERSION


def test_golden_snapshots_are_never_overwritten() -> None:
    written = {path: path.read_bytes() for path in FOLDER.rglob("*.gz")}
    command = [sys.executable, "-m", "tests.golden.snapshots"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=FOLDER.parents[2], check=False)
    assert done.returncode == 1
    assert "exists: a model version's golden snapshots are written once" in done.stderr
    assert {path: path.read_bytes() for path in FOLDER.rglob("*.gz")} == written
