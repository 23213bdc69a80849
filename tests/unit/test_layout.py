"""Tests mirror the package, and the top level of the repository holds the expected entries only."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "streamlearn"
UNIT = ROOT / "tests" / "unit"
NAIVE = ROOT / "tests" / "naive"

TESTS_OF_TESTS = {"benchmarks", "faults"}
"""Folders of tests/unit that mirror tests/ instead of the package."""

WITHOUT_A_MODULE = {
    "test_environment.py": "the helper tests/environment.py and the profile of Hypothesis",
    "test_guarantees.py": "docs/guarantees.md",
    "test_imports.py": "imports between all modules",
    "test_layout.py": "files of the repository",
    "test_module_state.py": "objects at the level of modules and classes, in all parts of a model",
    "test_reasons.py": "reasons in code, metrics and documentation",
    "cli/test_broker_away.py": "every command that needs a broker, while none runs",
    "evaluation/test_measures_of_real_runs.py": "reports of the command evaluate, compared with scikit-learn",
    "kernels/test_cold_start.py": "the cold start that tests share",
    "kernels/test_compile_lock.py": "the lock of kernels/compiler.py, with a simulated clock",
    "model/test_partial_and_late_truths.py": "rules of all parts for labels without truth, late labels and late truths",
    "model/test_retirement.py": "retirement of labels, in labels, learner and measures",
    "model/test_second_truths.py": "corrections by a second truth, in labels, learner and measures",
    "numerics/test_no_foreign_math.py": "sources and machine code of all kernels",
    "snapshot/test_golden_snapshot.py": "compatibility with the snapshot file of the first release",
    "snapshot/test_s3_store.py": "snapshot/store.py on an object store",
    "streams/test_other_streams.py": "open_stream, JSON Lines and the built-in streams",
}
"""Test files of tests/unit that test no single module, and what they test."""

TOP_LEVEL = {
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "README.md",
    "deploy",
    "docs",
    "findings",
    "pyproject.toml",
    "streamlearn",
    "tests",
}
"""Entries that the top level of the repository may hold, besides dot files."""


def has_module(folder: Path, name: str) -> bool:
    """Return whether a folder has a module or a package of that name."""
    return (folder / f"{name}.py").is_file() or (folder / name / "__init__.py").is_file()


def unit_tests() -> list[Path]:
    """Return the paths of all test files, relative to tests/unit."""
    return sorted(path.relative_to(UNIT) for path in UNIT.rglob("test_*.py"))


def has_mirrored_module(test: Path) -> bool:
    """Return whether the module that a test file belongs to exists."""
    base = ROOT / "tests" if test.parts[0] in TESTS_OF_TESTS else PACKAGE
    return has_module(base / test.parent, test.stem.removeprefix("test_"))


def test_every_unit_test_mirrors_a_module() -> None:
    without = [test.as_posix() for test in unit_tests() if not has_mirrored_module(test)]
    unknown = sorted(set(without) - set(WITHOUT_A_MODULE))
    assert not unknown, "rename these files to test_<module>.py in the folder of their module"


def test_the_table_of_exceptions_is_exact() -> None:
    stale = [name for name in WITHOUT_A_MODULE if not (UNIT / name).is_file() or has_mirrored_module(Path(name))]
    assert not stale, "remove these entries from WITHOUT_A_MODULE"


def test_every_naive_twin_mirrors_a_module() -> None:
    twins = [path.relative_to(NAIVE) for path in NAIVE.rglob("*.py")]
    missing = sorted(twin.as_posix() for twin in twins if not (PACKAGE / twin).is_file())
    assert len(twins) > 20
    assert not missing, "move these twins to the path of their module"


@pytest.mark.parametrize("folder", [UNIT, NAIVE], ids=["unit", "naive"])
def test_every_folder_of_tests_exists_in_the_package(folder: Path) -> None:
    folders = {path.parent.relative_to(folder) for path in folder.rglob("*.py")}
    missing = sorted(
        path.as_posix()
        for path in folders
        if not (PACKAGE / path).is_dir() and not (path.parts and path.parts[0] in TESTS_OF_TESTS)
    )
    assert not missing


def test_the_top_level_holds_the_expected_entries_only() -> None:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("needs git and a checkout")
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    entries = {path.partition("/")[0] for path in listing.split("\0") if path}
    assert {"pyproject.toml", "streamlearn", "tests"} <= entries
    unexpected = sorted(entry for entry in entries - TOP_LEVEL if not entry.startswith("."))
    assert not unexpected, "move these entries to a folder, or add them to TOP_LEVEL"
