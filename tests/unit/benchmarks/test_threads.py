"""The lock of a classifier costs less than a hundredth of a call."""

from __future__ import annotations

import pytest

from tests.benchmarks.threads import PRESETS, lock_costs


@pytest.mark.parametrize("preset", PRESETS)
def test_the_lock_costs_less_than_a_hundredth_of_a_call(preset: str) -> None:
    found = lock_costs(preset, runs=1)
    assert all(cost.lock > 0 for cost in found.values()), "a method does not take the lock"
    assert {name: f"{cost.share:.2%}" for name, cost in found.items() if cost.share >= 0.01} == {}
