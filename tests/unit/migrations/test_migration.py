"""The tables of a migration: conversions, settings, and tables that contradict themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from streamlearn.errors import SnapshotError
from streamlearn.migrations.migration import (
    Conversion,
    Migration,
    PartMigration,
    Rebuilding,
    SettingsMigration,
    filled,
)


def test_settings_are_renamed_dropped_converted_and_added() -> None:
    table = SettingsMigration(
        renamed={"labels.minimum": "labels.min_count", "a": "b", "b": "a"},
        dropped=["learner.old"],
        converted={"labels.minimum": lambda value: value + 1},
        added={"learner.new": lambda before: f"as {before['learner.old']}"},
    )
    before = {"labels.minimum": 2, "learner.old": "x", "learner.seed": 7, "a": 1, "b": 2}
    assert table.apply(before) == {"labels.min_count": 3, "learner.seed": 7, "learner.new": "as x", "b": 1, "a": 2}
    assert before["labels.minimum"] == 2
    assert SettingsMigration(renamed={"x": "y"}, converted={"x": str}, dropped=["z"]).apply({}) == {}


@pytest.mark.parametrize(
    ("values", "dtype", "is_kept"),
    [
        ([1, 300], np.int16, True),
        ([1, 300], np.uint8, False),
        ([-1], np.uint64, False),
        ([1.0, 2.0], np.int32, True),
        ([1.5], np.int32, False),
        ([np.nan], np.int32, False),
        ([1 / 3, np.inf, np.nan], np.float32, True),
        ([1e300], np.float32, False),
        ([0, 1], np.bool_, True),
        ([2], np.bool_, False),
        ([2**53 + 1], np.float64, True),
    ],
)
def test_a_conversion_refuses_values_that_the_dtype_cannot_hold(values: list[Any], dtype: Any, is_kept: bool) -> None:
    block = np.array(values)
    if is_kept:
        converted = Conversion(dtype).apply(block, "name")
        assert converted.dtype == dtype
        np.testing.assert_array_equal(converted, block.astype(dtype))
    else:
        with pytest.raises(SnapshotError, match=r"array 'name' has the value .* cannot hold"):
            Conversion(dtype).apply(block, "name")


def test_a_filled_array_takes_no_memory() -> None:
    array = filled((1_000_000, 1_000), np.float32, 2.5)
    assert (array.shape, array.dtype, float(array[7, 8])) == ((1_000_000, 1_000), np.float32, 2.5)


def test_a_part_of_a_migration_has_names_within_that_part() -> None:
    inner, deeper = PartMigration("model", dropped=["a"]), PartMigration("model.x.y", renamed={"b": "c"})
    others = [PartMigration("", added={"n": lambda before: np.zeros(1)}), PartMigration("modelling", dropped=["a"])]
    found = Migration(3, [inner, deeper, *others], SettingsMigration(dropped=["s"])).within("model")
    assert [part.part for part in found.parts] == ["", "x.y"]
    assert (found.version, found.settings.dropped) == (3, ["s"])


@pytest.mark.parametrize(
    "make",
    [
        lambda: PartMigration("p", rebuilt=Rebuilding(["a"], lambda before: {}), dropped=["b"]),
        lambda: PartMigration("p", dropped=["a"], renamed={"a": "b"}),
        lambda: Migration(0, [PartMigration("p"), PartMigration("p")]),
        lambda: Migration(0, [PartMigration("p", rebuilt=Rebuilding([], lambda before: {})), PartMigration("p.q")]),
        lambda: Migration(0, [PartMigration("p", dropped=["q.a"]), PartMigration("p.q")]),
        lambda: Migration(0, [PartMigration("", dropped=["p"]), PartMigration("p.q")]),
        lambda: Migration(0, [PartMigration("p", renamed={"q.a": "b"}), PartMigration("p.q")]),
    ],
)
def test_a_table_that_contradicts_itself_is_refused(make: Any) -> None:
    with pytest.raises(ValueError, match="part"):
        make()


def test_a_part_with_rules_of_its_own_may_be_renamed() -> None:
    Migration(0, [PartMigration("", renamed={"p": "o"}), PartMigration("p.q", dropped=["a"])])
