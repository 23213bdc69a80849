"""Exponential and logarithm from multiply, add, divide and bit moves only.

The last bits of the C library's ``exp`` and ``log`` depend on the CPU; the bits of these do not, so a model replayed on
another machine is identical. They are branch-free, so that loops over labels vectorise.

Source: Cody and Waite, *Software Manual for the Elementary Functions* (1980), range reduction; the polynomials are the
Taylor series of exp on [-ln 2 / 2, ln 2 / 2] and of atanh for the logarithm, log m = 2 atanh((m - 1)/(m + 1)), long
enough that the truncation error is below the rounding error. In float64, where kernels need one value at a time, they
are evaluated in pairs (G. Estrin, *Organization of Computer Systems*, 1960), which shortens the chain of dependent
operations.
"""

from __future__ import annotations

import numpy as np

from streamlearn.kernels.compiler import kernel

_LOG2_E_32 = np.float32(1.4426950408889634)
_LN2_HIGH_32 = np.float32(0.693359375)
_LN2_LOW_32 = np.float32(-2.12194440e-4)
_LOG2_E_64 = 1.4426950408889634
_LN2_HIGH_64 = 6.93147180369123816490e-01
_LN2_LOW_64 = 1.90821492927058770002e-10

_HALF_32 = np.float32(0.5)
_ONE_32 = np.float32(1.0)
_TWO_32 = np.float32(2.0)
_E2_32 = np.float32(1.0 / 2.0)
_E3_32 = np.float32(1.0 / 6.0)
_E4_32 = np.float32(1.0 / 24.0)
_E5_32 = np.float32(1.0 / 120.0)
_E6_32 = np.float32(1.0 / 720.0)
_E7_32 = np.float32(1.0 / 5040.0)
_L3_32 = np.float32(1.0 / 3.0)
_L5_32 = np.float32(1.0 / 5.0)
_L7_32 = np.float32(1.0 / 7.0)
_L9_32 = np.float32(1.0 / 9.0)
_EXP_LOW_32 = np.float32(-87.0)
_EXP_HIGH_32 = np.float32(88.0)
_SQRT2_BITS_32 = np.int32(0x3F3504F3)
_SQRT_HALF_BITS_64 = np.int64(0x3FE6A09E667F3BCD)


@kernel
def exp32(x: np.float32) -> np.float32:
    """Return e to the power of x, x clipped to [-87, 88]; float32, relative error below 2e-7."""
    x = min(max(x, _EXP_LOW_32), _EXP_HIGH_32)
    k = np.floor(x * _LOG2_E_32 + _HALF_32)
    r = (x - k * _LN2_HIGH_32) - k * _LN2_LOW_32
    p = _E7_32
    p = p * r + _E6_32
    p = p * r + _E5_32
    p = p * r + _E4_32
    p = p * r + _E3_32
    p = p * r + _E2_32
    p = p * r + _ONE_32
    p = p * r + _ONE_32
    scale = np.int32((np.int32(k) + np.int32(127)) << np.int32(23)).view(np.float32)
    return p * scale


@kernel
def log32(x: np.float32) -> np.float32:
    """Return the natural logarithm of a positive normal x; float32, relative error below 2e-7."""
    bits = np.float32(x).view(np.int32)
    shifted = np.int32(bits - _SQRT2_BITS_32)
    k = np.int32(shifted >> np.int32(23))
    m = np.int32(bits - np.int32(k << np.int32(23))).view(np.float32)
    f = m - _ONE_32
    s = f / (m + _ONE_32)
    t = s * s
    p = _L9_32
    p = p * t + _L7_32
    p = p * t + _L5_32
    p = p * t + _L3_32
    exponent = np.float32(k)
    high = exponent * _LN2_HIGH_32
    return high + (_TWO_32 * s + (_TWO_32 * s * t * p + exponent * _LN2_LOW_32))


@kernel
def exp64(x: float) -> float:
    """Return e to the power of x, x clipped to [-700, 700]; float64, relative error below 1e-12."""
    x = min(max(x, -700.0), 700.0)
    k = np.floor(x * _LOG2_E_64 + 0.5)
    r = (x - k * _LN2_HIGH_64) - k * _LN2_LOW_64
    square = r * r
    fourth = square * square
    low = (0.5 + (1.0 / 6.0) * r) + (1.0 / 24.0 + (1.0 / 120.0) * r) * square
    middle = (1.0 / 720.0 + (1.0 / 5040.0) * r) + (1.0 / 40320.0 + (1.0 / 362880.0) * r) * square
    high = (1.0 / 3628800.0 + (1.0 / 39916800.0) * r) + (1.0 / 479001600.0 + (1.0 / 6227020800.0) * r) * square
    p = 1.0 + (r + square * ((low + middle * fourth) + high * (fourth * fourth)))
    scale = np.int64((np.int64(k) + np.int64(1023)) << np.int64(52)).view(np.float64)
    return p * scale


@kernel
def log64(x: float) -> float:
    """Return the natural logarithm of a positive normal x; float64, relative error below 1e-12."""
    bits = np.float64(x).view(np.int64)
    shifted = np.int64(bits - _SQRT_HALF_BITS_64)
    k = np.int64(shifted >> np.int64(52))
    m = np.int64(bits - np.int64(k << np.int64(52))).view(np.float64)
    s = (m - 1.0) / (m + 1.0)
    t = s * s
    square = t * t
    fourth = square * square
    low = (1.0 / 3.0 + (1.0 / 5.0) * t) + (1.0 / 7.0 + (1.0 / 9.0) * t) * square
    middle = (1.0 / 11.0 + (1.0 / 13.0) * t) + (1.0 / 15.0 + (1.0 / 17.0) * t) * square
    p = (low + middle * fourth) + (1.0 / 19.0 + (1.0 / 21.0) * t) * (fourth * fourth)
    exponent = np.float64(k)
    return exponent * _LN2_HIGH_64 + (2.0 * s + (2.0 * s * t * p + exponent * _LN2_LOW_64))
