"""Migrated arrays are what the definition of the migration gives, and are read lazily."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from streamlearn.errors import SnapshotError
from streamlearn.migrations.migrated_arrays import MigratedArrays
from streamlearn.migrations.migration import Before, Conversion, Migration, PartMigration, Rebuilding, filled
from streamlearn.snapshot.format import open_snapshot, write_snapshot
from streamlearn.state.array_loading import load_label_columns
from streamlearn.state.lazy_arrays import LazyArrays, get_lazy, split_parts
from tests.naive.migrations.migrated_arrays import LackingError, migrate
from tests.snapshot_faults import damage

PARTS = ("", "a", "a.b", "c")
NAMES = sorted(prefix + name for prefix in ("", "a.", "a.b.", "c.") for name in ("x", "y", "z"))
INNER = ("x", "y", "z", "b", "b.x", "a", "a.x")
SETTINGS = {"learner.seed": 5}


def _total(before: Before) -> np.ndarray:
    sizes = [get_lazy(before.arrays, name).shape[0] for name in before.arrays]
    return np.array([sum(sizes), before.settings["learner.seed"]], np.int64)


def _first(before: Before) -> np.ndarray:
    return before.arrays[min(before.arrays)] * 2


def _constant(before: Before) -> np.ndarray:
    return filled((3, 2), np.int16, 4)


def _rebuild(before: Before) -> dict[str, np.ndarray]:
    return {"all": np.concatenate([before.arrays[name] for name in sorted(before.arrays)]), "n": np.array([1])}


COMPUTED = st.sampled_from([_total, _first, _constant])
CONVERSIONS = st.sampled_from(
    [Conversion(np.float64), Conversion(np.int64, lambda block: block * 3), Conversion("f4", lambda block: block / 4)]
)


@st.composite
def part_migrations(draw: st.DrawFn, part: str) -> dict[str, Any]:
    """Return the arguments of a part's migration."""
    if draw(st.integers(0, 5)) == 0:
        return {"part": part, "rebuilt": Rebuilding(("all", "n"), _rebuild)}
    return {
        "part": part,
        "renamed": draw(st.dictionaries(st.sampled_from(INNER), st.sampled_from(("x", "y", "w", "b.w")), max_size=2)),
        "dropped": draw(st.lists(st.sampled_from(INNER), max_size=1)),
        "converted": draw(st.dictionaries(st.sampled_from(INNER), CONVERSIONS, max_size=2)),
        "added": draw(st.dictionaries(st.sampled_from(("x", "new", "b.new")), COMPUTED, max_size=2)),
        "added_if_absent": draw(st.dictionaries(st.sampled_from(("y", "more")), COMPUTED, max_size=1)),
    }


def _same(found: np.ndarray, expected: np.ndarray) -> None:
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    np.testing.assert_array_equal(found, expected)


@given(st.data())
def test_they_are_what_the_definition_gives(data: st.DataObject) -> None:
    names = data.draw(st.lists(st.sampled_from(NAMES), unique=True, min_size=1))
    arrays = {name: np.arange(number, number + 4, dtype=np.int32) for number, name in enumerate(names)}
    chosen = data.draw(st.lists(st.sampled_from(PARTS), unique=True, max_size=3))
    try:
        parts = [PartMigration(**data.draw(part_migrations(part))) for part in chosen]
        migration = Migration(1, parts)
    except ValueError:
        assume(False)
        return
    try:
        expected = migrate(arrays, SETTINGS, parts)
    except LackingError:
        with pytest.raises(SnapshotError, match="model version 1"):
            MigratedArrays(arrays, SETTINGS, migration)
        return
    migrated = MigratedArrays(arrays, SETTINGS, migration)
    assert set(migrated) == set(expected)
    assert len(migrated) == len(expected)
    for name, array in expected.items():
        _same(migrated[name], array)
        assert migrated[name].flags.writeable
        lazy = migrated.get_lazy(name)
        target = np.zeros(array.shape, array.dtype)
        if isinstance(lazy, np.ndarray):
            target[...] = lazy
        else:
            assert (lazy.shape, lazy.dtype) == (array.shape, array.dtype)
            lazy.read_into(target)
        _same(target, array)


