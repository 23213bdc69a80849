"""Parallel compilation: each process compiles its part, nothing is compiled twice, and the child may die."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.unit.kernels.test_compiler import RESULTS, SIGNATURES, KernelPackage
from tests.unit.kernels.workers import finish, finish_together, read_until, release

SHARED = """
import os
from pathlib import Path

import numpy as np

from streamlearn.kernels.parallel_compile import SharedWork, run_child
from streamlearn.learner.outer import Other, State, first_count, total

state = State(np.arange(5.0), np.ones(2))
other = Other.State(np.full(2, 7.0), np.zeros(2))
is_child = __name__ == "__main__"
# These are pipes: a process that opens one waits until another process opens the other end.
done = Path("done")
go = Path("go")

def counts():
    assert not is_child
    (go if "waits" in os.environ else done).read_bytes()
    first_count(state)
    first_count(other)

def totals():
    if not is_child:
        total(state)
        return
    with done.open("wb") as pipe:
        if "dies" in os.environ:
            os._exit(1)
        if "waits" in os.environ:
            pipe.write(b"begun")
            pipe.flush()
            go.read_bytes()
            # Open until this process ends.
            os.dup(pipe.fileno())
        total(state)

PARTS = {"counts": counts, "totals": totals}
WORK = SharedWork("streamlearn.learner.shared", PARTS)

def warm():
    return [float(total(state)), float(first_count(state)), float(first_count(other))]

if __name__ == "__main__":
    Path("started").touch()
    run_child(PARTS)
    if "other sources" in os.environ:
        done.write_bytes(b"")
"""

WORKER = """
import json, os, sys
from streamlearn.kernels.compiler import cache_statistics, compile_under_lock, kernel_hash
from streamlearn.learner import shared

kernel_hash()
if "one core" in sys.argv:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
if "no python" in sys.argv:
    sys.executable = "/there/is/no/python"
print("imported", flush=True)
sys.stdin.readline()
results = []
compile_under_lock(lambda: results.extend(shared.warm()), None, shared.WORK)
now = cache_statistics()
print(json.dumps({"results": results, "loaded": now.loaded, "compiled": now.compiled}))
"""


@pytest.fixture
def package(tmp_path: Path) -> KernelPackage:
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("a child process needs a second core")
    package = KernelPackage(tmp_path)
    (package.root / "learner" / "shared.py").write_text(SHARED)
    for name in ("done", "go"):
        os.mkfifo(package.root.parent / name)
    return package


def has_started(package: KernelPackage) -> bool:
    return (package.root.parent / "started").exists()


def test_each_process_compiles_its_part_and_loads_the_other(package: KernelPackage) -> None:
    found, errors = package.run(program=WORKER)
    assert (found["results"], errors) == (RESULTS, "")
    # `scaled` is linked into `total`, so it is not loaded separately.
    assert (found["compiled"], found["loaded"]) == (SIGNATURES - 2, 1)
    assert len(list(package.cache.rglob("*.nbc"))) == SIGNATURES
    again, _ = package.run(program=WORKER)
    assert (again["results"], again["compiled"]) == (RESULTS, 0)


def test_a_warm_cache_needs_no_child_process(package: KernelPackage) -> None:
    package.run("one core", program=WORKER)
    found, _ = package.run(program=WORKER)
    assert (found["results"], found["compiled"]) == (RESULTS, 0)
    assert not has_started(package)


def test_parts_that_a_child_process_leaves_when_it_dies_are_compiled_by_the_parent(package: KernelPackage) -> None:
    found, errors = package.run(program=WORKER, environment={"dies": "1"})
    assert has_started(package)
    assert (found["results"], found["compiled"], errors) == (RESULTS, SIGNATURES, "")
    assert package.run(program=WORKER)[0]["compiled"] == 0


@pytest.mark.parametrize("lack", ["one core", "no python"])
def test_without_a_second_core_or_a_python_one_process_compiles_all(package: KernelPackage, lack: str) -> None:
    found, errors = package.run(lack, program=WORKER)
    assert (found["results"], found["compiled"], errors) == (RESULTS, SIGNATURES, "")
    assert not has_started(package)


def test_a_child_process_of_other_sources_does_nothing(package: KernelPackage) -> None:
    worker = package.start(program=WORKER, environment={"other sources": "1"})
    read_until(worker, "imported")
    package.edit("learner/numbers.py", "0.5", "0.25")
    found, errors = finish(worker, "\n")
    assert has_started(package)
    assert (found["results"], found["compiled"]) == (RESULTS, SIGNATURES)
    assert "sources have changed" in errors


def test_no_child_process_is_started_for_a_folder_that_cannot_be_written(package: KernelPackage) -> None:
    blocked = package.folder / "file"
    blocked.write_text("")
    found, _ = package.run(program=WORKER, environment={"STREAMLEARN_CACHE_DIR": str(blocked)})
    assert (found["results"], found["compiled"]) == (RESULTS, SIGNATURES)
    assert not has_started(package)


def test_a_child_process_ends_with_its_parent(package: KernelPackage) -> None:
    worker = package.start(program=WORKER, environment={"waits": "1"})
    release(worker)
    with (package.root.parent / "done").open("rb") as pipe:
        assert pipe.read(5) == b"begun"
        worker.kill()
        worker.communicate(timeout=60)
        # The child holds this open for as long as it lives; it waits in the midst of a part.
        assert pipe.read() == b""
    found, _ = package.run("one core", program=WORKER)
    assert found["results"] == RESULTS


def test_four_workers_started_together_with_child_processes_agree(
    package: KernelPackage, request: pytest.FixtureRequest
) -> None:
    for _ in range(10 if request.config.getoption("--slow") else 2):
        shutil.rmtree(package.cache, ignore_errors=True)
        found = finish_together([package.start(program=WORKER) for _ in range(4)])
        assert [one["results"] for one in found] == [RESULTS] * 4
        assert sorted(one["compiled"] for one in found) == [0, 0, 0, SIGNATURES - 2]
