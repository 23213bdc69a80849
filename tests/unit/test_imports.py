"""Imports of the package run one way, and importing it is cheap."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "streamlearn"
ANYONE = {"arithmetic", "errors", "_version"}
EMBEDDED = {
    "encoder",
    "learner",
    "records",
    "settings",
    "state",
    "telemetry",
    "plan",
    "walk",
    "learners",
    "stream_model",
}
ALLOWED = {
    "arithmetic": {"errors"},
    "errors": set(),
    "settings": set(),
    "logs": {"settings"},
    "records": {"settings"},
    "state": {"records", "settings"},
    "learner": {"state"},
    "encoder": {"records", "state"},
    "source": {"records", "settings"},
    "sink": {"records", "settings", "source"},
    "codec": {"records", "settings"},
    "telemetry": {"records", "settings", "state"},
    "streams": {"records", "settings", "codec"},
    "check": {"records", "settings", "state"},
    "plan": EMBEDDED,
    "walk": EMBEDDED,
    "learners": {"learner", "settings"},
    "stream_model": EMBEDDED,
    "warm_up": EMBEDDED,
    "classifier": EMBEDDED,
    "engine": EMBEDDED | {"source", "sink", "codec", "check", "logs"},
    "evaluation": EMBEDDED | {"source", "sink", "codec", "streams", "warm_up"},
}
ONE_MODULE = {
    ("learner", "state"): ("arrays", "blocks", "growth"),
    ("encoder", "state"): ("arrays", "blocks", "growth"),
    ("telemetry", "state"): ("growth",),
    ("sink", "source"): ("base", "log"),
    ("streams", "codec"): ("decode",),
}
"""Across these borders only the named modules may be imported."""


def _imports(path: Path) -> set[tuple[str, str]]:
    """Return (part, module within it) of everything of ours that a file imports for use."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            if node.module == "streamlearn":
                names = [f"streamlearn.{alias.name}" for alias in node.names if alias.name != "__version__"]
            elif node.module:
                names = [f"{node.module}.{alias.name}" for alias in node.names]
        found |= {
            (parts[1], parts[2] if len(parts) > 2 else "")
            for name in names
            if (parts := name.split("."))[0] == "streamlearn" and len(parts) > 1
        }
    return found


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_one_way(path: Path) -> None:
    part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if part in ("cli", "__init__", "__main__", "_version"):
        return
    assert part in ALLOWED, f"say what {part} may import"
    for other, module in _imports(path) - {(part, "")}:
        if other == part:
            continue
        assert other in ALLOWED[part] | (ANYONE if part != "errors" else set()), f"{path}: {part} imports {other}"
        if (part, other) in ONE_MODULE:
            assert module in ONE_MODULE[part, other], f"{path}: {part} imports {other}.{module}"


def test_importing_the_package_loads_nothing_heavy() -> None:
    program = "import sys, streamlearn; print(sorted({'numba', 'river', 'numpy', 'pydantic'} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "[]\n"
