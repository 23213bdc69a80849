"""Worker processes that start on an empty cache, and what they report."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from tests.unit.kernels.workers import finish_together

ROOT = Path(__file__).parents[3]

WORKER = """
import json, sys
from streamlearn.model import warm_up
from streamlearn.kernels import parallel_compile
from streamlearn.kernels.compiler import cache_statistics
from streamlearn.settings.settings import Settings
from tests.unit.kernels.compilations import watch_compilations
from tests.unit.kernels.machine_code import example_model, report

print("imported", flush=True)
sys.stdin.readline()
if "report" in sys.argv:
    # Only the process that compiles a kernel can show its code: so one process compiles all kernels.
    parallel_compile.core_count = lambda: 1
steps = []
warm_up.warm_up(Settings(), steps.append)
warm = cache_statistics()
later = watch_compilations()
found = {
    "hash": example_model().state_hash(), "compiled": warm.compiled, "loaded": warm.loaded, "later": list(later),
    "steps": steps,
}
later.clear()
for part in {**warm_up._parts(), **warm_up._helper_parts()}.values():
    part()
found["parts"] = list(later)
if "report" in sys.argv:
    found["report"] = report() if warm.compiled else None
print(json.dumps(found))
"""


class ColdStart(NamedTuple):
    """Results of four workers that started together on an empty cache.

    Attributes
    ----------
    folder
        The cache folder.
    workers
        What each worker printed.
    host, generic
        Reports of `machine_code.report`: of the worker that compiled, and of a process that compiled for a generic CPU.
    """

    folder: Path
    workers: list[dict[str, Any]]
    host: dict[str, Any]
    generic: dict[str, Any]


def environment_of(folder: Path) -> dict[str, str]:
    """Return the environment variables of a process with this cache folder and numba's defaults."""
    found = {key: value for key, value in os.environ.items() if not key.startswith("NUMBA_")}
    return found | {"STREAMLEARN_CACHE_DIR": str(folder)}


def start_worker(folder: Path, program: str = WORKER, *arguments: str) -> subprocess.Popen[str]:
    """Start a worker, which imports its modules and then waits for a line on standard input."""
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment_of(folder),
    )


def start_four(folder: Path, program: str = WORKER, *arguments: str) -> list[dict[str, Any]]:
    """Release four workers on an empty cache at the same moment, and return the result of each."""
    return finish_together([start_worker(folder, program, *arguments) for _ in range(4)])
