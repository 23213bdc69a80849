"""Huge pages: a cheaper fork, and fewer copy-on-write faults after it.

A fork copies a table with one entry per memory page: 30 ms per gigabyte in pages of 4 KiB, and below 2 ms in huge pages
of 2 MiB. numpy asks for huge pages for arrays of 4 MiB and more; objects and small arrays are in small pages. A huge
page that is written to while a forked process shares it is split into small pages, each copied when it is touched. Only
the system's slow scan, or `collapse_into_huge_pages`, makes them huge again. Pages that the forked process has released
(`PageReleaser`) are neither split nor copied.
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

HUGE_PAGE_BYTES = 2 << 20
_MIN_ARRAY_BYTES = 4 << 20
"""From this size on numpy asks for huge pages."""
_MADV_DONTNEED = 4
_MADV_COLLAPSE = 25
_SETTING = Path("/sys/kernel/mm/transparent_hugepage/enabled")
_MAPPINGS = Path("/proc/self/maps")
_PAGE_MAP = Path("/proc/self/pagemap")
_PRIVATE_MAPPING = re.compile(rb"^([0-9a-f]+)-([0-9a-f]+) rw-p 0+ 00:00 0 *(?:\[heap\]|\[anon.*\])?$", re.M)
"""First address and end of a private, writable mapping without a file."""
_DENSE_SHARE = 0.75
"""Share of the pages in use from which on a huge page is worth its memory."""
_SCAN_BYTES = 1 << 30
"""How much of a mapping is looked at in one read of the page map."""


class Region(NamedTuple):
    """Memory from the address ``first`` to the address ``end``, excluded."""

    first: int
    end: int


def find_releasable_regions(arrays: Mapping[str, np.ndarray]) -> dict[str, Region]:
    """Return the memory of large arrays in C order that share none with others: it can be released piece by piece."""
    regions = sorted((Region(*byte_bounds(array)), name) for name, array in arrays.items() if array.size)
    found = {}
    reached = 0
    for index, (region, name) in enumerate(regions):
        next_first = regions[index + 1][0].first if index + 1 < len(regions) else region.end
        alone = reached <= region.first and region.end <= next_first
        if alone and region.end - region.first >= _MIN_ARRAY_BYTES and _is_in_c_order(arrays[name]):
            found[name] = region
        reached = max(reached, region.end)
    return found


def _is_in_c_order(array: np.ndarray) -> bool:
    """Return whether the elements have rising addresses in C order, with or without gaps."""
    inner = array.itemsize
    for length, stride in zip(reversed(array.shape), reversed(array.strides), strict=True):
        if length > 1:
            if stride < inner:
                return False
            inner = stride * length
    return True


def find_dense_regions() -> list[Region]:
    """Return the private memory of this process in which at least three quarters of every 2 MiB are in use, whether in
    small pages or in a huge one.

    Empty where huge pages are not allowed, and on other systems than Linux.
    """
    try:
        if "[never]" in _SETTING.read_text():
            return []
        own = [Region(int(first, 16), int(end, 16)) for first, end in _PRIVATE_MAPPING.findall(_MAPPINGS.read_bytes())]
        with _PAGE_MAP.open("rb", buffering=0) as page_map:
            return [region for mapping in own for region in _find_dense(mapping, page_map)]
    except OSError:
        return []


def _find_dense(mapping: Region, page_map: RawIOBase) -> Iterator[Region]:
    """Yield the dense parts of a mapping; ``page_map`` has 8 bytes for each page of the address space."""
    first, end = (
        -(-mapping.first // HUGE_PAGE_BYTES) * HUGE_PAGE_BYTES,
        mapping.end // HUGE_PAGE_BYTES * HUGE_PAGE_BYTES,
    )
    for part in range(first, end, _SCAN_BYTES):
        page_map.seek(part // mmap.PAGESIZE * 8)
        entries = page_map.read((min(end, part + _SCAN_BYTES) - part) // mmap.PAGESIZE * 8) or b""
        # The highest bit says that the page is in memory.
        present = np.frombuffer(entries, np.int64).reshape(-1, HUGE_PAGE_BYTES // mmap.PAGESIZE) < 0
        dense = np.count_nonzero(present, axis=1) >= _DENSE_SHARE * present.shape[1]
        edges = np.flatnonzero(np.diff(dense, prepend=False, append=False)).reshape(-1, 2)
        yield from (Region(part + low * HUGE_PAGE_BYTES, part + high * HUGE_PAGE_BYTES) for low, high in edges.tolist())


def collapse_into_huge_pages(regions: Iterable[Region]) -> int:
    """Replace small pages by huge ones; contents stay, and a thread that uses a page meanwhile waits for it.

    Nothing is done where the system cannot do it (Linux before 6.1) or lacks memory, nor for addresses that are no
    longer in use.

    Returns
    -------
    int
        Bytes of the regions that are in huge pages alone.
    """
    collapsed = 0
    for region in regions:
        first = -(-region.first // HUGE_PAGE_BYTES) * HUGE_PAGE_BYTES
        size = region.end // HUGE_PAGE_BYTES * HUGE_PAGE_BYTES - first
        if size > 0 and _advise(first, size, _MADV_COLLAPSE):
            collapsed += size
    return collapsed


class PageReleaser:
    """Releases the memory of arrays that this process, a forked child, will not read again; their contents are lost.

    Parameters
    ----------
    regions:
        The memory of the arrays that may be released, by name.
    """

    def __init__(self, regions: Mapping[str, Region]) -> None:
        self._left = {
            name: Region(-(-first // mmap.PAGESIZE) * mmap.PAGESIZE, end) for name, (first, end) in regions.items()
        }

    def release(self, name: str, piece: np.ndarray) -> None:
        """Release an array up to the end of a piece; pieces come in order."""
        left = self._left.get(name)
        if left is None:
            return
        end = byte_bounds(piece)[1] // mmap.PAGESIZE * mmap.PAGESIZE
        if end > left.first:
            _advise(left.first, end - left.first, _MADV_DONTNEED)
            self._left[name] = left._replace(first=end)


def _advise(address: int, size_bytes: int, advice: int) -> bool:
    """Call ``madvise``, while other threads run; return whether it succeeded."""
    return _madvise is not None and _madvise(address, size_bytes, advice) == 0


def _load_madvise() -> Callable[[int, int, int], int] | None:
    if sys.platform != "linux":
        return None
    function = ctypes.CDLL(None).madvise
    function.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    function.restype = ctypes.c_int
    return function


# Loaded at import: loading takes a lock, for which a forked process must not wait.
_madvise = _load_madvise()
