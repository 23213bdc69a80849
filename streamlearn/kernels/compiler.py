"""The `kernel` decorator: compile flags, cache and warm-up of all kernels."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import gc
import os
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, TypeVar

from numba.core import types
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import CPUDispatcher
from numba.core.sigutils import normalize_signature

from streamlearn.kernels import cache as kernel_cache
from streamlearn.kernels import cpu_level, linker, parallel_compile, state_type
from streamlearn.kernels.cache import CacheStatistics, kernel_folder, kernel_hash
from streamlearn.kernels.progress import Progress

__all__ = [
    "CacheStatistics",
    "cache_statistics",
    "compile_inner",
    "compile_under_lock",
    "kernel",
    "kernel_folder",
    "kernel_hash",
]

cpu_level.set_level()

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = {
    "nopython": True,
    "nogil": True,
    "_nrt": False,
    "fastmath": False,
    "error_model": "numpy",
    "boundscheck": None,
    "no_cfunc_wrapper": True,
}
_COLLECT_AFTER_OBJECTS = 100_000
_LOCK_WAIT_SECONDS = 300.0
_LOCK_POLL_SECONDS = 0.05


def kernel(function: F) -> F:
    """Compile a function over arrays and scalars to machine code.

    ``fastmath`` is off: reassociation and contraction would change the last bits from one CPU to the next. ``nogil``
    lets other threads of the service run during a micro-batch. Kernels own no memory: without numba's reference counts,
    which are two atomic operations per array that a call passes on, calls with many arrays are several times faster.
    So a kernel that creates an array does not compile: its caller creates it.

    The machine code is cached on disk (`streamlearn.kernels.cache`). A function outside the kernel sources, such as
    one of a test, is compiled in memory only: a change of it would not change the name of the cache folder.
    """
    if kernel_cache.numba_config.DISABLE_JIT:
        return function
    return KernelDispatcher(function)  # type: ignore[return-value]


@contextlib.contextmanager
def _rare_garbage_collection() -> Iterator[None]:
    """Make garbage collection rare: the compiler creates many objects, few of them in cycles.

    The threshold is that of the process: without the compiler's lock, another thread would restore the changed one.
    """
    first, *others = gc.get_threshold()
    if first:
        gc.set_threshold(max(first, _COLLECT_AFTER_OBJECTS), *others)
    try:
        yield
    finally:
        gc.set_threshold(first, *others)


class _Dispatcher(CPUDispatcher):
    _cache: Any

    def typeof_pyval(self, val: Any) -> types.Type:
        # numba gives a type its number without a lock: threads could get two types, of which one has no machine code.
        with global_compiler_lock:
            return state_type.type_of(val)

    def get_call_template(self, args: Any, kws: Any) -> Any:
        # Otherwise numba compiles a kernel again for each integer literal that a caller passes.
        return super().get_call_template(
            tuple(types.unliteral(each) for each in args), {name: types.unliteral(each) for name, each in kws.items()}
        )

    def compile(self, sig: Any) -> Any:
        lock = getattr(self._cache, "lock_signature", None)
        if lock is None or tuple(normalize_signature(sig)[0]) in self.overloads:
            return super().compile(sig)
        # The compiler's lock first, which one thread of the process holds. A thread that took it after the lock of a
        # signature could wait, through threads of another process, for one that waits for that signature.
        with global_compiler_lock, lock(sig, self.targetctx), _rare_garbage_collection():
            return super().compile(sig)


class KernelDispatcher(_Dispatcher):
    """A kernel compiled for calls from Python; ``inner`` is the same kernel compiled for calls from other kernels.

    numba gives every compiled function a wrapper that unboxes Python objects. For a state of many arrays the wrapper is
    more code than the kernel itself, and most kernels are called by kernels only: ``inner`` compiles without it.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(
            py_func=function,
            locals={},
            targetoptions=dict(_OPTIONS),
            pipeline_class=linker.PythonCompiler,
        )
        self.inner: Any = _Dispatcher(
            py_func=function,
            locals={},
            targetoptions={**_OPTIONS, "no_cpython_wrapper": True},
            pipeline_class=linker.InnerCompiler,
        )
        if kernel_cache.has_hashed_source(function):
            self._cache = kernel_cache.KernelCache(function, "python")
            self.inner._cache = kernel_cache.KernelCache(function, "kernel")

    @property
    def _numba_type_(self) -> types.Dispatcher:
        return types.Dispatcher(self.inner)


