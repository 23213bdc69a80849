"""Hash and copy of named arrays, and packing of texts."""

from __future__ import annotations

import numpy as np
import pytest

from streamlearn.state.arrays import copy_arrays, pack_texts, state_hash, unpack_texts


def example() -> dict[str, np.ndarray]:
    return {
        "weights": np.arange(12, dtype=np.float32).reshape(3, 4),
        "counts": np.array([1.0, 2.5]),
        "flags": np.array([True, False]),
        "empty": np.zeros((0, 5), dtype=np.int64),
        "scalar": np.array(7, dtype=np.int32),
    }


def test_hash_ignores_order_layout_and_byte_order():
    arrays = example()
    other = dict(reversed(list(arrays.items())))
    other["weights"] = np.asfortranarray(arrays["weights"])
    other["counts"] = arrays["counts"].astype(">f8")
    assert state_hash(other) == state_hash(arrays)
    assert len(state_hash(arrays)) == 64


def test_hash_is_the_same_in_every_version():
    assert state_hash({"a": np.array([1, 2], dtype=np.int64)}) == (
        "f6047d855678f5f8845fd60b303435c9bc377b135c5fd0750a289903c6854423"
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a["counts"].__setitem__(0, np.nextafter(1.0, 2.0)),
        lambda a: a["counts"].__setitem__(0, -a["counts"][0]),
        lambda a: a.update(counts=a["counts"].reshape(2, 1)),
        lambda a: a.update(counts=a["counts"].view(np.int64)),
        lambda a: a.update(count=a.pop("counts")),
        lambda a: a.pop("empty"),
        lambda a: a.update(empty=np.zeros((0, 6), dtype=np.int64)),
    ],
)
def test_hash_changes_with_every_difference(change):
    arrays = example()
    before = state_hash(arrays)
    change(arrays)
    assert state_hash(arrays) != before


def test_hash_depends_on_the_boundaries_between_arrays_and_on_the_sign_of_zero():
    left = {"a": np.array([1, 2], dtype=np.uint8), "b": np.array([3], dtype=np.uint8)}
    right = {"a": np.array([1], dtype=np.uint8), "b": np.array([2, 3], dtype=np.uint8)}
    assert state_hash(left) != state_hash(right)
    assert state_hash({"a": np.array([0.0])}) != state_hash({"a": np.array([-0.0])})


@pytest.mark.parametrize("bad", [np.array(["a"]), np.array([object()]), np.array([1j])])
def test_only_numbers_are_state(bad):
    with pytest.raises(TypeError, match="'x'"):
        state_hash({"x": bad})


def test_copies_share_no_memory():
    arrays = example()
    arrays["view"] = arrays["weights"][:, ::2]
    copies = copy_arrays(arrays)
    before = state_hash(copies)
    for array in arrays.values():
        array[...] = 0
    assert state_hash(copies) == before != state_hash(arrays)
    assert all(copy.flags.c_contiguous and copy.flags.writeable for copy in copies.values())


@pytest.mark.parametrize("names", [[], [""], ["a", "", "größe", "日本", "\0", "\ud800"], ["x" * 1000]])
def test_packed_names_are_unpacked(names):
    packed, offsets = pack_texts(names)
    assert packed.dtype == np.uint8
    assert offsets.dtype == np.int64
    assert offsets.size == len(names) + 1
    assert unpack_texts(packed, offsets) == names


@pytest.mark.parametrize("offsets", [[], [0, 2], [1, 3], [0, 3, 2, 3], [0, 4]])
def test_offsets_that_do_not_fit_are_refused(offsets):
    packed = np.frombuffer(b"abc", dtype=np.uint8)
    with pytest.raises(ValueError, match="offsets"):
        unpack_texts(packed, np.array(offsets, dtype=np.int64))
