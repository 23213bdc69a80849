"""Page-Hinkley raises the same alarms as river's and as a plain twin that keeps all values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river.drift import PageHinkley as RiverPageHinkley

from streamlearn.errors import SnapshotError
from streamlearn.learner.drift.page_hinkley import Count, PageHinkley
from tests.naive.learner.drift import page_hinkley as naive


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    jumps=st.lists(st.tuples(st.integers(1, 250), st.floats(-2.0, 3.0)), min_size=1, max_size=5),
    mode=st.sampled_from(["both", "up", "down"]),
    threshold=st.sampled_from([0.5, 5.0, 50.0]),
    alpha=st.sampled_from([1.0, 0.9999, 0.98]),
    min_instances=st.sampled_from([1, 30]),
)
def test_alarms_equal_river_and_twin(seed, jumps, mode, threshold, alpha, min_instances):
    rng = np.random.default_rng(seed)
    values = np.concatenate([level + 0.3 * rng.standard_normal(length) for length, level in jumps])
    options = {"mode": mode, "threshold": threshold, "alpha": alpha, "min_instances": min_instances}
    theirs = RiverPageHinkley(**options)
    ours = PageHinkley(2, **options)
    first = None
    for i, value in enumerate(values.tolist()):
        theirs.update(value)
        drifted = ours.update(1, value)
        assert drifted == theirs.drift_detected
        if drifted and first is None:
            first = i, int(ours.state.since[1])
    assert ours.state.counts[0].tolist() == [0, 0, 0, 0], "detectors are independent"
    assert first == naive.first_alarm(values.tolist(), min_instances, 0.005, threshold, alpha, mode)


@pytest.mark.parametrize(("first", "second"), [(0.2, 0.9), (0.9, 0.2)])
def test_an_alarm_reports_the_means_before_and_after(first, second):
    values = np.repeat([first, second], 300) + 0.05 * np.random.default_rng(2).standard_normal(600)
    detector = PageHinkley(1, threshold=10.0)
    alarm = next(i for i, value in enumerate(values) if detector.update(0, value))
    state = detector.state
    change = alarm + 1 - int(state.since[0])
    assert 200 <= change <= 305
    assert state.before[0] == pytest.approx(values[:change].mean())
    assert state.after[0] == pytest.approx(values[change : alarm + 1].mean())
    assert (state.after[0] > state.before[0]) == (second > first)


def test_restore_and_resize():
    detector = PageHinkley(2)
    for value in np.random.default_rng(1).random(50):
        detector.update(0, value)
    restored = PageHinkley(0)
    restored.load_arrays({name: array.copy() for name, array in detector.arrays().items()})
    restored.update(0, 0.3)
    detector.update(0, 0.3)
    for name, array in detector.arrays().items():
        np.testing.assert_array_equal(restored.arrays()[name], array, err_msg=name)
    assert PageHinkley.bytes_bound(2) == sum(array.nbytes for array in detector.arrays().values())
    detector.resize(3)
    assert detector.state.counts[:, Count.VALUES].tolist() == [51, 0, 0]
    new = PageHinkley(1).arrays()
    for name, array in detector.arrays().items():
        np.testing.assert_array_equal(array[2:], new[name], err_msg=name)


def test_invalid_snapshots_and_modes_are_rejected():
    arrays = PageHinkley(2).arrays()
    arrays["sums"] = np.zeros(1)
    with pytest.raises(SnapshotError, match="'sums'"):
        PageHinkley(2).load_arrays(arrays)
    with pytest.raises(ValueError, match="sideways"):
        PageHinkley(1, mode="sideways")
