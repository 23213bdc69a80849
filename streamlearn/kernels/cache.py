"""On-disk cache of compiled kernels: its folders, the names of its files, and how they are read and written.

numba's own cache checks one source file at a time: a cached caller keeps the machine code of a callee in another module
after that module has changed. It also numbers its files in an index, and two processes overwrite each other's entries.
Here the folder is named by the hash of all kernel sources and of everything else that determines the machine code, and
each compiled signature is a file of its own, written under a temporary name and renamed.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import logging
import os
import pickle
import platform
import shutil
import stat
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding
import numba
import numpy as np
from numba.core import config, types
from numba.core.codegen import get_host_cpu_features
from numba.core.compiler import CompileResult
from numba.core.runtime.nrt import rtsys
from numba.core.serialize import dumps
from numba.core.sigutils import normalize_signature

logger = logging.getLogger(__name__)

numba_config: Any = config

PACKAGE = Path(__file__).resolve().parents[1]
KERNEL_SOURCES = (
    "encoder",
    "kernels",
    "learner",
    "model",
    "numerics",
    "state/array_loading.py",
)
"""Folders and files, relative to the package, whose text determines the bits of a model."""

CODE_SETTINGS = (
    "BOUNDSCHECK",
    "DEBUGINFO_DEFAULT",
    "DEBUG_JIT",
    "DEBUG_NRT",
    "ENABLE_PROFILING",
    "EXTEND_VARIABLE_LIFETIMES",
    "LLVM_REFPRUNE_FLAGS",
    "LLVM_REFPRUNE_PASS",
    "LOOP_VECTORIZE",
    "NRT_STATS",
    "OPT",
    "SLP_VECTORIZE",
    "USING_SVML",
)
"""Settings of numba, beside CPU and features, that change the machine code of kernels. All others, such as the number
of threads, which joblib sets for its workers, do not change the name of the folder."""

KEPT_FOLDERS = 8
"""Cache folders kept, the most recently used ones: one per version of the sources and machine."""

_LOCK_WAIT_SECONDS = 300.0
_LOCK_POLL_SECONDS = 0.02


@dataclass
class CacheStatistics:
    """Counts of this process: signatures loaded from disk, compiled, and written to disk; and whether it has warned."""

    loaded: int = 0
    compiled: int = 0
    stored: int = 0
    warned: bool = False


statistics = CacheStatistics()


def _source_files() -> list[Path]:
    files: list[Path] = []
    for source in KERNEL_SOURCES:
        path = PACKAGE / source
        files.extend(path.rglob("*.py") if path.is_dir() else [path] if path.exists() else [])
    return sorted(files)


def hash_sources() -> str:
    """Return 32 hexadecimal digits over the names and texts of all kernel sources on disk."""
    digest = hashlib.blake2b(digest_size=16)
    for path in _source_files():
        text = path.read_bytes()
        digest.update(f"{path.relative_to(PACKAGE).as_posix()}\0{len(text)}\0".encode())
        digest.update(text)
    return digest.hexdigest()


def has_hashed_source(function: Callable[..., Any]) -> bool:
    """Return whether `hash_sources` covers this function: it is at the top level of a module in a kernel source."""
    path = Path(function.__code__.co_filename).resolve()
    roots = [PACKAGE / source for source in KERNEL_SOURCES]
    return "<locals>" not in function.__qualname__ and any(path == root or root in path.parents for root in roots)


@functools.cache
def kernel_hash() -> str:
    """Return `hash_sources` of the first call, which is cached for the life of the process."""
    return hash_sources()


def _machine_hash() -> str:
    """Return 16 hexadecimal digits over interpreter, compiler, CPU and the settings that change machine code."""
    parts = [
        platform.machine(),
        sys.implementation.cache_tag or sys.implementation.name,
        platform.python_version(),
        getattr(sys, "abiflags", ""),
        numba.__version__,
        llvmlite.__version__,
        np.__version__,
        numba_config.CPU_NAME or llvmlite.binding.get_host_cpu_name(),
        numba_config.CPU_FEATURES if numba_config.CPU_FEATURES is not None else get_host_cpu_features(),
        *(f"{name}={getattr(numba_config, name)}" for name in CODE_SETTINGS),
    ]
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=8).hexdigest()


def cache_root() -> Path | None:
    """Return the folder of all cache folders: in ``$STREAMLEARN_CACHE_DIR``, else in the user's cache folder.

    None if neither is set and the user has no home folder.
    """
    own = os.environ.get("STREAMLEARN_CACHE_DIR")
    if own:
        return Path(own).expanduser().absolute() / "kernels"
    shared = os.environ.get("XDG_CACHE_HOME")
    try:
        base = Path(shared) if shared else Path.home() / ".cache"
    except RuntimeError:
        return None
    return base / "streamlearn" / "kernels"


@functools.cache
def kernel_folder() -> Path | None:
    """Return the cache folder of these sources on this machine (it need not exist); None without a cache root."""
    root = cache_root()
    return root / f"{kernel_hash()}-{_machine_hash()}" if root is not None else None


def warn_not_cached(reason: str) -> None:
    """Warn, once per process, that kernels are compiled at each start."""
    _warn(f"{reason}. Every start compiles them again; set STREAMLEARN_CACHE_DIR to a folder with write access")


def _warn(reason: str) -> None:
    if not statistics.warned:
        statistics.warned = True
        logger.warning("compiled kernels are not cached: %s", reason)


def create_folder(folder: Path) -> bool:
    """Create the cache folder, for this user only, unless it exists; return whether it is safe to write to."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        warn_not_cached(f"cannot create {folder} ({error.strerror})")
        return False
    if not os.access(folder, os.W_OK | os.X_OK):
        warn_not_cached(f"cannot write to {folder}")
        return False
    if not _is_trusted(folder):
        warn_not_cached(f"{folder} belongs to another user, or others may write to it")
        return False
    return True


