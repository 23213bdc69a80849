"""Conversion of instances to numeric features."""

from __future__ import annotations

from streamlearn.evaluation.baselines.numeric_features import ZeroFilledFeatures, numeric_features


def test_values_become_numeric_columns() -> None:
    x = {"a": True, "b": "c", "d": None, "e": float("inf"), "f": 2}
    assert numeric_features(x) == {"a": 1.0, "b=c": 1.0, "f": 2.0}
    assert numeric_features([1.0, None, "x"], ["p", "q", "r"]) == {"p": 1.0, "r=x": 1.0}
    assert numeric_features([3.0]) == {"0": 3.0}


def test_columns_declared_or_seen_before_are_filled_with_zeros() -> None:
    encoder = ZeroFilledFeatures(["p"])
    assert encoder.encode({"q": 1.0}) == {"p": 0.0, "q": 1.0}
    assert encoder.encode({}) == {"p": 0.0, "q": 0.0}
