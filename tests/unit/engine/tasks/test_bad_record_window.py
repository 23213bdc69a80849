"""The window of bad records counts as its definition does, whatever the batches, and its state carries everything."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamlearn.engine.tasks.bad_record_window import BadRecordWindow
from streamlearn.errors import SnapshotError


def most_by_definition(records: list[bool], start: int, size: int) -> int:
    ends = [end for end in range(start, len(records)) if records[end] and end + 1 >= size]
    return max((sum(records[end + 1 - size : end + 1]) for end in ends), default=0)


@given(st.lists(st.lists(st.booleans(), max_size=9), max_size=12), st.integers(1, 12))
def test_it_counts_as_its_definition(batches: list[list[bool]], size: int) -> None:
    window = BadRecordWindow(size)
    records: list[bool] = []
    for batch in batches:
        arrays = window.arrays()
        window = BadRecordWindow(size)
        window.load_arrays(arrays)
        records += batch
        assert window.add(batch) == most_by_definition(records, len(records) - len(batch), size)
        assert len(window.arrays()["bad"]) <= size


def test_a_smaller_window_forgets_and_a_larger_one_fills() -> None:
    window = BadRecordWindow(10)
    window.add([True] * 10)
    window.set_size(4)
    assert window.add([True]) == 4
    window.set_size(8)
    assert window.add([False, True]) == 5


@pytest.mark.parametrize(
    "arrays",
    [
        {"count": np.array([3]), "bad": np.array([1, 3])},
        {"count": np.array([3]), "bad": np.array([2, 1])},
        {"count": np.zeros(0, np.int64), "bad": np.zeros(0, np.int64)},
        {"count": np.array([0]), "bad": np.array([0])},
    ],
)
def test_arrays_that_do_not_fit_are_refused(arrays: dict[str, np.ndarray]) -> None:
    window = BadRecordWindow(10)
    with pytest.raises(SnapshotError):
        window.load_arrays(arrays)
