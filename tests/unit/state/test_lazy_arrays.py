"""Parts of named arrays: what they lack is named by its whole name, and values are read in order."""

from __future__ import annotations

import numpy as np
import pytest

from streamlearn.errors import MissingArrayError, SnapshotError
from streamlearn.state.lazy_arrays import get_lazy, load_all, open_values, part_of, split_parts

ARRAYS = {"model.labels.supports": np.arange(6).reshape(2, 3), "model.labels.vacant": np.zeros(0), "alone": np.ones(1)}


def test_what_is_not_there_is_named_as_in_the_snapshot() -> None:
    model = split_parts(ARRAYS)["model"]
    labels = split_parts(load_all(model))["labels"]
    for ask, name in (
        (lambda: split_parts(ARRAYS)["pending"], r"pending\.\*"),
        (lambda: split_parts(model)["learner"], r"model\.learner\.\*"),
        (lambda: model["labels.names"], r"model\.labels\.names"),
        (lambda: get_lazy(model, "labels.names"), r"model\.labels\.names"),
        (lambda: labels["names"], r"model\.labels\.names"),
        (lambda: load_all(labels)["names"], r"model\.labels\.names"),
    ):
        with pytest.raises(MissingArrayError, match=f"^the snapshot lacks the array '{name}'"):
            ask()
    assert issubclass(MissingArrayError, SnapshotError)
    assert "names" not in labels
    assert labels.get("names") is None
    assert split_parts(ARRAYS).get("pending") is None


def test_a_part_of_any_depth_has_the_names_below_its_prefix() -> None:
    part = part_of(ARRAYS, "model.labels.")
    assert sorted(part) == ["supports", "vacant"]
    assert part["supports"] is ARRAYS["model.labels.supports"]
    assert sorted(part_of(ARRAYS, "")) == sorted(ARRAYS)


def test_values_are_read_in_order() -> None:
    with open_values(ARRAYS["model.labels.supports"].T) as read:
        assert [read(2).tolist(), read(4).tolist(), read(1).tolist()] == [[0, 3], [1, 4, 2, 5], []]
