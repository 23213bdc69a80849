"""The name of the cache folder: what changes machine code changes it, and nothing else."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
from numba.core import config

from streamlearn.kernels.cache import CODE_SETTINGS
from tests.unit.kernels.test_compiler import RESULTS, SIGNATURES, WORKER, KernelPackage

CPU = {"CPU_NAME", "CPU_FEATURES", "ENABLE_AVX"}
"""In the name of the folder as the CPU's name and features."""
NOT_IN_VARIABLES = {"USING_SVML"}
"""Set by numba itself: whether Intel's library is installed and enabled."""
SVML = {"DISABLE_INTEL_SVML"}
IGNORED = {
    "NUMBA_ALWAYS_WARN_UNINIT_VAR": "1",
    "NUMBA_COLOR_SCHEME": "no_color",
    "NUMBA_DEVELOPER_MODE": "1",
    "NUMBA_DISABLE_PERFORMANCE_WARNINGS": "1",
    "NUMBA_DISABLE_TYPEINFER_FAIL_CACHE": "1",
    "NUMBA_ENABLE_SYS_MONITORING": "1",
    "NUMBA_FULL_TRACEBACKS": "1",
    "NUMBA_FUNCTION_CACHE_SIZE": "64",
    "NUMBA_GDB_BINARY": "none",
    "NUMBA_NUM_THREADS": "1",
    "NUMBA_PARFOR_MAX_TUPLE_SIZE": "50",
    "NUMBA_THREADING_LAYER": "workqueue",
    "NUMBA_THREADING_LAYER_PRIORITY": "workqueue omp tbb",
    "NUMBA_USE_LLVMLITE_MEMORY_MANAGER": "0",
}
"""Variables that do not change machine code, with another value than their default."""
ABOUT_OTHERS = re.compile(
    r"NUMBA_((FORCE_)?CUDA_?.*|DISABLE_CUDA|ENABLE_CUDASIM|CACHE_.*|JIT_COVERAGE|PARALLEL_DIAGNOSTICS)"
)
"""About other targets, numba's own cache, and reports."""
PRINTS = re.compile(
    r"NUMBA_(DUMP_.*|DEBUG(?!_JIT|_NRT$|INFO).*|TRACE|CHROME_TRACE|HIGHLIGHT_DUMPS|DIFF_IR|SHOW_HELP|LLVM_PASS_TIMINGS)"
)
"""Make numba print what it does."""


@pytest.fixture
def package(tmp_path: Path) -> KernelPackage:
    return KernelPackage(tmp_path)


def test_every_variable_of_numba_either_changes_the_folder_or_is_known_not_to_matter() -> None:
    variables = re.findall(r"(\w+) = _readenv\(\s*[\"'](NUMBA_\w+)[\"']", inspect.getsource(config))
    assert len(variables) > 60
    unknown = [
        variable
        for setting, variable in variables
        if setting not in {*CODE_SETTINGS, *CPU, *SVML, "DISABLE_JIT"}
        and variable not in IGNORED
        and not ABOUT_OTHERS.fullmatch(variable)
        and not PRINTS.fullmatch(variable)
    ]
    assert unknown == [], "does it change machine code? Then add it to CODE_SETTINGS"
    assert set(CODE_SETTINGS) - NOT_IN_VARIABLES <= {setting for setting, _ in variables}


def test_variables_that_do_not_matter_change_neither_the_folder_nor_the_machine_code(package: KernelPackage) -> None:
    program = WORKER.replace(
        "now = cache_statistics()",
        "import hashlib\ncode = sorted(total.inspect_asm().values()) if 'compiles' in sys.argv else []\n"
        "print('code', hashlib.sha256(repr(code).encode()).hexdigest(), flush=True)\nnow = cache_statistics()",
    )
    plain = package.start("locked", "all", "compiles", program=program)
    first, _ = plain.communicate("\n", timeout=120)
    again, _ = package.run("locked", environment=IGNORED)
    assert (again["results"], again["compiled"]) == (RESULTS, 0)
    other = KernelPackage(package.folder / "other")
    varied = other.start("locked", "all", "compiles", environment=IGNORED, program=program)
    second, _ = varied.communicate("\n", timeout=120)

    def code(output: str) -> list[str]:
        return [line for line in output.splitlines() if line.startswith("code ")]

    assert len(code(first)) == 1
    assert code(first) == code(second)


def test_variables_that_change_machine_code_have_folders_of_their_own(package: KernelPackage) -> None:
    package.run("locked")
    for number, variables in enumerate([{"NUMBA_OPT": "1"}, {"NUMBA_BOUNDSCHECK": "1"}], 2):
        found, _ = package.run("locked", environment=variables)
        assert (found["results"], found["compiled"]) == (RESULTS, SIGNATURES)
        assert len(package.folders()) == number
