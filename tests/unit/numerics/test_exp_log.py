"""Exponential and logarithm: close to libm, equal to their naive twins, the same bits alone and in a loop."""

from __future__ import annotations

import math
import os
import subprocess
import sys

import numpy as np
import pytest

from streamlearn.kernels.compiler import kernel
from streamlearn.numerics.exp_log import exp32, exp64, log32, log64
from tests.naive.numerics import exp_log as naive


@kernel
def exp32_all(x, out):
    for i in range(x.size):
        out[i] = exp32(x[i])


@kernel
def log32_all(x, out):
    for i in range(x.size):
        out[i] = log32(x[i])


@kernel
def exp64_all(x, out):
    for i in range(x.size):
        out[i] = exp64(x[i])


@kernel
def log64_all(x, out):
    for i in range(x.size):
        out[i] = log64(x[i])


def apply(loop, x: np.ndarray) -> np.ndarray:
    out = np.empty_like(x)
    loop(x, out)
    return out


def spread(low: float, high: float, count: int, dtype: type) -> np.ndarray:
    return np.random.default_rng(1).uniform(low, high, count).astype(dtype)


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    exact = expected != 0
    np.testing.assert_array_equal(found[~exact], 0)
    return float(np.max(np.abs(found[exact].astype(np.float64) / expected[exact] - 1)))


@pytest.mark.parametrize(("low", "high"), [(-87, 88), (-1, 1), (-1e-3, 1e-3), (-1e-7, 1e-7), (80, 88), (-87, -80)])
def test_exp32_is_close_to_libm(low, high):
    x = spread(low, high, 200_000, np.float32)
    assert relative_error(apply(exp32_all, x), np.exp(x.astype(np.float64))) < 2e-7


@pytest.mark.parametrize(("low", "high"), [(-87, 88), (-1, 1), (-1e-3, 1e-3), (-1e-6, 1e-6)])
def test_log32_is_close_to_libm(low, high):
    x = np.exp(spread(low, high, 200_000, np.float64)).astype(np.float32)
    assert relative_error(apply(log32_all, x), np.log(x.astype(np.float64))) < 2e-7


@pytest.mark.parametrize(("low", "high"), [(-700, 700), (-1, 1), (-1e-3, 1e-3), (-1e-15, 1e-15), (699, 700)])
def test_exp64_is_close_to_libm(low, high):
    x = spread(low, high, 200_000, np.float64)
    assert relative_error(apply(exp64_all, x), np.exp(x)) < 1e-12


@pytest.mark.parametrize(("low", "high"), [(-700, 700), (-1, 1), (-1e-3, 1e-3), (-1e-12, 1e-12)])
def test_log64_is_close_to_libm(low, high):
    x = np.exp(spread(low, high, 200_000, np.float64))
    assert relative_error(apply(log64_all, x), np.log(x)) < 1e-12


@pytest.mark.parametrize(
    ("one", "loop", "twin", "kind", "x"),
    [
        (exp32, exp32_all, naive.exp, np.float32, spread(-90, 90, 3000, np.float32)),
        (exp64, exp64_all, naive.exp, np.float64, spread(-720, 720, 3000, np.float64)),
        (log32, log32_all, naive.log, np.float32, np.exp(spread(-80, 80, 3000, np.float64)).astype(np.float32)),
        (log64, log64_all, naive.log, np.float64, np.exp(spread(-600, 600, 3000, np.float64))),
    ],
)
def test_loop_single_call_and_naive_twin_have_the_same_bits(one, loop, twin, kind, x):
    unit = np.int32 if kind is np.float32 else np.int64
    many = apply(loop, x)
    assert many.dtype == kind
    np.testing.assert_array_equal(many.view(unit), np.array([one(value) for value in x], dtype=kind).view(unit))
    np.testing.assert_array_equal(many.view(unit), np.array([twin(float(v), kind) for v in x], dtype=kind).view(unit))