def _is_trusted(folder: Path) -> bool:
    """Return whether only this user and root can write files here: loading a file runs the code in it."""
    try:
        found = folder.stat()
    except OSError:
        return False
    return found.st_uid in (0, os.geteuid()) and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def mark_used(folder: Path) -> None:
    """Update the time of the folder's last use, for `prune`."""
    with contextlib.suppress(OSError):
        os.utime(folder)


def prune(keep: int = KEPT_FOLDERS) -> None:
    """Remove all cache folders but the ``keep`` most recently used ones and the one in use."""
    folder = kernel_folder()
    if folder is None or not folder.parent.is_dir():
        return
    others = [path for path in folder.parent.iterdir() if path.is_dir() and path != folder]
    others.sort(key=_last_used, reverse=True)
    for path in others[max(keep - 1, 0) :]:
        shutil.rmtree(path, ignore_errors=True)


def _last_used(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:
        return 0.0


def _describe(kind: Any) -> str:
    """Return a text for a numba type: different for types that numba distinguishes, the same in every process."""
    if isinstance(kind, types.BaseTuple):
        elements: Any = kind
        inner = ", ".join(_describe(element) for element in elements)
        python = getattr(kind, "instance_class", tuple)
        fields = ",".join(getattr(python, "_fields", ()))
        return f"{python.__module__}.{python.__qualname__}[{fields}]({inner})"
    return f"{type(kind).__name__}:{kind}"


class KernelCache:
    """The cache of one kernel, with the interface of numba's caches (``numba.core.caching``).

    A file that is missing, cut short or altered counts as absent. Writers need no lock: files with the same name are
    equivalent, and a rename is atomic.
    """

    def __init__(self, function: Callable[..., Any], caller: str) -> None:
        """Create the cache of a function for a caller, ``python`` or ``kernel``: each has its own machine code."""
        self._function = function
        self._caller = caller
        self._enabled = True

    @property
    def cache_path(self) -> str | None:
        folder = kernel_folder()
        return str(folder) if folder is not None else None

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        # Machine code needs numba's runtime only; the registries of functions are loaded when something is compiled.
        rtsys.initialize(target_context)
        path = self._path(sig, target_context.codegen())
        if path is None or not self._enabled or not _is_trusted(path.parent):
            return None
        return _load(path, target_context)

    def save_overload(self, sig: Any, data: Any) -> None:
        statistics.compiled += 1
        path = self._path(sig, data.codegen)
        callees = sorted({name for library in data.library._linking_libraries for name in _cache_files(library)})
        if path is not None:
            _results[path] = data
            data.library.cache_files = callees if _is_linked_in(data.library) else [path.name]
        if path is None:
            warn_not_cached("this user has no home folder")
            return
        if not self._enabled or not _is_cachable(data) or not create_folder(path.parent):
            return
        if hash_sources() != kernel_hash():
            _warn("the sources have changed since this process started")
            return
        if _write(path, dumps((callees, data._reduce()))):
            statistics.stored += 1

    @contextlib.contextmanager
    def lock_signature(self, sig: Any, target_context: Any) -> Iterator[None]:
        """Hold the lock of a signature, so that one process compiles it and the others load it.

        A process that ends releases its locks. A process that has waited for five minutes goes on without the lock.
        """
        path = self._path(sig, target_context.codegen())
        file = _open_lock_file(path.parent) if path is not None and self._enabled and not path.exists() else None
        if path is None or file is None:
            yield
            return
        offset = int.from_bytes(hashlib.blake2b(path.name.encode(), digest_size=4).digest(), "big")
        deadline = time.monotonic() + _LOCK_WAIT_SECONDS
        held = False
        while not held and time.monotonic() < deadline and not path.exists():
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, offset)
                held = True
            except (BlockingIOError, PermissionError):
                time.sleep(_LOCK_POLL_SECONDS)
            except OSError:
                break
        try:
            yield
        finally:
            if held:
                fcntl.lockf(file, fcntl.LOCK_UN, 1, offset)

    def enable(self) -> None:
        self._enabled = True

    def disable(self) -> None:
        self._enabled = False

    def flush(self) -> None:
        folder = kernel_folder()
        for path in folder.glob(f"{self._stem()}-*.nbc") if folder is not None else ():
            path.unlink(missing_ok=True)

    def _stem(self) -> str:
        code = self._function.__code__
        return f"{self._function.__module__}.{self._function.__qualname__}-{code.co_firstlineno}-{self._caller}"

    def _path(self, sig: Any, codegen: Any) -> Path | None:
        folder = kernel_folder()
        if folder is None:
            return None
        arguments, result = normalize_signature(sig)
        key = "\0".join(
            [
                *(_describe(argument) for argument in arguments),
                f"-> {result}",
                *map(str, codegen.magic_tuple()),
                hashlib.sha256(self._function.__code__.co_code).hexdigest(),
            ]
        )
        return folder / f"{self._stem()}-{hashlib.blake2b(key.encode(), digest_size=16).hexdigest()}.nbc"


