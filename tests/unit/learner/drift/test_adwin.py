"""ADWIN raises the same alarms as river's, which is the reference implementation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river.drift import ADWIN

from streamlearn.errors import SnapshotError
from streamlearn.learner.drift.adwin import Adwin, Moment, Window, adwin_reset


def constant(rng: np.random.Generator, n: int) -> np.ndarray:
    return np.full(n, 0.3)


def abrupt_binary(rng: np.random.Generator, n: int) -> np.ndarray:
    return (rng.random(n) < np.where(np.arange(n) < n // 2, 0.2, 0.45)).astype(float)


def gradual(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.random(n) * np.linspace(0.2, 1.0, n)


def recurring(rng: np.random.Generator, n: int) -> np.ndarray:
    level = 0.2 + 0.4 * ((np.arange(n) // 700) % 2)
    return np.clip(level + 0.1 * rng.standard_normal(n), 0.0, 1.0)


def better(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.random(n) ** np.where(np.arange(n) < n // 3, 1.0, 4.0)


def nearly_always_right(rng: np.random.Generator, n: int) -> np.ndarray:
    return (rng.random(n) < np.where(np.arange(n) < n // 2, 0.002, 0.02)).astype(float)


def wide(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.standard_normal(n) * 1e3 - 500.0 * (np.arange(n) > n // 2)


STREAMS = [constant, abrupt_binary, gradual, recurring, better, nearly_always_right, wide]


def assert_same_as_river(values: np.ndarray, **options: float) -> int:
    """Give the values to both implementations, compare them, and return the number of alarms."""
    theirs = ADWIN(**options)
    ours = Adwin(3, **options)
    alarms = 0
    for value in values.tolist():
        theirs.update(value)
        drifted = ours.update(1, value)
        assert drifted == theirs.drift_detected
        assert ours.state.window[1, Window.WIDTH] == theirs.width
        assert ours.state.moments[1, Moment.TOTAL] == pytest.approx(theirs.total, rel=1e-9, abs=1e-9)
        assert ours.state.moments[1, Moment.DEVIATION] == pytest.approx(theirs.variance, rel=1e-6, abs=1e-9)
        alarms += drifted
    assert ours.state.window[[0, 2], Window.WIDTH].tolist() == [0, 0]
    return alarms


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("seed", range(3))
def test_alarms_equal_river(stream, seed):
    alarms = assert_same_as_river(stream(np.random.default_rng(seed), 4_000))
    if stream is constant:
        assert alarms == 0
    elif stream is not nearly_always_right:
        assert alarms > 0


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    jumps=st.lists(st.tuples(st.integers(1, 300), st.floats(0.0, 1.0)), min_size=1, max_size=6),
    delta=st.sampled_from([0.002, 0.05, 0.3]),
    clock=st.sampled_from([1, 7, 32]),
    max_buckets=st.sampled_from([2, 3, 5]),
    min_window_length=st.sampled_from([1, 5, 20]),
    grace_period=st.sampled_from([1, 10, 50]),
)
def test_alarms_equal_river_for_any_settings(seed, jumps, delta, clock, max_buckets, min_window_length, grace_period):
    rng = np.random.default_rng(seed)
    values = np.concatenate([(rng.random(length) < share).astype(float) for length, share in jumps])
    assert_same_as_river(
        values,
        delta=delta,
        clock=clock,
        max_buckets=max_buckets,
        min_window_length=min_window_length,
        grace_period=grace_period,
    )


@pytest.mark.slow
def test_alarms_equal_river_on_many_long_streams():
    for seed in range(40):
        for stream in STREAMS:
            assert_same_as_river(stream(np.random.default_rng(seed), 20_000))


@pytest.mark.parametrize(("first", "second"), [(0.2, 0.7), (0.7, 0.2)])
def test_an_alarm_reports_the_means_before_and_after(first, second):
    values = (np.random.default_rng(5).random(1_600) < np.repeat([first, second], 800)).astype(float)
    detector = Adwin(1)
    alarm = next(i for i, value in enumerate(values) if detector.update(0, value))
    state = detector.state
    assert 800 <= alarm < 1_000
    assert state.before[0] == pytest.approx(values[: alarm + 1].mean())
    assert state.after[0] == pytest.approx(values[alarm + 1 - state.since[0] : alarm + 1].mean())
    assert (state.after[0] > state.before[0]) == (second > first)
    detector.update(0, 0.5)
    assert state.window[0, Window.WIDTH] == 1


def test_detectors_are_independent():
    rng = np.random.default_rng(7)
    streams = np.stack([abrupt_binary(rng, 1_500), gradual(rng, 1_500), recurring(rng, 1_500)])
    together = Adwin(3)
    alone = [Adwin(1) for _ in range(3)]
    for column in streams.T:
        for m, value in enumerate(column):
            assert together.update(m, value) == alone[m].update(0, value)


def test_resize_keeps_the_windows_of_remaining_detectors():
    detector = Adwin(2)
    for value in (0.1, 0.9, 0.4):
        detector.update(0, value)
        detector.update(1, 1.0 - value)
    detector.resize(3)
    assert detector.state.window[:, Window.WIDTH].tolist() == [3, 3, 0]
    detector.update(2, 0.5)
    detector.resize(1)
    assert detector.state.window[:, Window.WIDTH].tolist() == [3]
    detector.resize(0)
    detector.resize(2)
    assert detector.state.window[:, Window.WIDTH].tolist() == [0, 0]
    assert detector.state.window[:, Window.ROWS].tolist() == [1, 1]


def test_a_reset_detector_equals_a_new_one():
    used, new = Adwin(2), Adwin(2)
    rng = np.random.default_rng(1)
    for value in rng.random(100):
        used.update(0, value)
    adwin_reset(used.state, 0)
    for value in abrupt_binary(rng, 2_000):
        assert used.update(0, value) == new.update(0, value)
    np.testing.assert_array_equal(used.state.moments, new.state.moments)
    np.testing.assert_array_equal(used.state.window, new.state.window)


def test_restoring_a_snapshot_changes_nothing():
    values = recurring(np.random.default_rng(3), 3_000)
    whole = Adwin(1)
    resumed = Adwin(1)
    for i, value in enumerate(values):
        if i == 1_234:
            restored = Adwin(0)
            restored.load_arrays({name: array.copy() for name, array in resumed.arrays().items()})
            resumed = restored
        assert whole.update(0, value) == resumed.update(0, value)
    for name, array in whole.arrays().items():
        np.testing.assert_array_equal(resumed.arrays()[name], array, err_msg=name)


@pytest.mark.parametrize("damage", ["missing", "shape", "dtype"])
def test_a_snapshot_that_does_not_fit_is_rejected(damage):
    arrays = Adwin(2).arrays()
    if damage == "missing":
        del arrays["moments"]
    elif damage == "shape":
        arrays["moments"] = np.zeros(3)
    else:
        arrays["moments"] = np.zeros(2, np.float32)
    with pytest.raises(SnapshotError, match="'moments'"):
        Adwin(2).load_arrays(arrays)


def test_size_in_bytes():
    held = sum(array.nbytes for array in Adwin(16).arrays().values())
    assert Adwin.bytes_bound(16) == held


@pytest.mark.parametrize("options", [{"delta": 0.0}, {"delta": 1.0}, {"clock": 0}, {"max_buckets": 1}])
def test_invalid_settings_are_rejected(options):
    with pytest.raises(ValueError, match="ADWIN"):
        Adwin(1, **options)