def compile_inner(function: Callable[..., Any], *arguments: Any) -> None:
    """Compile a kernel, without calling it, for calls from other kernels with arguments of these types."""
    if isinstance(function, KernelDispatcher):
        function.inner.compile(tuple(map(function.typeof_pyval, arguments)))


def cache_statistics() -> CacheStatistics:
    """Return a copy of the counts of signatures that this process has loaded, compiled and stored."""
    return dataclasses.replace(kernel_cache.statistics)


def compile_under_lock(
    warm: Callable[[], None],
    progress: Callable[[str], None] | None = None,
    work: parallel_compile.SharedWork | None = None,
    kind: str = "all",
    expected: Callable[[Collection[str]], int] = lambda kinds: 0,
) -> None:
    """Run ``warm``, which calls every kernel that the service needs, so that no later call has to compile.

    If several processes start together on an empty cache, one compiles and the others wait and then load. The lock only
    saves work: a process that cannot take it, or has waited for five minutes without a new kernel, compiles by itself.

    Parameters
    ----------
    warm
        Calls each kernel once with arguments of the types that it gets later.
    progress
        Called with a line of text: at each step, and every few seconds with the number of compiled kernels. May be
        called from another thread.
    work
        Work that a child process shares, if there is a second core.
    kind
        Name of the set of kernels that ``warm`` calls: one set may be compiled while another is not.
    expected
        Returns how many kernels, one for each signature, all these kinds have together; 0 if that is not known.
    """
    report = progress or (lambda text: None)
    if kernel_cache.numba_config.DISABLE_JIT:
        warm()
        return
    folder = kernel_folder()
    before = cache_statistics()
    if folder is not None and (folder / f"complete-{kind}").exists():
        warm()
    elif folder is None or not kernel_cache.create_folder(folder):
        with Progress(report, lambda: cache_statistics().compiled - before.compiled, expected({kind})) as in_memory:
            in_memory.begin("compiling kernels")
            warm()
    else:
        kinds = {path.name.removeprefix("complete-") for path in folder.glob("complete-*")} | {kind}
        with Progress(report, lambda: len(list(folder.glob("*.nbc"))), expected(kinds)) as in_folder:
            _warm_up_locked(folder / f"complete-{kind}", warm, in_folder.begin, work)
    stored = ""
    if folder is not None:
        kernel_cache.mark_used(folder)
        # More than this process loads: the code of a kernel that only others call is part of theirs.
        stored = f"{len(list(folder.glob('*.nbc')))} in the cache; "
    now = cache_statistics()
    loaded, compiled = now.loaded - before.loaded, now.compiled - before.compiled
    report(f"kernels ready: {stored}this process loaded {loaded} and compiled {compiled}")


def _warm_up_locked(
    complete: Path, warm: Callable[[], None], begin: Callable[[str], None], work: parallel_compile.SharedWork | None
) -> None:
    """Warm up under the folder's lock, and create the empty file ``complete`` at the end."""
    folder = complete.parent
    with _file_lock(folder / "lock", complete, begin), contextlib.ExitStack() as stack:
        if not complete.exists():
            kernel_cache.prune()
            begin("compiling kernels, once per version and machine")
            if work is not None:
                stack.enter_context(parallel_compile.share_work(folder, work))
        warm()
        try:
            complete.touch()
        except OSError as error:
            kernel_cache.warn_not_cached(f"cannot write to {folder} ({error.strerror})")


@contextlib.contextmanager
def _file_lock(path: Path, complete: Path, begin: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock at ``path``; go on without it when ``complete`` appears, at the deadline, or if locking fails."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError:
        yield
        return
    try:
        deadline = time.monotonic() + _LOCK_WAIT_SECONDS
        changed = _last_change(path.parent)
        waiting = False
        while not complete.exists() and time.monotonic() < deadline:
            # Each kernel that the other process compiles is a new file: while files come, waiting is faster.
            if (now := _last_change(path.parent)) != changed:
                changed = now
                deadline = time.monotonic() + _LOCK_WAIT_SECONDS
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not waiting:
                    begin("waiting for another process, which compiles kernels")
                waiting = True
                time.sleep(_LOCK_POLL_SECONDS)
            except OSError:
                break
        yield
    finally:
        os.close(descriptor)


def _last_change(folder: Path) -> int:
    """Return the time, in nanoseconds, at which a file was last added or removed; 0 if the folder cannot be read."""
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return 0
