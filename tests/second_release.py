"""Second releases of this package, built from its sources: what an operator upgrades to, and goes back from.

Each is a folder with a changed copy of ``streamlearn`` and a link to these tests; a process that has it as its working
folder runs that release. An edit whose text no longer occurs exactly once in the source fails.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import streamlearn
from streamlearn._version import MODEL_VERSION, __version__
from streamlearn.kernels import cache
from tests.faults.workers import ROOT, Starter

PACKAGE = Path(streamlearn.__file__).parent
CHANGED_KERNELS = "streamlearn.encoder.scaling"
"""Module of the kernels that differ. Only Python calls them, so that no other kernel has their code."""


class Edit(NamedTuple):
    """Replaces a text, which occurs once, in a file of the package."""

    path: str
    before: str
    after: str


def version_edits(release: str, model_version: int) -> list[Edit]:
    """Return the edits of the versions."""
    return [
        Edit("_version.py", f'__version__ = "{__version__}"', f'__version__ = "{release}"'),
        Edit("_version.py", f"\nMODEL_VERSION = {MODEL_VERSION}\n", f"\nMODEL_VERSION = {model_version}\n"),
    ]


MODEL_EDITS = [
    # Other answers.
    Edit("encoder/scaling.py", "CLIP = 5.0\n", "CLIP = 0.5\n"),
    # An array under another name.
    Edit(
        "state/array_names.py",
        '"set", "mean", "deviations", "squares", "dense")',
        '"set", "mean", "deviations", "square_sums", "dense")',
    ),
    # An array that is new, and that a snapshot must have.
    Edit(
        "engine/tasks/bad_record_window.py",
        '"bad": np.array(self._bad, np.int64)}',
        '"bad": np.array(self._bad, np.int64), "newest": np.array(list(self._bad)[-1:], np.int64)}',
    ),
    Edit(
        "engine/tasks/bad_record_window.py",
        "        self._count, self._bad = count[0], deque(bad)\n",
        "        self._count, self._bad = count[0], deque(bad)\n"
        '        if arrays["newest"].tolist() != bad[-1:]:\n'
        '            raise SnapshotError("the newest bad record is another one")\n',
    ),
]

MIGRATION = '''"""Reads what model version {version} wrote."""

from __future__ import annotations

import numpy as np

from streamlearn.migrations.migration import Before, Migration, PartMigration


def _newest(before: Before) -> np.ndarray:
    return before.arrays["bad"][-1:]


MIGRATION = Migration(
    {version},
    [
        PartMigration("model.encoder.scaling", renamed={{"squares": "square_sums"}}),
        PartMigration("bad_records", added={{"newest": _newest}}),
    ],
)
'''


class Release(NamedTuple):
    """A second release: its folder, its version and its model version."""

    folder: Path
    release: str
    model_version: int

    def start(self, kernels: Path, log: Path) -> Starter:
        """Return a process that has loaded this release, and forks its workers; its kernels are in ``kernels``."""
        return Starter([], log, folder=self.folder, environment={"STREAMLEARN_CACHE_DIR": str(kernels)})


def build_other_model(folder: Path, model_version: int = MODEL_VERSION + 1) -> Release:
    """Build a release that gives other answers, and reads the snapshots of the model version before its own."""
    release = Release(folder, f"{model_version}.0.0", model_version)
    _copy(folder)
    _edit(folder, [*version_edits(release.release, model_version), *MODEL_EDITS])
    migrations = folder / "streamlearn" / "migrations"
    before, dropped = model_version - 1, f"from_{MODEL_VERSION - 1}"
    (migrations / f"{dropped}.py").unlink()
    (migrations / f"from_{before}.py").write_text(MIGRATION.format(version=before))
    imported = "from streamlearn.migrations.{} import MIGRATION"
    _edit(folder, [Edit("migrations/registry.py", imported.format(dropped), imported.format(f"from_{before}"))])
    return release


def build_same_model(folder: Path) -> Release:
    """Build a release that gives the same answers, although the text of its kernels differs."""
    release = Release(folder, f"{__version__}.post1", MODEL_VERSION)
    _copy(folder)
    _edit(folder, version_edits(release.release, release.model_version))
    with (folder / "streamlearn" / "encoder" / "scaling.py").open("a") as file:
        file.write("\n# This release computes the same.\n")
    return release


def share_kernels(release: Release, kernels: Path) -> None:
    """Put the compiled kernels of this package that a release has too where its processes look for them.

    The rest is compiled by its first process. Without this, each kernel of this package would be.
    """
    own = cache.kernel_folder()
    assert own is not None
    with mock.patch.object(cache, "PACKAGE", release.folder / "streamlearn"):
        digest = cache.hash_sources()
    assert digest != cache.kernel_hash(), "the kernels of the second release are those of this one"
    folder = kernels / "kernels" / f"{digest}-{own.name.rpartition('-')[2]}"
    folder.mkdir(mode=0o700, parents=True)
    for path in own.glob("*.nbc"):
        content = path.read_bytes()
        if release.model_version != MODEL_VERSION and not path.name.startswith(f"{CHANGED_KERNELS}."):
            assert f"{CHANGED_KERNELS}.".encode() not in content, f"{path.name} calls a kernel that differs"
        elif release.model_version != MODEL_VERSION:
            continue
        (folder / path.name).write_bytes(content)


def _copy(folder: Path) -> None:
    shutil.copytree(PACKAGE, folder / "streamlearn", ignore=shutil.ignore_patterns("__pycache__"))
    os.symlink(ROOT / "tests", folder / "tests")


def _edit(folder: Path, edits: Sequence[Edit]) -> None:
    for path, before, after in edits:
        file = folder / "streamlearn" / path
        text = file.read_text()
        assert text.count(before) == 1, f"{path} has {text.count(before)} times {before!r}"
        file.write_text(text.replace(before, after))
