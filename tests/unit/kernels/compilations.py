"""Notes which kernels a process compiles."""

from __future__ import annotations

from typing import Any

from streamlearn.kernels.cache import KernelCache


def watch_compilations() -> list[str]:
    """Return a list to which the name of each kernel is appended that this process compiles from now on."""
    compiled: list[str] = []
    save_overload = KernelCache.save_overload

    def save_and_note(cache: KernelCache, sig: Any, data: Any) -> None:
        compiled.append(cache._function.__qualname__)
        save_overload(cache, sig, data)

    KernelCache.save_overload = save_and_note
    return compiled
