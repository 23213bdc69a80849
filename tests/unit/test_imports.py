"""Imports of the package run one way, and importing it is cheap.

Each table lists the parts of a folder from the bottom up, with what each of them imports. A part may import only parts
that are above it in the table, and the tables are exact: an import that is not in them fails, and so does an entry that
no import uses.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "streamlearn"
FREE = {"errors", "_version"}
"""What any part may import."""

TABLES: dict[str, dict[str, set[str]]] = {
    "": {
        "cleanup": set(),
        "interrupts": set(),
        "kernels": set(),
        "printable": set(),
        "records": set(),
        "surrogates": set(),
        "settings": {"printable", "surrogates"},
        "source": set(),
        "state": set(),
        "codec": {"records", "settings"},
        "logging_setup": {"printable", "settings"},
        "numerics": {"kernels"},
        "sink": {"cleanup", "source"},
        "snapshot": {"cleanup", "state"},
        "migrations": {"state"},
        "encoder": {"kernels", "state", "numerics"},
        "learner": {"kernels", "printable", "state", "numerics"},
        "streams": {"settings", "codec"},
        "terminal": set(),
        "turns": set(),
        "kafka": {"cleanup", "records", "settings", "source", "sink", "streams"},
        "model": {"kernels", "printable", "settings", "state", "encoder", "learner"},
        "arguments": {"printable", "surrogates", "records", "settings", "state", "encoder"},
        "classifier_file": {"state", "snapshot", "migrations", "arguments"},
        "predictor": {"state", "encoder", "arguments"},
        "classifier": {
            "interrupts",
            "printable",
            "settings",
            "state",
            "snapshot",
            "encoder",
            "learner",
            "turns",
            "model",
            "arguments",
            "classifier_file",
            "predictor",
        },
        "compilation": {"printable", "settings", "model"},
        "evaluation": {"printable", "settings", "encoder", "learner", "streams", "terminal", "model"},
        "telemetry": {"printable", "settings", "model"},
        "engine": {
            "cleanup",
            "records",
            "settings",
            "source",
            "state",
            "codec",
            "sink",
            "snapshot",
            "migrations",
            "encoder",
            "model",
            "telemetry",
        },
        "check": {"cleanup", "settings", "source", "snapshot", "kafka", "engine"},
        "cli": {
            "cleanup",
            "printable",
            "kernels",
            "records",
            "settings",
            "source",
            "state",
            "codec",
            "logging_setup",
            "sink",
            "snapshot",
            "streams",
            "terminal",
            "kafka",
            "model",
            "check",
            "compilation",
            "evaluation",
            "telemetry",
            "engine",
        },
    },
    "model": {
        "answers": set(),
        "broken_model": set(),
        "measures": set(),
        "model_event": set(),
        "learner_factory": set(),
        "stored_instance": set(),
        "micro_batch": {"stored_instance"},
        "batch_rows": {"micro_batch"},
        "batch_result": {"answers", "model_event", "stored_instance", "batch_rows"},
        "prior_answers": {"answers", "micro_batch"},
        "segment": {"micro_batch", "batch_rows", "prior_answers"},
        "scoring": {"measures", "prior_answers", "segment"},
        "runner": {
            "answers",
            "measures",
            "model_event",
            "micro_batch",
            "batch_rows",
            "prior_answers",
            "segment",
            "scoring",
        },
        "stream_model": {"measures", "learner_factory", "micro_batch", "batch_result", "runner"},
        "warm_up": {"measures", "learner_factory", "stream_model"},
    },
    "learner": {
        "entries": set(),
        "event_buffer": set(),
        "label_sets": set(),
        "partition": set(),
        "scores": set(),
        "decode": {"label_sets", "partition", "scores"},
        "drift": {"event_buffer", "partition"},
        "experts": {"entries", "label_sets"},
        "operations": {"entries", "scores"},
        "mixture": {"experts"},
        "stream_learner": {"entries", "event_buffer", "experts", "operations"},
        "ihomer": {
            "entries",
            "event_buffer",
            "partition",
            "scores",
            "decode",
            "drift",
            "experts",
            "operations",
            "stream_learner",
        },
        "step": {"entries", "event_buffer", "partition", "decode", "drift", "experts", "operations", "mixture"},
        "step_compilation": {"entries", "event_buffer", "partition", "decode", "drift", "experts", "mixture"},
        "correction": {"entries", "event_buffer", "partition", "decode", "experts", "operations", "mixture", "step"},
        "ensemble_learner": {
            "entries",
            "event_buffer",
            "partition",
            "scores",
            "decode",
            "drift",
            "experts",
            "operations",
            "mixture",
            "stream_learner",
            "step",
            "correction",
        },
    },
    "engine": {
        "journal": set(),
        "waiting": set(),
        "tasks": {"journal", "waiting"},
        "commit": {"journal", "tasks"},
        "recovery": {"journal", "tasks", "commit"},
        "standby": {"journal", "tasks", "commit", "recovery"},
        "misplaced_labels": {"tasks"},
        "metrics_observer": {"tasks", "recovery", "standby", "misplaced_labels"},
        "observer": {"tasks", "recovery", "standby"},
        "loop": {"journal", "tasks", "commit", "recovery", "standby", "observer"},
    },
    "kafka": {
        "client_calls": set(),
        "client_errors": set(),
        "client_internals": set(),
        "client_options": set(),
        "codecs": set(),
        "leader_epochs": set(),
        "member_data": set(),
        "partitioners": set(),
        "stalled_partitions": set(),
        "topic_limits": set(),
        "assignor": {"member_data"},
        "consumer_options": {"client_internals"},
        "instance_producer": {"client_options", "codecs", "topic_limits"},
        "plain_producer": {"client_calls", "client_errors", "client_internals"},
        "transaction_markers": {"client_internals"},
        "admin": {
            "client_errors",
            "client_internals",
            "client_options",
            "member_data",
            "partitioners",
            "topic_limits",
            "consumer_options",
        },
        "hanging_transactions": {"client_calls", "client_internals", "transaction_markers"},
        "range_reader": {
            "client_calls",
            "client_errors",
            "client_internals",
            "client_options",
            "stalled_partitions",
            "consumer_options",
        },
        "dead_letter_reader": {"client_errors", "client_internals", "client_options", "consumer_options", "admin"},
        "dead_letter_replayer": {"client_options", "codecs", "topic_limits", "plain_producer", "admin"},
        "name_taken": {"admin"},
        "sink": {
            "client_calls",
            "client_errors",
            "client_internals",
            "client_options",
            "codecs",
            "topic_limits",
            "plain_producer",
            "hanging_transactions",
            "name_taken",
        },
        "source": {
            "client_calls",
            "client_errors",
            "client_internals",
            "client_options",
            "leader_epochs",
            "stalled_partitions",
            "assignor",
            "consumer_options",
            "admin",
            "range_reader",
            "name_taken",
        },
    },
}
"""Folder of the package (empty: the package itself) to its parts, and to what each part imports of the others."""

SINGLE_MODULES = {
    ("learner", "state"): {"array_loading", "array_names", "growth", "lazy_arrays"},
    ("encoder", "state"): {"array_names", "growth", "lazy_arrays", "names"},
    ("model", "state"): {"array_names", "arrays", "growth", "lazy_arrays", "names"},
    ("kafka", "source"): {"base"},
    ("kafka", "sink"): {"base"},
    ("sink", "source"): {"base", "memory_log"},
    ("streams", "codec"): {"decode"},
    ("learner", "kernels"): {"compiler"},
    ("snapshot", "state"): {"arrays", "lazy_arrays"},
    ("telemetry", "model"): {"measures"},
    ("classifier", "snapshot"): {"format"},
}
"""Of the second folder, modules of the first one may import only the named modules."""


def _imports(path: Path) -> set[str]:
    """Return the dotted names, below the package, of our modules that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] != "streamlearn":
                continue
            while parts and not _exists(parts[1:]):
                parts.pop()
            found.add(".".join(parts[1:]))
    return found


