"""The CPU that kernels are compiled for: by default the one of this machine, else a level that many CPUs have.

``STREAMLEARN_CPU`` names a micro-architecture level of x86-64 (x86-64 psABI, section 3.1.1). Code for a level runs on
every CPU of this level, so a cache that was filled in one place can be used in another.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Collection
from typing import Any

import llvmlite.binding
from numba.core import config
from numba.core.registry import cpu_target

from streamlearn.errors import UsageError

VARIABLE = "STREAMLEARN_CPU"

_V2 = {"cx16", "popcnt", "sahf", "sse3", "sse4.1", "sse4.2", "ssse3"}
_V3 = _V2 | {"avx", "avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe", "xsave"}
_V4 = _V3 | {"avx512bw", "avx512cd", "avx512dq", "avx512f", "avx512vl"}
LEVELS: dict[str, set[str]] = {"x86-64": set(), "x86-64-v2": _V2, "x86-64-v3": _V3, "x86-64-v4": _V4}
"""Levels, lowest first, and the CPU features that each needs, by LLVM's names."""


def host_features() -> set[str]:
    """Return the features of this machine's CPU, by LLVM's names."""
    return {name for name, is_present in llvmlite.binding.get_host_cpu_features().items() if is_present}


def check_level(level: str, machine: str, features: Collection[str]) -> None:
    """Raise `UsageError` unless a CPU of a machine type, with these features, runs code for a level."""
    if level not in LEVELS:
        raise UsageError(f"{VARIABLE} = {level!r} is not a level: choose one of {', '.join(LEVELS)}, or leave it unset")
    if machine not in ("x86_64", "AMD64"):
        raise UsageError(f"{VARIABLE} = {level}: this machine is {machine}, not x86-64: leave the variable unset")
    if missing := LEVELS[level].difference(features):
        usable = [name for name, needed in LEVELS.items() if needed <= set(features)]
        raise UsageError(
            f"{VARIABLE} = {level}: this CPU ({llvmlite.binding.get_host_cpu_name()}) lacks "
            f"{', '.join(sorted(missing))}, and would end the process at the first such instruction: use {usable[-1]}, "
            "and compile for it where the cache is filled, too"
        )


def set_level() -> None:
    """Make numba compile for the level that ``STREAMLEARN_CPU`` names; without one, change nothing.

    It holds for all code that numba compiles in this process, and must be called before it compiles any.

    Raises
    ------
    UsageError
        When there is no such level, this CPU does not have it, or numba has compiled for another CPU already.
    """
    level = os.environ.get(VARIABLE, "")
    if not level:
        return
    check_level(level, platform.machine(), host_features())
    # numba reads its variables again whenever one has changed, so setting its configuration would not last.
    os.environ.update({"NUMBA_CPU_NAME": level, "NUMBA_CPU_FEATURES": ""})
    config.reload_config()
    context: Any = cpu_target.target_context
    if context.codegen().magic_tuple()[2]:
        raise UsageError(
            f"{VARIABLE} = {level}: numba has compiled for this machine's CPU before streamlearn was imported: import "
            "streamlearn.classifier first, or set NUMBA_CPU_NAME to the level and NUMBA_CPU_FEATURES to an empty text"
        )
