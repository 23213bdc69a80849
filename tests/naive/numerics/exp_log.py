"""Exponential and logarithm one number at a time: reduce by powers of two, then a polynomial, in float32 by
Horner's rule, in float64 by pairs (Estrin).

Source: Cody and Waite, *Software Manual for the Elementary Functions* (1980), chapters 5 and 6: exp x = 2^k exp r with
r = x - k ln 2, and log x = k ln 2 + 2 atanh((m - 1) / (m + 1)) for x = 2^k m. ln 2 is the sum of a short and a small
number, so that k times the short one is exact. Each step is rounded to the type given.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

LN2 = {
    np.float32: ("0.693359375", "-2.12194440e-4"),
    np.float64: ("6.93147180369123816490e-01", "1.90821492927058770002e-10"),
}
EXP_DEGREE = {np.float32: 7, np.float64: 13}
LOG_DEGREE = {np.float32: 9, np.float64: 21}
EXP_RANGE = {np.float32: (-87.0, 88.0), np.float64: (-700.0, 700.0)}


def by_horner(factors: list[Any], x: Any) -> Any:
    """Return the polynomial with these factors of 1, x, x^2 and so on, from the highest power down."""
    value = factors[-1]
    for factor in factors[-2::-1]:
        value = value * x + factor
    return value


def by_pairs(factors: list[Any], x: Any) -> Any:
    """Return the same polynomial: neighbours become one factor each of a polynomial in x^2, and so on."""
    while len(factors) > 1:
        paired = [factors[i] + factors[i + 1] * x for i in range(0, len(factors) - 1, 2)]
        factors, x = paired + factors[len(factors) // 2 * 2 :], x * x
    return factors[0]


def exp(x: float, kind: Any) -> Any:
    """Return e to the power of x, all steps in ``kind`` (np.float32 or np.float64)."""
    low, high = EXP_RANGE[kind]
    x = kind(min(max(x, low), high))
    ln2_high, ln2_low = (kind(text) for text in LN2[kind])
    k = math.floor(x * kind(1 / math.log(2)) + kind(0.5))
    r = (x - kind(k) * ln2_high) - kind(k) * ln2_low
    factors = [kind(1 / math.factorial(n)) for n in range(EXP_DEGREE[kind] + 1)]
    if kind is np.float64:
        value = kind(1) + (r + r * r * by_pairs(factors[2:], r))
    else:
        value = by_horner(factors, r)
    return kind(math.ldexp(float(value), k))


def log(x: float, kind: Any) -> Any:
    """Return the natural logarithm of a positive normal x, all steps in ``kind``."""
    fraction, k = math.frexp(float(kind(x)))
    if kind(fraction) < kind(math.sqrt(0.5)):
        fraction, k = 2 * fraction, k - 1
    m = kind(fraction)
    ln2_high, ln2_low = (kind(text) for text in LN2[kind])
    s = (m - kind(1)) / (m + kind(1))
    t = s * s
    factors = [kind(1 / n) for n in range(3, LOG_DEGREE[kind] + 1, 2)]
    tail = by_pairs(factors, t) if kind is np.float64 else by_horner(factors, t)
    return kind(k) * ln2_high + (kind(2) * s + (kind(2) * s * t * tail + kind(k) * ln2_low))
