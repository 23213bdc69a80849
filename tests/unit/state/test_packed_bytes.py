"""Byte strings in blocks: what was put is found, whatever left and moved, and what is unused stays bounded."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamlearn.state.packed_bytes import PackedBytes

BLOCK = 64


def check(store: PackedBytes, plain: dict[int, bytes], count: int) -> None:
    assert [store.get(number) for number in range(count)] == [plain.get(number, b"") for number in range(count)]
    assert [store.length(number) for number in range(count)] == [len(plain.get(n, b"")) for n in range(count)]


STEPS = st.lists(
    st.tuples(st.integers(0, 30), st.none() | st.binary(max_size=40) | st.binary(min_size=BLOCK, max_size=3 * BLOCK)),
    max_size=150,
)


@given(steps=STEPS, order=st.lists(st.integers(0, 30), max_size=40), tidy_every=st.integers(1, 5))
def test_it_is_a_dictionary(steps: list[tuple[int, bytes | None]], order: list[int], tidy_every: int) -> None:
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
        if step % tidy_every == 0:
            store.tidy()
    check(store, plain, 31)
    packed, offsets = store.gather(np.array(order, np.int64))
    edges = offsets.tolist()
    assert [packed[a:b].tobytes() for a, b in itertools.pairwise(edges)] == [plain.get(n, b"") for n in order]
    assert offsets.size == len(order) + 1


def test_blocks_of_what_left_in_order_are_used_again() -> None:
    store = PackedBytes(1_000)
    store.reserve(100)
    for number in range(10_000):
        store.put(number % 100, bytes([number % 256]) * 90)
        store.tidy()
    assert store.room <= 9_000 + 3 * 1_000


@pytest.mark.parametrize("stays", [2, 10, 50])
def test_what_stays_among_many_that_leave_is_moved_together(stays: int) -> None:
    """One of ``stays`` is kept for good, each in a block of others that leave soon."""
    store, plain, draw = PackedBytes(1_000), {}, random.Random(stays)
    young: list[int] = []
    store.reserve(30_000)
    for number in range(30_000):
        data = draw.randbytes(draw.randrange(20, 60))
        store.put(number, data)
        plain[number] = data
        if number % stays:
            young.append(number)
        if len(young) > 50:
            gone = young.pop(draw.randrange(len(young)))
            store.clear(gone)
            del plain[gone]
        if number % 20 == 0:
            store.tidy()
            used = sum(map(len, plain.values()))
            assert store.room < 1.5 * used + 6_000
    check(store, plain, 30_000)


def test_the_work_of_tidying_follows_what_left() -> None:
    store = PackedBytes(1_000)
    store.reserve(10_000)
    for number in range(10_000):
        store.put(number, bytes(50))
    store.tidy()
    kept = np.arange(0, 10_000, 4)
    for number in set(range(10_000)) - set(kept.tolist()):
        store.clear(number)
    before = store.gather(kept)[0].size
    store.tidy()
    assert store.room < 2 * before
    room = store.room
    store.tidy()
    assert store.room == room, "nothing has left since"
