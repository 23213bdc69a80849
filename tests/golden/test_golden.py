"""The default learner reaches its golden figures on every real stream; run with ``--golden``."""

from __future__ import annotations

import math

import pytest

from tests.datasets import dataset
from tests.golden.figures import COMMAND, MEASURES, STREAMS, Difference, find_differences, measure, read, tolerance


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_reaches_its_figures(
    name: str, request: pytest.FixtureRequest, deviations: dict[str, dict[str, float]]
) -> None:
    if not request.config.getoption("--golden"):
        pytest.skip("takes minutes: run with --golden")
    path = dataset(name)
    golden = read()[name]
    report = measure(path)
    assert (report.instances, report.labels) == (golden["instances"], golden["labels"])
    deviations[name] = {
        each: math.nan if (value := report.measures[each]) is None else value - figure
        for each, figure in golden["measures"].items()
    }
    found = find_differences(golden, report.measures)
    assert not found, f"{name}: {found}; if the change is intended, `{COMMAND} --streams {name}` writes new figures"


def test_every_stream_has_figures() -> None:
    golden = read()
    assert tuple(golden) == STREAMS
    for of_stream in golden.values():
        assert tuple(of_stream["measures"]) == MEASURES
        assert of_stream["tolerance"] == tolerance(of_stream["instances"])
        assert all(0.0 <= value < 1.0 for value in of_stream["measures"].values())


def test_differences_are_found_in_either_direction() -> None:
    golden = {"tolerance": 0.01, "measures": {"example_f1": 0.5, "macro_f1": 0.5}}
    assert find_differences(golden, {"example_f1": 0.509, "macro_f1": 0.491}) == []
    assert find_differences(golden, {"example_f1": 0.511, "macro_f1": None}) == [
        Difference("example_f1", 0.5, 0.511, 0.01),
        Difference("macro_f1", 0.5, None, 0.01),
    ]
    assert find_differences(golden, {"example_f1": 0.5, "macro_f1": 0.48}) == [Difference("macro_f1", 0.5, 0.48, 0.01)]
