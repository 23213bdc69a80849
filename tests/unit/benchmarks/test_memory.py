"""The state's size matches the documentation: exact per feature and label, bounded where it grows with rows."""

from __future__ import annotations

import pytest

from streamlearn.streams.synthetic import generator
from tests.benchmarks.memory import DECLARED, NAME_BYTES, Point, empty_model, measure_along, measure_growth

PRESETS = sorted(DECLARED)


@pytest.mark.parametrize("preset", PRESETS)
def test_declared_bytes_equal_measured_bytes(preset: str) -> None:
    measured, declared = measure_growth(preset), DECLARED[preset]
    for name, bound in declared._asdict().items():
        value = getattr(measured, name)
        assert 0.95 * bound <= value <= bound, f"{name}: {value} bytes, declared {bound}"


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize(("features", "labels"), [(1, 1), (300, 5), (2_000, 70), (40, 300)])
def test_a_model_without_rows_holds_no_more_than_declared(preset: str, features: int, labels: int) -> None:
    model = empty_model(preset, features, labels)
    declared = DECLARED[preset]
    state_bytes = model.memory_bytes()
    assert state_bytes == sum(array.nbytes for array in model.arrays().values())
    assert state_bytes <= declared.bytes_of(features, labels, NAME_BYTES * (features + labels)) + declared.fixed
    assert state_bytes <= model.memory_bound_bytes()


@pytest.mark.parametrize("preset", PRESETS)
def test_a_model_along_a_stream_holds_no_more_than_declared(preset: str) -> None:
    declared = DECLARED[preset]
    points: list[Point] = list(measure_along(generator("meta-labels", seed=0, instances=2_500), preset, 500))
    assert [point.rows for point in points] == [500, 1_000, 1_500, 2_000, 2_500]
    for point in points:
        assert point.state <= declared.bytes_of(point.features, point.labels, 4_096) + declared.fixed
        assert point.by_rows <= declared.fixed


def test_rows_without_new_features_and_labels_fill_bounded_parts_and_then_add_nothing() -> None:
    points = list(measure_along(generator("stationary", seed=0, instances=10_000), "fast", 2_000))
    sizes = [point.state for point in points]
    assert sizes[0] < sizes[1]
    assert max(sizes[2:]) <= 1.02 * sizes[1]
    others = [point.state - point.trees - point.window for point in points]
    assert points[-1].trees > 0
    assert max(others[2:]) <= 1.01 * others[1]