@pytest.mark.parametrize(("function", "zero"), [(exp32, np.float32(0)), (exp64, 0.0)])
def test_exp_of_zero_is_exactly_one(function, zero):
    assert function(zero) == function(-zero) == 1.0


@pytest.mark.parametrize(("function", "one"), [(log32, np.float32(1)), (log64, 1.0)])
def test_log_of_one_is_exactly_zero(function, one):
    assert function(one) == 0.0
    assert math.copysign(1.0, function(one)) == 1.0


@pytest.mark.parametrize("value", [88.5, 1e10, np.inf])
def test_exp_beyond_its_range_is_clipped(value):
    assert exp32(np.float32(value)) == exp32(np.float32(88))
    assert exp32(np.float32(-value)) == exp32(np.float32(-87))
    assert exp64(value * 10) == exp64(700.0)
    assert exp64(-value * 10) == exp64(-700.0)
    assert 0 < exp32(np.float32(-value)) < exp32(np.float32(value)) < np.inf


def test_exp_of_nan_is_nan():
    assert math.isnan(exp32(np.float32(np.nan)))
    assert math.isnan(exp64(np.nan))


def test_log_is_accurate_at_the_ends_of_its_range():
    for function, kind in ((log32, np.float32), (log64, np.float64)):
        limits = np.finfo(kind)
        for value in (
            limits.smallest_normal,
            limits.max,
            np.nextafter(kind(1), kind(0)),
            np.nextafter(kind(1), kind(2)),
        ):
            assert function(value) == pytest.approx(math.log(float(value)), rel=2e-7, abs=0)


def neighbours(low: float, high: float) -> np.ndarray:
    """Return every float32 from low to high, both positive."""
    first, last = np.array([low, high], dtype=np.float32).view(np.int32)
    return np.arange(first, last + 1, dtype=np.int32).view(np.float32)


@pytest.mark.parametrize(("low", "high"), [(1e-8, 1.1e-8), (1e-7, 2e-7), (1e-4, 1.1e-4), (0.3, 0.31), (0.34, 0.35)])
def test_exp32_is_monotone_near_zero(low, high):
    x = neighbours(low, high)
    assert x.size > 100_000
    assert np.all(np.diff(apply(exp32_all, x)) >= 0)
    assert np.all(np.diff(apply(exp32_all, -x)) <= 0)


@pytest.mark.parametrize(("low", "high"), [(0.99, 1.0), (1.0, 1.01), (0.7, 0.71), (1.41, 1.42)])
def test_log32_is_monotone_near_one(low, high):
    assert np.all(np.diff(apply(log32_all, neighbours(low, high))) >= 0)


def test_double_precision_is_monotone_near_zero_and_one():
    step = 2.0**-52
    x = np.arange(-100_000, 100_000) * step
    assert np.all(np.diff(apply(exp64_all, x)) >= 0)
    assert np.all(np.diff(apply(log64_all, 1.0 + x)) >= 0)


ASSEMBLY = """
import sys
from tests.unit.numerics import test_exp_log as t
import numpy as np
for loop in (t.exp32_all, t.log32_all, t.exp64_all, t.log64_all):
    kind = np.float32 if "32" in loop.__name__ else np.float64
    t.apply(loop, np.ones(8, kind))
    (text,) = loop.inspect_asm().values()
    packed = {np.float32: "mulps", np.float64: "mulpd"}[kind]
    print(loop.__name__, sum(packed in line for line in text.splitlines()), text.count("fmadd"))
"""


@pytest.mark.parametrize("target", ["", "generic"])
def test_loops_are_vectorised_and_never_fused(target):
    """Every loop has packed multiplications and no fused multiply-add, which rounds once and changes the bits."""
    environment = dict(os.environ, **({"NUMBA_CPU_NAME": target} if target else {}))
    lines = subprocess.run(
        [sys.executable, "-c", ASSEMBLY], env=environment, check=True, capture_output=True, text=True
    ).stdout.splitlines()
    assert len(lines) == 4
    for line in lines:
        name, packed, fused = line.split()
        assert int(fused) == 0, name
        assert int(packed) > 0, name
