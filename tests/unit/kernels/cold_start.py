"""Worker processes that start on an empty cache, and what they report."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any, NamedTuple

from streamlearn.kernels.cache import kernel_folder
from streamlearn.model.learner_factory import ENSEMBLE
from tests.unit.kernels.workers import finish, finish_together

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


def cache_is_cold() -> bool:
    """Return whether the cache folder of this test run lacks the kernels of an ensemble."""
    folder = kernel_folder()
    return folder is not None and not (folder / f"complete-{ENSEMBLE}").exists()


def shared_cold_start(folder: Path) -> ColdStart:
    """Return the cold start of this test run: the first process that asks makes it, the others wait for it.

    Parameters
    ----------
    folder:
        A folder that all processes of the test run share.
    """
    result = folder / "cold-start.json"
    with (folder / "cold-start.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not result.exists():
            made = _start(folder / "cold-start")
            result.write_text(json.dumps({**made._asdict(), "folder": str(made.folder)}), encoding="utf-8")
            give_to_the_run(made.folder)
    found = json.loads(result.read_text(encoding="utf-8"))
    return ColdStart(**{**found, "folder": Path(found["folder"])})


def _start(folder: Path) -> ColdStart:
    """Start four workers together on an empty cache, while another process compiles for a generic CPU."""
    host = folder / "host"
    host.mkdir(parents=True)
    generic = subprocess.Popen(
        [sys.executable, "-m", "tests.unit.kernels.machine_code"],
        env=environment_of(folder / "generic") | {"NUMBA_CPU_NAME": "generic"},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    workers = start_four(host, WORKER, "report")
    (report,) = [one["report"] for one in workers if one["report"]]
    return ColdStart(host, workers, report, finish(generic)[0])


def give_to_the_run(cache: Path) -> None:
    """Copy the kernels of a cold start to the cache folder of the test run, unless they are there."""
    target = kernel_folder()
    if target is None:
        return
    # With other settings of numba than its defaults the run has other kernels, in a folder of another name.
    found = (cache / "kernels" / target.name).glob("*")
    # The files that say that all kernels of a preset are there have no suffix, and come last.
    for path in sorted((path for path in found if path.is_file()), key=lambda path: path.suffix == ""):
        if path.name != "lock" and not (target / path.name).exists():
            target.mkdir(mode=0o700, parents=True, exist_ok=True)
            half = target / f"{uuid.uuid4().hex}.tmp"
            shutil.copy2(path, half)
            half.rename(target / path.name)
