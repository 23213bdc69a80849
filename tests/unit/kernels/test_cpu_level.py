"""Compilation for a named CPU level: used elsewhere, and refused where the CPU lacks it."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from streamlearn.errors import UsageError
from streamlearn.kernels.cpu_level import LEVELS, check_level, host_features
from tests.unit.kernels.test_compiler import RESULTS, SIGNATURES, WORKER, KernelPackage

ANOTHER_MACHINE = """
import llvmlite.binding

real_features = llvmlite.binding.get_host_cpu_features

def features():
    found = real_features()
    found.update({name: False for name in found if name.startswith(("avx", "fma"))})
    return found

llvmlite.binding.get_host_cpu_name = lambda: "another-cpu"
llvmlite.binding.get_host_cpu_features = features
"""
"""Makes LLVM report another CPU, of level 2."""

needs_level_2 = pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64") or not LEVELS["x86-64-v2"] <= host_features(),
    reason="this CPU has no level x86-64-v2",
)


@pytest.fixture
def package(tmp_path: Path) -> KernelPackage:
    return KernelPackage(tmp_path)


@pytest.mark.parametrize(
    ("level", "machine", "features", "problem"),
    [
        ("x86-64-v9", "x86_64", LEVELS["x86-64-v4"], "'x86-64-v9' is not a level: choose one of x86-64, x86-64-v2"),
        ("x86-64-v3", "aarch64", set(), "this machine is aarch64"),
        ("x86-64-v3", "x86_64", LEVELS["x86-64-v3"] - {"avx2", "fma"}, r"lacks avx2, fma, .* use x86-64-v2"),
        ("x86-64-v2", "AMD64", set(), "use x86-64,"),
        ("x86-64-v3", "x86_64", LEVELS["x86-64-v4"], ""),
        ("x86-64", "x86_64", set(), ""),
    ],
)
def test_a_level_that_this_cpu_lacks_is_refused_by_name(
    level: str, machine: str, features: set[str], problem: str
) -> None:
    if not problem:
        check_level(level, machine, features)
        return
    with pytest.raises(UsageError, match=problem):
        check_level(level, machine, features)


@needs_level_2
def test_a_cache_for_a_level_is_used_on_another_machine(package: KernelPackage) -> None:
    level = {"STREAMLEARN_CPU": "x86-64-v2"}
    found, _ = package.run("locked", environment=level)
    assert (found["results"], found["compiled"]) == (RESULTS, SIGNATURES)
    elsewhere, _ = package.run("locked", environment=level, program=ANOTHER_MACHINE + WORKER)
    assert (elsewhere["results"], elsewhere["compiled"]) == (RESULTS, 0)
    without, _ = package.run("locked", program=ANOTHER_MACHINE + WORKER)
    assert without["compiled"] == SIGNATURES, "without a level each machine compiles for itself"


@needs_level_2
def test_a_worker_with_a_level_that_its_cpu_lacks_does_not_start(package: KernelPackage) -> None:
    worker = package.start(environment={"STREAMLEARN_CPU": "x86-64-v3"}, program=ANOTHER_MACHINE + WORKER)
    _, errors = worker.communicate(timeout=60)
    assert worker.returncode == 1
    last = errors.splitlines()[-1]
    assert "UsageError: STREAMLEARN_CPU = x86-64-v3: this CPU (another-cpu) lacks avx, avx2, " in last


@needs_level_2
def test_a_level_after_numba_has_compiled_for_this_cpu_is_refused(package: KernelPackage) -> None:
    program = "import numba\nnumba.njit(lambda x: x + 1)(1)\n" + WORKER
    worker = package.start(environment={"STREAMLEARN_CPU": "x86-64-v2"}, program=program)
    _, errors = worker.communicate(timeout=60)
    assert "numba has compiled for this machine's CPU before streamlearn was imported" in errors.splitlines()[-1]


@needs_level_2
def test_a_level_holds_when_a_variable_of_numba_changes_later(package: KernelPackage) -> None:
    # numba then reads all its variables again.
    program = WORKER.replace('print("imported"', 'import os; os.environ["NUMBA_NUM_THREADS"] = "1"\nprint("imported"')
    level = {"STREAMLEARN_CPU": "x86-64-v2"}
    package.run("locked", environment=level)
    found, _ = package.run("locked", environment=level, program=program)
    assert (found["results"], found["compiled"]) == (RESULTS, 0)
