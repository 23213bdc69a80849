"""Arrays of an open snapshot: read on demand, as a whole or block by block into other arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from streamlearn.errors import SnapshotError
from streamlearn.snapshot.format import open_snapshot, write_snapshot
from streamlearn.snapshot.stored_arrays import StoredArray
from streamlearn.state.array_loading import load_label_columns, load_labels
from streamlearn.state.lazy_arrays import get_lazy, split_parts
from tests.snapshot_faults import damage

DRAW = np.random.default_rng(11)
ARRAYS = {
    "first.wide": DRAW.random((3, 1_500_000), np.float32),
    "first.tall": DRAW.random((700_000, 3), np.float32),
    "first.flat": DRAW.integers(0, 99, 3_000_000, np.int32),
    "second.deep.one": DRAW.random((2, 2, 400_000)),
    "second.empty": np.zeros((0, 4)),
    "second.number": np.array(5, np.int64),
    "alone": np.ones(3, np.uint8),
}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stored") / "snapshot.npz"
    write_snapshot(path, ARRAYS, {})
    return path


def test_arrays_are_read_on_demand(path: Path) -> None:
    blocks: list[int] = []
    with open_snapshot(path, on_read=blocks.append) as (_, arrays):
        parts = split_parts(arrays)
        assert {name: sorted(part) for name, part in parts.items()} == {
            "first": ["flat", "tall", "wide"],
            "second": ["deep.one", "empty", "number"],
        }
        assert "tall" in parts["first"]
        assert get_lazy(parts["first"], "flat").shape == (3_000_000,)
        assert blocks == []
        np.testing.assert_array_equal(split_parts(parts["second"])["deep"]["one"], ARRAYS["second.deep.one"])
        assert sum(blocks) == ARRAYS["second.deep.one"].nbytes


@pytest.mark.parametrize("name", ARRAYS)
def test_blocks_are_read_into_a_target_of_any_layout(path: Path, name: str) -> None:
    array = ARRAYS[name]
    larger = np.zeros(tuple(length + 2 for length in array.shape), array.dtype)
    blocks: list[int] = []
    with open_snapshot(path, on_read=blocks.append) as (_, arrays):
        source = get_lazy(arrays, name)
        assert isinstance(source, StoredArray)
        for target in (np.zeros_like(array), np.zeros_like(array.T).T, larger[(..., *map(slice, array.shape))]):
            source.read_into(target)
            np.testing.assert_array_equal(target, array)
    assert max(blocks, default=0) <= 4 << 20
    assert sum(blocks) == 3 * array.nbytes


def test_an_unknown_name_is_a_key_error(path: Path) -> None:
    with open_snapshot(path) as (_, arrays):
        part = split_parts(arrays)["first"]
        for ask in (part.__getitem__, arrays.__getitem__, lambda name: get_lazy(part, name)):
            with pytest.raises(KeyError, match="deep"):
                ask("deep")


def test_a_target_of_another_shape_is_refused_before_it_is_touched(path: Path) -> None:
    with open_snapshot(path) as (_, arrays):
        target = np.zeros((700_000, 4), np.float32)
        with pytest.raises(SnapshotError, match="belongs to other settings"):
            load_label_columns(target, get_lazy(arrays, "first.tall"), 700_000, 4)
        with pytest.raises(SnapshotError, match="belongs to other settings"):
            load_labels(np.zeros(3_000_000), get_lazy(arrays, "first.flat"), 3_000_000)
        assert not target.any()


def test_a_damaged_array_is_an_error_when_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "damaged.npz"
    write_snapshot(path, ARRAYS, {})
    damage(path)
    with open_snapshot(path) as (_, arrays):
        np.testing.assert_array_equal(arrays["first.flat"], ARRAYS["first.flat"])
        for ask in (arrays.__getitem__, lambda name: arrays.get_lazy(name).read_into(np.zeros((3, 1_500_000), "f4"))):
            with pytest.raises(SnapshotError, match=r"damaged\.npz"):
                ask("first.wide")
