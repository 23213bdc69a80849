"""Huge pages are restored after a fork, and a forked process releases what it has written, and nothing else."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

import numpy as np
import pytest
from numpy.lib.array_utils import byte_bounds

from streamlearn.snapshot import huge_pages
from streamlearn.snapshot.fork import ForkedProcess, can_fork
from streamlearn.snapshot.huge_pages import (
    HUGE_PAGE_BYTES,
    PageReleaser,
    Region,
    collapse_into_huge_pages,
    find_dense_regions,
    find_releasable_regions,
)
from streamlearn.snapshot.store import SnapshotStore
from streamlearn.state.arrays import state_hash

BIG = 5 << 20
SETTING = Path("/sys/kernel/mm/transparent_hugepage/enabled")

forks = pytest.mark.skipif(not can_fork(), reason="only Linux may fork a process that has threads")


def awkward_arrays() -> dict[str, np.ndarray]:
    """Return large arrays whose memory is in any order, has gaps, or is shared by several."""
    draw = np.random.default_rng(3)
    table = draw.random((1_500, 800), np.float32)
    pairs = draw.integers(0, 1 << 40, (400_000, 2))
    return {
        "whole": draw.random(1_000_000),
        "columns": draw.random((4_000, 500))[:, :420],
        "one_row": draw.random((1, 3_000, 500))[:, :, :400],
        "transposed": draw.random((900, 1_000)).T,
        "backwards": draw.random(800_000)[::-1],
        "same": table,
        "same_again": table,
        "first": pairs[:, 0],
        "second": pairs[:, 1],
        "repeated": np.broadcast_to(draw.random(1_000), (700, 1_000)),
        "small": draw.random(10),
        "empty": np.zeros((0, 7)),
    }


def test_regions_are_those_that_can_be_released_piece_by_piece() -> None:
    arrays = awkward_arrays()
    regions = find_releasable_regions(arrays)
    assert set(regions) == {"whole", "columns", "one_row"}
    whole = arrays["whole"]
    first = whole.__array_interface__["data"][0]
    assert regions["whole"] == Region(first, first + whole.nbytes)


@forks
def test_snapshot_of_what_was_let_go_of_is_whole(tmp_path: Path) -> None:
    arrays = awkward_arrays()
    store = SnapshotStore(str(tmp_path))
    unfinished = store.begin("group", "lineage", 0, 7, "c0ffee")
    left = tmp_path / "left.npy"

    def work() -> None:
        store.fill(unfinished, arrays, {}, PageReleaser(find_releasable_regions(arrays)).release)
        np.save(left, [arrays["whole"].any(), arrays["columns"].any()])

    before = state_hash(arrays)
    # The edges of an array share pages with others, and are kept.
    ForkedProcess(work).wait(unfinished.progress)
    assert np.load(left).all()
    assert state_hash(store.read(store.finish(unfinished))[1]) == state_hash(arrays) == before


@forks
def test_what_was_written_is_released(tmp_path: Path) -> None:
    memory = np.ones(BIG + mmap.PAGESIZE, np.uint8)
    # It begins in the middle of a page, which is kept.
    start = (64 - memory.ctypes.data) % mmap.PAGESIZE
    array = memory[start : start + BIG]

    def work() -> None:
        releaser = PageReleaser(find_releasable_regions({"array": array}))
        for end in (1 << 20, 3 << 20):
            releaser.release("array", array[end - (1 << 20) : end])
        releaser.release("another", array)
        np.save(tmp_path / "edges.npy", np.flatnonzero(np.diff(array)))

    ForkedProcess(work).wait(lambda: 0)
    low, high = np.load(tmp_path / "edges.npy").tolist()
    assert low < mmap.PAGESIZE
    assert (3 << 20) - mmap.PAGESIZE <= high + 1 <= 3 << 20
    assert array.all()


@pytest.fixture
def huge() -> np.ndarray:
    """An array in huge pages, in its own mapping."""
    if not SETTING.exists() or "[never]" in SETTING.read_text():
        pytest.skip("the system allows no huge pages")
    mapping = mmap.mmap(-1, 16 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    mapping.madvise(mmap.MADV_HUGEPAGE)
    # The system joins adjacent mappings with equal flags.
    mapping.madvise(mmap.MADV_DONTDUMP)
    array = np.frombuffer(mapping, np.uint8)
    array += 7
    if collapse_into_huge_pages(find_releasable_regions({"array": array}).values()) < 12 << 20:
        pytest.skip("the system collapses no huge pages (Linux before 6.1, or no memory)")
    return array


@forks
def test_huge_pages_that_a_fork_has_split_are_restored(huge: np.ndarray) -> None:
    before = _huge_bytes(huge)
    gate, opened = os.pipe()

    def work() -> None:
        os.read(gate, 1)

    child = ForkedProcess(work)
    huge[::HUGE_PAGE_BYTES] = 8
    split = _huge_bytes(huge)
    os.write(opened, b"x")
    child.wait(lambda: 0)
    assert split < before
    assert collapse_into_huge_pages(find_dense_regions()) >= 12 << 20
    assert _huge_bytes(huge) == before
    assert (np.count_nonzero(huge == 8), np.count_nonzero(huge == 7)) == (8, huge.size - 8)


@forks
def test_dense_memory_is_found_and_sparse_memory_is_not(huge: np.ndarray) -> None:
    objects = [bytes(100) for _ in range(300_000)]
    # The memory around a dense part is not counted as dense.
    partly = mmap.mmap(-1, 64 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    partly.madvise(mmap.MADV_NOHUGEPAGE)
    first = byte_bounds(np.frombuffer(partly, np.uint8))[0]
    dense = -(-first // HUGE_PAGE_BYTES) * HUGE_PAGE_BYTES + 8 * HUGE_PAGE_BYTES
    view = np.frombuffer(partly, np.uint8)[dense - first :]
    view[: HUGE_PAGE_BYTES : mmap.PAGESIZE] = 1
    view[HUGE_PAGE_BYTES : 2 * HUGE_PAGE_BYTES : 2 * mmap.PAGESIZE] = 1
    shared = mmap.mmap(-1, 64 << 20, flags=mmap.MAP_SHARED | mmap.MAP_ANONYMOUS)
    shared.write(bytes(64 << 20))
    regions = find_dense_regions()

    def is_found(address: int) -> bool:
        return any(low <= address < high for low, high in regions)

    # Some are among holes that freed objects have left.
    assert np.mean([is_found(id(each)) for each in objects]) > 0.3
    assert is_found(byte_bounds(huge)[0] + HUGE_PAGE_BYTES)
    assert is_found(dense)
    assert is_found(dense + HUGE_PAGE_BYTES - 1)
    assert not is_found(dense - 1)
    assert not is_found(dense + HUGE_PAGE_BYTES)
    assert not is_found(byte_bounds(np.frombuffer(shared, np.uint8))[0])


@forks
def test_only_private_mappings_are_scanned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scanned: list[Region] = []

    def record(mapping: Region, page_map: object) -> list[Region]:
        scanned.append(mapping)
        return [mapping]

    maps = tmp_path / "maps"
    maps.write_bytes(
        b"1000-2000 rw-p 00000000 00:00 0                          [heap]\n"
        b"3000-4000 rw-p 00000000 00:00 0 \n"
        b"4000-5000 rw-p 00000000 00:00 0                          [anon: glibc: malloc]\n"
        b"5000-6000 rw-p 00000000 fe:00 326269                     /lib/caf\xe9.so\n"
        b"6000-7000 r--p 00000000 00:00 0 \n"
        b"7000-8000 rw-s 00000000 00:01 1029                       /dev/zero (deleted)\n"
        b"8000-9000 rw-p 00000000 00:00 0                          [stack]\n"
    )
    monkeypatch.setattr(huge_pages, "_MAPPINGS", maps)
    monkeypatch.setattr(huge_pages, "_find_dense", record)
    expected = [Region(0x1000, 0x2000), Region(0x3000, 0x4000), Region(0x4000, 0x5000)]
    setting = tmp_path / "enabled"
    monkeypatch.setattr(huge_pages, "_SETTING", setting)
    for text, found in (("always [madvise] never", expected), ("always madvise [never]", [])):
        setting.write_text(text)
        assert find_dense_regions() == found
    assert scanned == expected


def test_unused_addresses_are_ignored() -> None:
    assert collapse_into_huge_pages([Region(0, 1 << 30), Region(1 << 21, 1 << 20), Region(5, 5)]) == 0


def _huge_bytes(array: np.ndarray) -> int:
    """Return the bytes in huge pages of the mapping that holds an array."""
    first = array.__array_interface__["data"][0]
    inside, found = False, 0
    for line in Path("/proc/self/smaps").read_text().splitlines():
        head, *rest = line.split()
        if "-" in head:
            low, high = (int(part, 16) for part in head.split("-"))
            inside = low < first + array.nbytes and first < high
        elif inside and head == "AnonHugePages:":
            found += int(rest[0]) << 10
    return found
