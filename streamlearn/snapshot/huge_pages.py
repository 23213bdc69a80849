"""Pages of memory: fewer of them to fork, and fewer that a forked process makes the system copy.

A fork copies a table with an entry a page: for a gigabyte that is 30 ms in pages of 4 KiB, and below 2 ms in pages of
2 MiB. numpy asks for large pages where an array has 4 MiB; objects and small arrays lie in small ones. And a page that
is written to while a forked process shares it is cut into small ones, each copied when it is touched. Only the system's
slow scan, or `gather`, makes them large. What the forked process has let go of is neither cut nor copied.
"""

from __future__ import annotations

import ctypes
import mmap
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from io import RawIOBase
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.lib.array_utils import byte_bounds

LARGE_BYTES = 2 << 20
_LEAST_BYTES = 4 << 20
"""From this size on numpy asks for large pages."""
_MADV_DONTNEED = 4
_MADV_COLLAPSE = 25
_ALLOWED = Path("/sys/kernel/mm/transparent_hugepage/enabled")
_MAPPINGS = Path("/proc/self/maps")
_PAGES = Path("/proc/self/pagemap")
_OWN = re.compile(rb"^([0-9a-f]+)-([0-9a-f]+) rw-p 0+ 00:00 0 *(?:\[heap\]|\[anon.*\])?$", re.M)
"""First address and end of a mapping that can be written to, is shared with nobody and is no file's."""
_DENSE = 0.75
_LOOK_BYTES = 1 << 30


class Region(NamedTuple):
    """Memory between two addresses."""

    first: int
    end: int


def big_regions(arrays: Mapping[str, np.ndarray]) -> dict[str, Region]:
    """Return where the arrays lie that may have large pages: those in C order that share no memory with others."""
    regions = sorted((Region(*byte_bounds(array)), name) for name, array in arrays.items() if array.size)
    found = {}
    reached = 0
    for place, (region, name) in enumerate(regions):
        next_first = regions[place + 1][0].first if place + 1 < len(regions) else region.end
        alone = reached <= region.first and region.end <= next_first
        if alone and region.end - region.first >= _LEAST_BYTES and _rises(arrays[name]):
            found[name] = region
        reached = max(reached, region.end)
    return found


def _rises(array: np.ndarray) -> bool:
    """Return whether each row lies behind the one before, and so on within the rows."""
    inner = array.itemsize
    for length, stride in zip(reversed(array.shape), reversed(array.strides), strict=True):
        if length > 1:
            if stride < inner:
                return False
            inner = stride * length
    return True


def dense_regions() -> list[Region]:
    """Return where this process has memory of its own of which three quarters and more are in use in 2 MiB, whether in
    small pages or in a large one; empty where large pages are not allowed, and on other systems than Linux."""
    try:
        if "[never]" in _ALLOWED.read_text():
            return []
        own = [Region(int(first, 16), int(end, 16)) for first, end in _OWN.findall(_MAPPINGS.read_bytes())]
        with _PAGES.open("rb", buffering=0) as pages:
            return [region for mapping in own for region in _dense(mapping, pages)]
    except OSError:
        return []


def _dense(mapping: Region, pages: RawIOBase) -> Iterator[Region]:
    """Yield the parts of a mapping that are dense; ``pages`` has 8 bytes for each page of the address space."""
    first, end = -(-mapping.first // LARGE_BYTES) * LARGE_BYTES, mapping.end // LARGE_BYTES * LARGE_BYTES
    for part in range(first, end, _LOOK_BYTES):
        pages.seek(part // mmap.PAGESIZE * 8)
        told = pages.read((min(end, part + _LOOK_BYTES) - part) // mmap.PAGESIZE * 8) or b""
        # The highest bit says that the page is in memory.
        there = np.frombuffer(told, np.int64).reshape(-1, LARGE_BYTES // mmap.PAGESIZE) < 0
        dense = np.count_nonzero(there, axis=1) >= _DENSE * there.shape[1]
        edges = np.flatnonzero(np.diff(dense, prepend=False, append=False)).reshape(-1, 2)
        yield from (Region(part + low * LARGE_BYTES, part + high * LARGE_BYTES) for low, high in edges.tolist())


def gather(regions: Iterable[Region]) -> int:
    """Put large pages in the place of small ones; contents stay, and whoever uses a page meanwhile waits for that one.

    It does nothing where the system cannot do so (Linux before 6.1) or has no room, nor for addresses that are no
    longer in use.

    Returns
    -------
    int
        Bytes of the regions that have nothing but large pages.
    """
    gathered = 0
    for region in regions:
        first = -(-region.first // LARGE_BYTES) * LARGE_BYTES
        size = region.end // LARGE_BYTES * LARGE_BYTES - first
        if size > 0 and _advise(first, size, _MADV_COLLAPSE):
            gathered += size
    return gathered


class PageReleaser:
    """Gives memory back that this process alone will not read again, though it is still in use: what it holds is lost.

    Parameters
    ----------
    regions:
        Where the arrays lie that `written` may be told of, each piece by piece and in order.
    """

    def __init__(self, regions: Mapping[str, Region]) -> None:
        self._left = {
            name: Region(-(-first // mmap.PAGESIZE) * mmap.PAGESIZE, end) for name, (first, end) in regions.items()
        }

    def written(self, name: str, piece: np.ndarray) -> None:
        """Let go of everything up to the end of a piece."""
        left = self._left.get(name)
        if left is None:
            return
        end = byte_bounds(piece)[1] // mmap.PAGESIZE * mmap.PAGESIZE
        if end > left.first:
            _advise(left.first, end - left.first, _MADV_DONTNEED)
            self._left[name] = left._replace(first=end)


def _advise(address: int, size_bytes: int, advice: int) -> bool:
    """Tell the system what to do with memory, while other threads run; return whether it has done it."""
    return _madvise is not None and _madvise(address, size_bytes, advice) == 0


def _system_call() -> Callable[[int, int, int], int] | None:
    if sys.platform != "linux":
        return None
    function = ctypes.CDLL(None).madvise
    function.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    function.restype = ctypes.c_int
    return function


# Looked up here: that takes a lock, which must not be waited for in a process that was forked.
_madvise = _system_call()
