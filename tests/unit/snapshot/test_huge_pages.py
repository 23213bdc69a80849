"""Large pages come back after a fork, and what a forked process has written it lets go of, and of nothing else."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

import numpy as np
import pytest
from numpy.lib.array_utils import byte_bounds

from streamlearn.snapshot import huge_pages as pages
from streamlearn.snapshot.fork import ForkedProcess, can_fork
from streamlearn.snapshot.huge_pages import LARGE_BYTES, PageReleaser, Region, big_regions, dense_regions, gather
from streamlearn.snapshot.store import SnapshotStore
from streamlearn.state.arrays import state_hash

BIG = 5 << 20
ALLOWED = Path("/sys/kernel/mm/transparent_hugepage/enabled")

forks = pytest.mark.skipif(not can_fork(), reason="only Linux may fork a process that has threads")


def awkward_arrays() -> dict[str, np.ndarray]:
    """Return big arrays whose memory is in any order, has gaps, or is shared by several."""
    draw = np.random.default_rng(3)
    table = draw.random((1_500, 800), np.float32)
    pairs = draw.integers(0, 1 << 40, (400_000, 2))
    return {
        "whole": draw.random(1_000_000),
        "columns": draw.random((4_000, 500))[:, :420],
        "one_row": draw.random((1, 3_000, 500))[:, :, :400],
        "turned": draw.random((900, 1_000)).T,
        "backwards": draw.random(800_000)[::-1],
        "same": table,
        "same_again": table,
        "first": pairs[:, 0],
        "second": pairs[:, 1],
        "repeated": np.broadcast_to(draw.random(1_000), (700, 1_000)),
        "small": draw.random(10),
        "empty": np.zeros((0, 7)),
    }


def test_regions_are_those_that_can_be_let_go_of_piece_by_piece() -> None:
    arrays = awkward_arrays()
    regions = big_regions(arrays)
    assert set(regions) == {"whole", "columns", "one_row"}
    whole = arrays["whole"]
    first = whole.__array_interface__["data"][0]
    assert regions["whole"] == Region(first, first + whole.nbytes)


@forks
def test_snapshot_of_what_was_let_go_of_is_whole(tmp_path: Path) -> None:
    arrays = awkward_arrays()
    store = SnapshotStore(str(tmp_path))
    begun = store.begin("group", "lineage", 0, 7, "c0ffee")
    left = tmp_path / "left.npy"

    def work() -> None:
        store.fill(begun, arrays, {}, PageReleaser(big_regions(arrays)).written)
        np.save(left, [arrays["whole"].any(), arrays["columns"].any()])

    before = state_hash(arrays)
    # The edges of an array share pages with others, and are kept.
    ForkedProcess(work).wait(begun.progress)
    assert np.load(left).all()
    assert state_hash(store.read(store.finish(begun))[1]) == state_hash(arrays) == before


@forks
def test_what_was_written_is_let_go_of(tmp_path: Path) -> None:
    array = np.ones(BIG, np.uint8)

    def work() -> None:
        go = PageReleaser(big_regions({"array": array}))
        for end in (1 << 20, 3 << 20):
            go.written("array", array[end - (1 << 20) : end])
        go.written("another", array)
        np.save(tmp_path / "edges.npy", np.flatnonzero(np.diff(array)))

    ForkedProcess(work).wait(lambda: 0)
    low, high = np.load(tmp_path / "edges.npy").tolist()
    assert low < mmap.PAGESIZE
    assert (3 << 20) - mmap.PAGESIZE <= high + 1 <= 3 << 20
    assert array.all()


@pytest.fixture
def large() -> np.ndarray:
    """An array that has large pages, in a mapping of its own."""
    if not ALLOWED.exists() or "[never]" in ALLOWED.read_text():
        pytest.skip("the system allows no large pages")
    mapping = mmap.mmap(-1, 16 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    mapping.madvise(mmap.MADV_HUGEPAGE)
    # The system joins a mapping with its neighbours unless something tells them apart.
    mapping.madvise(mmap.MADV_DONTDUMP)
    array = np.frombuffer(mapping, np.uint8)
    array += 7
    if gather(big_regions({"array": array}).values()) < 12 << 20:
        pytest.skip("the system gathers no large pages (Linux before 6.1, or no room)")
    return array


@forks
def test_large_pages_that_sharing_has_cut_come_back(large: np.ndarray) -> None:
    had = _large_bytes(large)
    gate, opened = os.pipe()

    def work() -> None:
        os.read(gate, 1)

    child = ForkedProcess(work)
    large[::LARGE_BYTES] = 8
    cut = _large_bytes(large)
    os.write(opened, b"x")
    child.wait(lambda: 0)
    assert cut < had
    assert gather(dense_regions()) >= 12 << 20
    assert _large_bytes(large) == had
    assert (np.count_nonzero(large == 8), np.count_nonzero(large == 7)) == (8, large.size - 8)


@forks
def test_memory_in_use_is_found_wherever_it_lies_and_what_is_hardly_used_is_not(large: np.ndarray) -> None:
    objects = [bytes(100) for _ in range(300_000)]
    # Beside a part that is in use nobody else's memory becomes larger.
    partly = mmap.mmap(-1, 64 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    partly.madvise(mmap.MADV_NOHUGEPAGE)
    first = byte_bounds(np.frombuffer(partly, np.uint8))[0]
    dense = -(-first // LARGE_BYTES) * LARGE_BYTES + 8 * LARGE_BYTES
    view = np.frombuffer(partly, np.uint8)[dense - first :]
    view[: LARGE_BYTES : mmap.PAGESIZE] = 1
    view[LARGE_BYTES : 2 * LARGE_BYTES : 2 * mmap.PAGESIZE] = 1
    ours = mmap.mmap(-1, 64 << 20, flags=mmap.MAP_SHARED | mmap.MAP_ANONYMOUS)
    ours.write(bytes(64 << 20))
    regions = dense_regions()

    def found(address: int) -> bool:
        return any(low <= address < high for low, high in regions)

    # Some lie among holes that others have left.
    assert np.mean([found(id(each)) for each in objects]) > 0.3
    assert found(byte_bounds(large)[0] + LARGE_BYTES)
    assert found(dense)
    assert found(dense + LARGE_BYTES - 1)
    assert not found(dense - 1)
    assert not found(dense + LARGE_BYTES)
    assert not found(byte_bounds(np.frombuffer(ours, np.uint8))[0])


@forks
def test_only_mappings_of_ones_own_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[Region] = []

    def noted(mapping: Region, opened: object) -> list[Region]:
        looked.append(mapping)
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
    monkeypatch.setattr(pages, "_MAPPINGS", maps)
    monkeypatch.setattr(pages, "_dense", noted)
    expected = [Region(0x1000, 0x2000), Region(0x3000, 0x4000), Region(0x4000, 0x5000)]
    allowed = tmp_path / "enabled"
    monkeypatch.setattr(pages, "_ALLOWED", allowed)
    for text, found in (("always [madvise] never", expected), ("always madvise [never]", [])):
        allowed.write_text(text)
        assert dense_regions() == found
    assert looked == expected


def test_addresses_that_nobody_uses_do_no_harm() -> None:
    assert gather([Region(0, 1 << 30), Region(1 << 21, 1 << 20), Region(5, 5)]) == 0


def _large_bytes(array: np.ndarray) -> int:
    """Return the bytes of large pages in the mapping that an array lies in."""
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