@pytest.mark.parametrize(
    "rules", [{"renamed": {"gone": "new"}}, {"dropped": ["gone"]}, {"converted": {"gone": Conversion("f8")}}]
)
def test_an_array_that_the_snapshot_lacks_is_named(rules: dict[str, Any]) -> None:
    arrays = {"part.there": np.zeros(3)}
    with pytest.raises(SnapshotError, match=r"lacks the array 'part\.gone'.* model version 4"):
        MigratedArrays(arrays, {}, Migration(4, [PartMigration("part", **rules)]))
    MigratedArrays(arrays, {}, Migration(4, [PartMigration("other", **rules)]))


def test_two_arrays_never_get_one_name() -> None:
    arrays = {"part.x": np.zeros(3), "part.y": np.ones(3)}
    for rules in ({"renamed": {"x": "y"}}, {"added": {"x": _total}}):
        with pytest.raises(SnapshotError, match=r"two arrays the name 'part\.[xy]'"):
            MigratedArrays(arrays, SETTINGS, Migration(1, [PartMigration("part", **rules)]))


def test_a_part_that_is_rebuilt_otherwise_than_declared_is_an_error() -> None:
    rebuilt = Rebuilding(["other"], _rebuild)
    arrays = MigratedArrays({"p.x": np.zeros(2)}, {}, Migration(1, [PartMigration("p", rebuilt=rebuilt)]))
    with pytest.raises(ValueError, match=r"'p' is rebuilt with the arrays \['all', 'n'\]"):
        arrays["p.other"]


ROWS, COLUMNS = 60_000, 100
MIGRATION = Migration(
    1,
    [
        PartMigration(
            "model",
            renamed={"w": "weight", "old": "new"},
            added={"zeros": lambda before: filled((ROWS, COLUMNS), "f4")},
        ),
        PartMigration("model.old", converted={"v": Conversion(np.float64, lambda block: block * 2)}),
    ],
)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("migrated") / "snapshot.npz"
    values = np.random.default_rng(3).random((ROWS, COLUMNS), np.float32)
    write_snapshot(path, {"model.old.v": values, "model.w": values, "model.z": values[:3]}, {})
    return path


def test_large_arrays_go_through_little_memory(stored: Path) -> None:
    targets = {
        name: np.zeros((ROWS, COLUMNS + 3), dtype)
        for name, dtype in (("new.v", "f8"), ("weight", "f4"), ("zeros", "f4"))
    }
    with open_snapshot(stored) as (_, arrays):
        plain = arrays["model.w"]
        tracemalloc.start()
        part = split_parts(MigratedArrays(arrays, {}, MIGRATION))["model"]
        for name, target in targets.items():
            load_label_columns(target, get_lazy(part, name), ROWS, COLUMNS)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 16 << 20 < plain.nbytes
    np.testing.assert_array_equal(targets["weight"][:, :COLUMNS], plain)
    np.testing.assert_array_equal(targets["new.v"][:, :COLUMNS], plain.astype(np.float64) * 2)
    assert not targets["zeros"].any()


def test_nothing_is_read_before_it_is_asked_for(stored: Path) -> None:
    blocks: list[int] = []
    with open_snapshot(stored, on_read=blocks.append) as (_, arrays):
        migrated = MigratedArrays(arrays, {}, MIGRATION)
        assert isinstance(migrated, LazyArrays)
        assert sorted(migrated) == ["model.new.v", "model.weight", "model.z", "model.zeros"]
        assert migrated.get_lazy("model.new.v").dtype == np.float64
        assert blocks == []
        assert "model.w" not in migrated
        with pytest.raises(KeyError, match=r"model\.w"):
            migrated["model.w"]


def test_a_damaged_array_is_found_through_a_conversion(stored: Path, tmp_path: Path) -> None:
    path = tmp_path / "damaged.npz"
    path.write_bytes(stored.read_bytes())
    damage(path)
    with open_snapshot(path) as (_, arrays):
        migrated = MigratedArrays(arrays, {}, MIGRATION)
        lazy = migrated.get_lazy("model.new.v")
        assert not isinstance(lazy, np.ndarray)
        for read in (lambda: lazy.read_into(np.zeros((ROWS, COLUMNS))), lambda: migrated["model.new.v"]):
            with pytest.raises(SnapshotError, match=r"damaged\.npz is damaged"):
                read()
        assert migrated["model.weight"].shape == (ROWS, COLUMNS)