def _exists(parts: list[str]) -> bool:
    path = PACKAGE.joinpath(*parts)
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def _modules() -> dict[str, Path]:
    """Return every module by its dotted name below the package."""
    modules = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return modules


def _part(module: str, folder: str) -> str | None:
    """Return which part of a folder a module belongs to; None when it lies elsewhere or is the folder itself."""
    prefix = f"{folder}." if folder else ""
    return module.removeprefix(prefix).split(".")[0] if module.startswith(prefix) and module != folder else None


def _found(folder: str) -> dict[str, set[str]]:
    """Return what the parts of a folder import of each other."""
    found: dict[str, set[str]] = {}
    for module, path in _modules().items():
        part = _part(module, folder)
        if not part or part in FREE or (not folder and part == "__main__"):
            continue
        of_part = found.setdefault(part, set())
        for other in _imports(path):
            imported = _part(other, folder)
            if imported and imported != part and imported not in FREE:
                of_part.add(imported)
    return found


@pytest.mark.parametrize("folder", TABLES)
def test_imports_are_exactly_those_of_the_table(folder: str) -> None:
    found, table = _found(folder), TABLES[folder]
    assert found.keys() == table.keys(), "the parts of the table and of the folder differ"
    for part, imported in table.items():
        assert found[part] == imported, f"{folder or 'streamlearn'}: {part} imports other parts than the table has"


@pytest.mark.parametrize("folder", TABLES)
def test_a_table_runs_from_the_bottom_up(folder: str) -> None:
    above: set[str] = set()
    for part, imported in TABLES[folder].items():
        assert imported <= above, f"{part} imports {sorted(imported - above)}, which are not above it"
        above.add(part)


@pytest.mark.parametrize(("folder", "other"), SINGLE_MODULES)
def test_only_the_named_modules_are_imported_across_a_border(folder: str, other: str) -> None:
    used = {
        name.removeprefix(f"{other}.").split(".")[0]
        for module, path in _modules().items()
        if _part(module, "") == folder
        for name in _imports(path)
        if name.startswith(f"{other}.")
    }
    assert used == SINGLE_MODULES[folder, other]


def test_no_modules_import_each_other_in_a_circle() -> None:
    modules = _modules()
    graph = {
        module: {name for name in _imports(path) if name in modules} - {module} for module, path in modules.items()
    }
    TopologicalSorter(graph).prepare()


def test_importing_the_package_loads_nothing_heavy() -> None:
    program = "import sys, streamlearn; print(sorted({'numba', 'river', 'numpy', 'pydantic'} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "[]\n"
