"""The cache of compiled kernels: never stale, safe with several processes, and optional."""

from __future__ import annotations

import ast
import fcntl
import os
import shutil
import subprocess
import sys
import threading
from collections import namedtuple
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from streamlearn.kernels import cache as kernel_cache
from streamlearn.kernels.compiler import kernel
from tests.unit.kernels.workers import finish, finish_together, read_until, release

FILES = {
    "learner/numbers.py": "STEP = 0.5\n",
    "learner/inner.py": """
from streamlearn.kernels.compiler import kernel
from streamlearn.learner.numbers import STEP

@kernel
def scaled(x):
    return x * STEP
""",
    "learner/outer.py": """
from typing import NamedTuple

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.learner.inner import scaled

class State(NamedTuple):
    values: np.ndarray
    counts: np.ndarray

class Other:
    class State(NamedTuple):
        counts: np.ndarray
        values: np.ndarray

@kernel
def first_count(state):
    return state.counts[0]

@kernel
def total(state):
    result = 0.0
    for i in range(state.values.size):
        result += scaled(state.values[i])
    return result + state.counts[0]
""",
}

WORKER = """
import json, logging, sys
from streamlearn.kernels.compiler import cache_statistics, compile_under_lock, kernel_hash
import numpy as np
from streamlearn.learner.outer import Other, State, first_count, total

state = State(np.arange(5.0), np.ones(2))
other = Other.State(np.full(2, 7.0), np.zeros(2))
results = []

def warm():
    results.extend([float(total(state)), float(first_count(state)), float(first_count(other))])

print("imported", flush=True)
sys.stdin.readline()
if "locked" in sys.argv:
    kind = sys.argv[2] if len(sys.argv) > 2 else "all"
    compile_under_lock(warm, lambda text: print("progress:", text, flush=True), kind=kind)
else:
    warm()
now = cache_statistics()
hits = sum(total.stats.cache_hits.values()) if hasattr(total, "stats") else 0
print(json.dumps({"results": results, "loaded": now.loaded, "compiled": now.compiled, "hits": hits,
                  "kernel": kernel_hash()}))
"""
THREADS = """
import gc, sys, threading
from concurrent.futures import ThreadPoolExecutor
from streamlearn.kernels.compiler import compile_inner
from streamlearn.learner.inner import scaled

sys.setswitchinterval(1e-5)
threshold = gc.get_threshold()
together = threading.Barrier(8)

def start(number):
    together.wait()
    if number % 4 == 0:
        compile_inner(scaled, 1.0)
    warm()

def start_threads():
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(start, range(8)))
    assert gc.get_threshold() == threshold, gc.get_threshold()
"""
THREADED_WORKER = WORKER.replace('print("imported"', THREADS + '\nprint("imported"').replace(
    "else:\n    warm()", "else:\n    start_threads()"
)
MODULES = (
    "errors.py",
    "kernels/cache.py",
    "kernels/compiler.py",
    "kernels/cpu_level.py",
    "kernels/linker.py",
    "kernels/parallel_compile.py",
    "kernels/progress.py",
    "kernels/state_type.py",
)
SIGNATURES = 4  # scaled, total, and first_count for each of the two states
RESULTS = [6.0, 1.0, 7.0]


