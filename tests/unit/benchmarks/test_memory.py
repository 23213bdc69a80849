"""The state's size is what the docs declare: exact where it grows by features and labels, bounded where by rows."""

from __future__ import annotations

import pytest

from streamlearn.streams.synthetic import generator
from tests.benchmarks.memory import DECLARED, NAME_BYTES, Point, along, empty_model, growth

PRESETS = sorted(DECLARED)


@pytest.mark.parametrize("preset", PRESETS)
def test_what_is_declared_is_what_is_measured(preset: str) -> None:
    measured, declared = growth(preset), DECLARED[preset]
    for name, most in declared._asdict().items():
        value = getattr(measured, name)
        assert 0.95 * most <= value <= most, f"{name}: {value} bytes, declared {most}"


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize(("features", "labels"), [(1, 1), (300, 5), (2_000, 70), (40, 300)])
def test_a_model_without_rows_holds_no_more_than_declared(preset: str, features: int, labels: int) -> None:
    model = empty_model(preset, features, labels)
    declared = DECLARED[preset]
    held = model.memory_bytes()
    assert held == sum(array.nbytes for array in model.arrays().values())
    assert held <= declared.bytes_of(features, labels, NAME_BYTES * (features + labels)) + declared.fixed
    assert held <= model.memory_bound_bytes()


@pytest.mark.parametrize("preset", PRESETS)
def test_a_model_along_a_stream_holds_no_more_than_declared(preset: str) -> None:
    declared = DECLARED[preset]
    points: list[Point] = list(along(generator("meta-labels", seed=0, instances=2_500), preset, 500))
    assert [point.rows for point in points] == [500, 1_000, 1_500, 2_000, 2_500]
    for point in points:
        assert point.state <= declared.bytes_of(point.features, point.labels, 4_096) + declared.fixed
        assert point.by_rows <= declared.fixed


def test_rows_without_new_features_and_labels_fill_what_is_bounded_and_then_add_nothing() -> None:
    points = list(along(generator("stationary", seed=0, instances=10_000), "fast", 2_000))
    sizes = [point.state for point in points]
    assert sizes[0] < sizes[1]
    assert max(sizes[2:]) <= 1.02 * sizes[1]
    others = [point.state - point.trees - point.window for point in points]
    assert points[-1].trees > 0
    assert max(others[2:]) <= 1.01 * others[1]
