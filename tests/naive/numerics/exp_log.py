"""Exponential and logarithm of one number: reduction by powers of two, then a polynomial.

The polynomial is evaluated by Horner's rule in float32 and in pairs (Estrin) in float64.

Source: Cody and Waite, *Software Manual for the Elementary Functions* (1980), chapters 5 and 6: exp x = 2^k exp r with
r = x - k ln 2, and log x = k ln 2 + 2 atanh((m - 1) / (m + 1)) for x = 2^k m. ln 2 is the sum of a short and a small
number, so that k times the short one is exact. Every step is rounded to the given type.
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


def evaluate_horner(coefficients: list[Any], x: Any) -> Any:
    """Return the polynomial with these coefficients of 1, x, x^2 and so on, evaluated from the highest power down."""
    value = coefficients[-1]
    for factor in coefficients[-2::-1]:
        value = value * x + factor
    return value


def evaluate_pairs(coefficients: list[Any], x: Any) -> Any:
    """Return the same polynomial, evaluated in pairs: two neighbours become one coefficient of a polynomial in x^2."""
    while len(coefficients) > 1:
        paired = [coefficients[i] + coefficients[i + 1] * x for i in range(0, len(coefficients) - 1, 2)]
        coefficients, x = paired + coefficients[len(coefficients) // 2 * 2 :], x * x
    return coefficients[0]


def exp(x: float, kind: Any) -> Any:
    """Return e to the power of x, all steps in ``kind`` (np.float32 or np.float64)."""
    low, high = EXP_RANGE[kind]
    x = kind(min(max(x, low), high))
    ln2_high, ln2_low = (kind(text) for text in LN2[kind])
    k = math.floor(x * kind(1 / math.log(2)) + kind(0.5))
    r = (x - kind(k) * ln2_high) - kind(k) * ln2_low
    coefficients = [kind(1 / math.factorial(n)) for n in range(EXP_DEGREE[kind] + 1)]
    if kind is np.float64:
        value = kind(1) + (r + r * r * evaluate_pairs(coefficients[2:], r))
    else:
        value = evaluate_horner(coefficients, r)
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
    coefficients = [kind(1 / n) for n in range(3, LOG_DEGREE[kind] + 1, 2)]
    tail = evaluate_pairs(coefficients, t) if kind is np.float64 else evaluate_horner(coefficients, t)
    return kind(k) * ln2_high + (kind(2) * s + (kind(2) * s * t * tail + kind(k) * ln2_low))
