"""The hash of a label set: the compiled kernel equals plain Python, where an overflow would raise a warning."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from streamlearn.learner.label_sets import label_set_code

interpreted: Any = getattr(label_set_code, "py_func", label_set_code)


@settings(deadline=None)
@given(st.lists(st.integers(0, 2**31 - 1), unique=True, max_size=64).map(sorted), st.integers(0, 64))
def test_compiled_and_interpreted_hashes_are_equal(members: list[int], first: int) -> None:
    array = np.array(members, np.int32)
    first = min(first, array.size)
    assert int(label_set_code(array, first, array.size)) == int(interpreted(array, first, array.size)) >= 0


def test_label_sets_of_300_labels_do_not_collide() -> None:
    generator = np.random.default_rng(1)
    sets = {tuple(np.sort(generator.choice(300, 1 + row % 20, replace=False)).tolist()) for row in range(5_000)}
    codes = {int(label_set_code(np.array(members, np.int32), 0, len(members))) for members in sets}
    assert len(codes) == len(sets)