@functools.cache
def _open_lock_file(folder: Path) -> int | None:
    """Return a descriptor of the lock file, one byte per signature; None if it cannot be opened.

    It stays open to the end of the process: closing any descriptor of a file releases all locks of the process on it.
    """
    if not create_folder(folder):
        return None
    try:
        return os.open(folder / "signature-locks", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        return None


_results: dict[Path, Any] = {}
"""Results that this process has compiled or loaded, by cache file: no symbol may be defined twice."""


def _is_linked_in(library: Any) -> bool:
    """Return whether the code of this library is linked into its callers; otherwise they call its symbol."""
    return any(True for _ in library._get_module_for_linking().functions)


def _cache_files(library: Any) -> list[str]:
    """Return the cache files that a caller of this library depends on."""
    return getattr(library, "cache_files", [])


def _load(path: Path, target_context: Any) -> Any:
    """Load a cache file after the files of its callees; return None if one of them is missing or damaged."""
    if path in _results:
        return _results[path]
    content = _read(path)
    if content is None:
        return None
    callees, parts = pickle.loads(content)
    if any(_load(path.with_name(name), target_context) is None for name in callees):
        return None
    result = CompileResult._rebuild(target_context, *parts)
    result.library.cache_files = callees if _is_linked_in(result.library) else [path.name]
    _results[path] = result
    statistics.loaded += 1
    return result


def _is_cachable(result: Any) -> bool:
    return not result.library.has_dynamic_globals and all(lifted.can_cache for lifted in result.lifted)


def _read(path: Path) -> bytes | None:
    try:
        content = path.read_bytes()
    except OSError:
        return None
    checksum, payload = content[:32], content[32:]
    return payload if hashlib.sha256(payload).digest() == checksum else None


def _write(path: Path, payload: bytes) -> bool:
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        temporary.write_bytes(hashlib.sha256(payload).digest() + payload)
        temporary.replace(path)
    except OSError as error:
        warn_not_cached(f"cannot write {path} ({error.strerror})")
        temporary.unlink(missing_ok=True)
        return False
    return True
