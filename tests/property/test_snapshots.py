"""Laws of snapshots: round trips, and every kind of damage is detected."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from streamlearn.errors import SnapshotError
from streamlearn.snapshot.format import read_snapshot, verify_snapshot, write_snapshot
from streamlearn.state.arrays import copy_arrays, pack_texts, state_hash, unpack_texts

DTYPES = st.sampled_from(["<f4", "<f8", ">f8", "<f2", "<i8", "<i4", ">i4", "i1", "u1", "<u8", "?"]).map(np.dtype)
NAMES = st.from_regex(r"[a-z0-9_]{1,8}(/[a-z0-9_.]{1,8})?", fullmatch=True).filter(lambda name: "/." not in name)
ARRAYS = st.dictionaries(
    NAMES,
    DTYPES.flatmap(lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, min_side=0, max_side=6))),
    max_size=5,
)
MANIFESTS = st.dictionaries(
    st.text(max_size=8).filter(lambda key: key not in ("format", "version", "arrays")),
    st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.integers()),
    max_size=4,
)


def write(arrays, manifest) -> bytes:
    file = io.BytesIO()
    write_snapshot(file, arrays, manifest)
    return file.getvalue()


@given(ARRAYS, MANIFESTS)
def test_arrays_and_manifest_round_trip(arrays, manifest):
    content = write(arrays, manifest)
    found, loaded = read_snapshot(io.BytesIO(content))
    assert state_hash(loaded) == state_hash(arrays)
    assert {name: array.shape for name, array in loaded.items()} == {name: a.shape for name, a in arrays.items()}
    assert {key: found[key] for key in manifest} == manifest
    assert write(loaded, manifest) == content
    assert verify_snapshot(io.BytesIO(content)) == found


@given(ARRAYS)
def test_a_copy_has_the_same_hash(arrays):
    assert state_hash(copy_arrays(arrays)) == state_hash(arrays)


@given(st.lists(st.text(st.characters(exclude_categories=())), max_size=20))
def test_names_round_trip(names):
    assert unpack_texts(*pack_texts(names)) == names


SAMPLE = write(
    {
        "weights": np.linspace(-1, 1, 60, dtype=np.float32).reshape(6, 10),
        "counts": np.arange(20.0),
        "flags": np.zeros(9, dtype=np.bool_),
    },
    {"lineage": "a", "seq": 7, "chain": "c0ffee", "positions": [["t", 0, 7]]},
)
MANIFEST, ORIGINAL = read_snapshot(io.BytesIO(SAMPLE), "sample")


def assert_caught(content: bytes) -> None:
    """Verifying raises an error with the file's name; reading raises one too, or returns exactly what was written."""
    with pytest.raises(SnapshotError, match="sample"):
        verify_snapshot(io.BytesIO(content), "sample")
    try:
        manifest, arrays = read_snapshot(io.BytesIO(content), "sample")
    except SnapshotError:
        return
    assert manifest == MANIFEST
    assert state_hash(arrays) == state_hash(ORIGINAL)


@settings(max_examples=300)
@given(st.integers(0, len(SAMPLE) - 1), st.integers(0, 7))
def test_a_flipped_bit_anywhere_is_caught(position, bit):
    content = bytearray(SAMPLE)
    content[position] ^= 1 << bit
    assert_caught(bytes(content))


@pytest.mark.slow
def test_every_flipped_bit_is_caught():
    for position in range(len(SAMPLE)):
        for bit in range(8):
            content = bytearray(SAMPLE)
            content[position] ^= 1 << bit
            assert_caught(bytes(content))


@given(st.integers(0, len(SAMPLE) - 1))
def test_a_file_truncated_anywhere_is_caught(length):
    assert_caught(SAMPLE[:length])


@given(st.integers(0, len(SAMPLE)), st.binary(min_size=1, max_size=40))
def test_inserted_bytes_are_caught(position, extra):
    assert_caught(SAMPLE[:position] + extra + SAMPLE[position:])


@given(st.integers(0, len(SAMPLE) - 2), st.integers(1, 600))
def test_bytes_overwritten_with_zeros_are_caught(position, length):
    content = SAMPLE[:position] + bytes(length) + SAMPLE[position + length :]
    if content != SAMPLE:
        assert_caught(content[: len(SAMPLE)])
