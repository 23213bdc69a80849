"""Packed byte strings: what was put is found after any removals and moves, and unused memory stays bounded."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamlearn.engine.waiting.packed_bytes import PackedBytes

BLOCK = 64


def check(store: PackedBytes, plain: dict[int, bytes], count: int) -> None:
    assert [store.get(number) for number in range(count)] == [plain.get(number, b"") for number in range(count)]
    assert [store.length(number) for number in range(count)] == [len(plain.get(n, b"")) for n in range(count)]


STEPS = st.lists(
    st.tuples(st.integers(0, 30), st.none() | st.binary(max_size=40) | st.binary(min_size=BLOCK, max_size=3 * BLOCK)),
    max_size=150,
)


@given(steps=STEPS, order=st.lists(st.integers(0, 30), max_size=40), compact_every=st.integers(1, 5))
def test_it_equals_a_dictionary(steps: list[tuple[int, bytes | None]], order: list[int], compact_every: int) -> None:
    store = PackedBytes(BLOCK)
    store.reserve(31)
    plain: dict[int, bytes] = {}
    for step, (number, data) in enumerate(steps):
        if data is None:
            store.clear(number)
            plain.pop(number, None)
        else:
            store.put(number, data)
            plain[number] = data
        if step % compact_every == 0:
            store.compact()
    check(store, plain, 31)
    packed, offsets = store.pack(np.array(order, np.int64))
    edges = offsets.tolist()
    assert [packed[a:b].tobytes() for a, b in itertools.pairwise(edges)] == [plain.get(n, b"") for n in order]
    assert offsets.size == len(order) + 1


class Counting(PackedBytes):
    """Counts the blocks that it allocates and the bytes that `compact` moves."""

    allocated = 0
    moved = 0

    def _allocate(self, size: int) -> int:
        self.allocated += 1
        return super()._allocate(size)

    def compact(self) -> None:
        before = self._put_bytes
        super().compact()
        self.moved = self._put_bytes - before

    _put_bytes = 0

    def put(self, number: int, data: bytes) -> None:
        self._put_bytes += len(data)
        super().put(number, data)


def test_blocks_of_strings_removed_in_order_are_used_again() -> None:
    store = Counting(1_000)
    store.reserve(100)
    for number in range(10_000):
        store.put(number % 100, bytes([number % 256]) * 90)
        store.compact()
    assert store.room <= 9_000 + 3 * 1_000
    assert store.allocated < 20


def test_blocks_of_long_strings_are_freed() -> None:
    store = Counting(1_000)
    store.reserve(3)
    for number in range(300):
        store.put(number % 3, bytes(2_500))
        assert store.room <= 4 * 2_500 + 1_000
    assert len(store._blocks) <= 5


def test_few_strings_take_little_memory_however_many_were_put() -> None:
    store = PackedBytes()
    store.reserve(10)
    for number in range(20_000):
        store.put(number % 10, bytes(1_000))
        store.compact()
    assert store.room <= 4 * 65_536


def test_blocks_grow_and_shrink_with_the_data() -> None:
    store = PackedBytes(1 << 20)
    store.reserve(8_000)
    assert store.block_bytes == 65_536
    for number in range(8_000):
        store.put(number, bytes(1_000))
    assert store.block_bytes == 1 << 20
    assert store.room < 10 << 20
    for number in range(7_990):
        store.clear(number)
    store.put(0, bytes(1_000))
    store.compact()
    assert store.block_bytes == 65_536
    assert store.room <= 2 << 20


@pytest.mark.parametrize("stays", [2, 10, 50])
def test_strings_that_stay_among_many_removed_ones_are_moved_together(stays: int) -> None:
    """One string of ``stays`` is kept, in a block of others that are removed soon."""
    store, plain, draw = Counting(1_000), {}, random.Random(stays)
    young: list[int] = []
    store.reserve(30_000)
    left = 0
    for number in range(30_000):
        data = draw.randbytes(draw.randrange(20, 60))
        store.put(number, data)
        plain[number] = data
        if number % stays:
            young.append(number)
        if len(young) > 50:
            gone = young.pop(draw.randrange(len(young)))
            store.clear(gone)
            left += len(plain.pop(gone))
        if number % 3 == 0:
            store.compact()
            assert store.moved <= 4 * left + 60
            left = 0
            assert store.room < 2 * sum(map(len, plain.values())) + 5_000
    check(store, plain, 30_000)
    assert stays == 2 or store.allocated > 100


def test_strings_that_fill_little_more_than_half_a_block_are_not_moved() -> None:
    store = Counting(1_000)
    store.reserve(300)
    for number in range(300):
        store.put(number, bytes(510))
    for number in range(0, 300, 10):
        store.clear(number)
        store.compact()
        assert store.moved == 0


def test_a_block_that_cannot_be_allocated_leaves_the_store_intact(monkeypatch: pytest.MonkeyPatch) -> None:
    store = PackedBytes(100)
    store.reserve(4)
    store.put(0, b"a" * 60)

    def refuse(self: PackedBytes, size: int) -> int:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(PackedBytes, "_allocate", refuse)
        with pytest.raises(MemoryError):
            store.put(1, b"b" * 60)
    store.put(2, b"c" * 40)
    assert [store.get(number) for number in range(3)] == [b"a" * 60, b"", b"c" * 40]