class KernelPackage:
    """A small package with the same layout, the real modules of `kernels`, and its own cache folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "source" / "streamlearn"
        self.cache = folder / "cache"
        for name in ("kernels", "learner"):
            (self.root / name).mkdir(parents=True)
            (self.root / name / "__init__.py").touch()
        (self.root / "__init__.py").touch()
        for name in MODULES:
            shutil.copy(kernel_cache.PACKAGE / name, self.root / name)
        for name, text in FILES.items():
            (self.root / name).write_text(text)

    def edit(self, name: str, old: str, new: str) -> None:
        text = (self.root / name).read_text()
        assert old in text
        (self.root / name).write_text(text.replace(old, new))

    def start(
        self, *arguments: str, environment: Mapping[str, str] | None = None, program: str = WORKER
    ) -> subprocess.Popen[str]:
        """Start a worker, which imports the kernels and waits for a line on standard input."""
        variables = {key: value for key, value in os.environ.items() if not key.startswith(("NUMBA_", "STREAMLEARN_"))}
        variables |= {
            "PYTHONPATH": str(self.root.parent),
            "PYTHONDONTWRITEBYTECODE": "1",
            "STREAMLEARN_CACHE_DIR": str(self.cache),
            **(environment or {}),
        }
        return subprocess.Popen(
            [sys.executable, "-c", program, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.root.parent,
            env=variables,
        )

    def run(
        self, *arguments: str, environment: Mapping[str, str] | None = None, program: str = WORKER
    ) -> tuple[dict, str]:
        """Run one worker to its end; return its result and its standard error."""
        return finish(self.start(*arguments, environment=environment, program=program), "\n")

    def folders(self) -> list[Path]:
        return sorted((self.cache / "kernels").iterdir())


@pytest.fixture
def package(tmp_path: Path) -> KernelPackage:
    return KernelPackage(tmp_path)


@pytest.mark.parametrize(("mode", "rounds"), [("locked", 3), ("unlocked", 1)])
def test_workers_started_together_on_an_empty_cache_agree(package, mode, rounds, request):
    for _ in range(10 if request.config.getoption("--slow") else rounds):
        shutil.rmtree(package.cache, ignore_errors=True)
        found = finish_together([package.start(mode) for _ in range(4)])
        assert [one["results"] for one in found] == [RESULTS] * 4
        if mode == "locked":
            assert sum(one["compiled"] for one in found) == SIGNATURES
        again, _ = package.run(mode)
        assert again["results"] == RESULTS
        assert again["compiled"] == 0


def test_threads_started_together_on_an_empty_cache_agree(package):
    found = finish_together([package.start(program=THREADED_WORKER) for _ in range(2)])
    for one in found:
        assert sorted(one["results"]) == sorted(8 * RESULTS)
        assert one["compiled"] + one["loaded"] == SIGNATURES, "no signature is compiled or loaded twice"
    again, _ = package.run(program=THREADED_WORKER)
    assert (sorted(again["results"]), again["compiled"]) == (sorted(8 * RESULTS), 0)


def test_threads_get_one_type_of_a_state_that_no_kernel_has_seen():
    @kernel
    def first(state):
        return state.values[0]

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            together = threading.Barrier(8)

            def type_of(state):
                together.wait()
                return first.typeof_pyval(state)

            for number in range(300):
                state = namedtuple(f"State{number}", ["values", "counts"])(np.zeros(1), np.zeros((1, 1), np.int64))
                kinds = list(pool.map(type_of, [state] * 8))
                assert len(set(map(id, kinds))) == 1
    finally:
        sys.setswitchinterval(interval)


def test_a_second_start_compiles_nothing(package):
    first, _ = package.run("locked")
    # joblib, among others, sets the number of threads.
    second, _ = package.run("locked", environment={"NUMBA_NUM_THREADS": "1"})
    assert (first["results"], first["compiled"], first["loaded"]) == (RESULTS, SIGNATURES, 0)
    # `scaled` is linked into `total`, so it is not loaded separately.
    assert (second["results"], second["compiled"], second["loaded"]) == (RESULTS, 0, SIGNATURES - 1)
    assert second["hits"] == 1


@pytest.mark.parametrize(
    ("name", "old", "new", "total"),
    [
        ("learner/inner.py", "x * STEP", "x * STEP + 1.0", 11.0),
        ("learner/numbers.py", "0.5", "0.25", 3.5),
        ("learner/outer.py", "result = 0.0", "result = 100.0", 106.0),
    ],
)
def test_an_edited_kernel_computes_the_new_arithmetic_in_every_caller(package, name, old, new, total):
    before, _ = package.run("locked")
    package.edit(name, old, new)
    after, _ = package.run("locked")
    assert after["results"][0] == total
    assert after["kernel"] != before["kernel"]
    package.edit(name, new, old)
    back, _ = package.run("locked")
    assert back["results"] == RESULTS
    assert back["compiled"] == 0


def test_other_sources_do_not_change_the_kernel_hash(package):
    before, _ = package.run("locked")
    (package.root / "sink.py").write_text("x = 1\n")
    after, _ = package.run("locked")
    assert after["kernel"] == before["kernel"]
    assert after["compiled"] == 0


@pytest.mark.parametrize("mode", ["locked", "unlocked"])
def test_a_folder_that_cannot_be_written_compiles_in_memory_with_one_warning(package, mode):
    blocked = package.folder / "file"
    blocked.write_text("")
    found, errors = package.run(mode, environment={"STREAMLEARN_CACHE_DIR": str(blocked)})
    assert found["results"] == RESULTS
    assert found["compiled"] == SIGNATURES
    assert errors.count("STREAMLEARN_CACHE_DIR") == 1
    assert str(blocked) in errors


@pytest.mark.parametrize(
    "damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: data[:-1] + b"\0\1"]
)
def test_a_damaged_file_is_compiled_again(package, damage):
    package.run("locked")
    (folder,) = package.folders()
    files = sorted(folder.glob("*.nbc"))
    assert len(files) == SIGNATURES
    for file in files:
        file.write_bytes(damage(file.read_bytes()))
    found, _ = package.run("locked")
    assert found["results"] == RESULTS
    assert found["compiled"] == SIGNATURES
    assert package.run("locked")[0]["compiled"] == 0


def test_a_worker_killed_while_it_compiles_does_not_block_others(package):
    worker = package.start("locked")
    release(worker)
    read_until(worker, "compiling")
    worker.kill()
    worker.communicate(timeout=60)
    found, _ = package.run("locked")
    assert found["results"] == RESULTS


def test_a_kind_that_was_not_compiled_yet_is_compiled_by_one_worker(package):
    package.run("locked")
    (folder,) = package.folders()
    assert (folder / "complete-all").exists()
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        worker = package.start("locked", "another kind")
        release(worker)
        read_until(worker, "waiting for another process")
    assert finish(worker)[0]["results"] == RESULTS
    assert (folder / "complete-another kind").exists()


@pytest.mark.parametrize("mode", [0o770, 0o707])
def test_a_folder_that_others_may_write_to_is_neither_read_nor_written(package, mode):
    package.run("locked")
    (folder,) = package.folders()
    files = sorted(folder.iterdir())
    folder.chmod(mode)
    found, errors = package.run("locked")
    assert (found["results"], found["compiled"], found["loaded"]) == (RESULTS, SIGNATURES, 0)
    assert errors.count("others may write") == 1
    assert str(folder) in errors
    assert sorted(folder.iterdir()) == files
    folder.chmod(0o700)
    assert package.run("locked")[0]["compiled"] == 0


def test_a_worker_waits_for_the_one_that_compiles_and_says_so(package):
    package.run("locked")
    (folder,) = package.folders()
    (folder / "complete-all").unlink()
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        worker = package.start("locked")
        release(worker)
        read_until(worker, "waiting for another process")
        assert worker.poll() is None
    found, _ = finish(worker, "")
    assert found["results"] == RESULTS
    assert found["compiled"] == 0


def test_the_numba_cache_of_other_packages_is_not_used(package):
    theirs = package.folder / "theirs"
    (package.root.parent / "foreign.py").write_text(
        "import numba\n@numba.njit(cache=True)\ndef twice(x):\n    return 2 * x\n"
    )
    package.edit("learner/outer.py", "import numpy as np", "import numpy as np\nimport foreign\nforeign.twice(1)")
    found, _ = package.run("locked", environment={"NUMBA_CACHE_DIR": str(theirs)})
    assert found["results"] == RESULTS
    assert {path.name.split(".")[0] for path in theirs.rglob("*.nbi")} == {"foreign"}
    assert len(list(package.cache.rglob("*.nbc"))) == SIGNATURES


def test_without_compilation_kernels_are_plain_functions(package):
    found, errors = package.run("locked", environment={"NUMBA_DISABLE_JIT": "1"})
    assert found["results"] == RESULTS
    assert found["compiled"] == 0
    assert not package.cache.exists()
    assert errors == ""


def test_the_least_recently_used_folders_are_removed_first(package):
    root = package.cache / "kernels"
    for age in range(12):
        old = root / f"old{age:02}"
        old.mkdir(parents=True)
        (old / "kernel.nbc").touch()
        os.utime(old, (1_000_000 - age, 1_000_000 - age))
    package.run("locked")
    names = [path.name for path in package.folders()]
    assert len(names) == kernel_cache.KEPT_FOLDERS
    assert [name for name in names if name.startswith("old")] == [
        f"old{age:02}" for age in range(kernel_cache.KEPT_FOLDERS - 1)
    ]


def test_all_kernels_and_the_names_they_use_are_in_the_hashed_sources():
    hashed = set(kernel_cache._source_files())
    with_kernels = 0
    for path in kernel_cache.PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text())
        used = names_in_kernels(tree)
        if not used:
            continue
        with_kernels += 1
        assert path in hashed, f"{path} has kernels and is not among KERNEL_SOURCES"
        for node in ast.walk(tree):
            if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("streamlearn."):
                continue
            if used & {alias.asname or alias.name for alias in node.names}:
                source = kernel_cache.PACKAGE.parent.joinpath(*str(node.module).split(".")).with_suffix(".py")
                assert source in hashed, f"a kernel in {path} uses {source}, which is not among KERNEL_SOURCES"
    assert with_kernels > 0


def names_in_kernels(tree: ast.Module) -> set[str]:
    """Return every name that occurs inside a function decorated with ``kernel``."""
    return {
        name.id
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef)
        and any(ast.unparse(decorator).split(".")[-1] == "kernel" for decorator in function.decorator_list)
        for name in ast.walk(function)
        if isinstance(name, ast.Name)
    }
