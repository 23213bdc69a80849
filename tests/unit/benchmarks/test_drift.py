"""The drift benchmark counts detections and recovery correctly, on traces made by hand and on one short run."""

from __future__ import annotations

import pytest

from streamlearn.settings.settings import Settings
from streamlearn.streams.synthetic import Drift, generator
from tests.benchmarks import drift as benchmark
from tests.benchmarks.drift import (
    DETECTORS,
    HORIZON,
    Case,
    Trace,
    detection_delay,
    make_cases,
    mean_error,
    recovery_rows,
    summarize_detectors,
    summarize_kinds,
)

DRIFT = Drift(1_000, 1_000, "features")


def test_an_alarm_counts_from_the_drift_to_the_end_of_the_horizon() -> None:
    assert detection_delay([10, 999, 1_000, 1_050], DRIFT) == 0
    assert detection_delay([999, 1_042], DRIFT) == 42
    assert detection_delay([999, 1_000 + HORIZON], DRIFT) is None
    assert detection_delay([], DRIFT) is None


def test_recovery_counts_rows_to_the_level_before_the_drift_or_to_the_final_level() -> None:
    before = [0.8] * 1_000
    assert recovery_rows(before + [0.8] * 1_500, DRIFT) == 0
    # The first 200 rows with a mean of 0.76: 40 of 0.6, then 0.8.
    assert recovery_rows(before + [0.6] * 300 + [0.8] * 1_200, DRIFT) == 260
    assert recovery_rows(before + [0.2] * 300 + [0.4] * 1_200, DRIFT) == pytest.approx(280, abs=2)
    assert recovery_rows(before + [0.8] * 1_000 + [0.9] * 250 + [0.1] * 250, DRIFT) is None


def test_the_error_of_probabilities() -> None:
    assert mean_error({"a", "b"}, {"a": 0.75, "c": 0.25}) == pytest.approx(0.25)
    assert mean_error(set(), {}) == 0.0


def trace(drift: Drift | None, alarms: list[int], rows: int = 2_500) -> Trace:
    found = {name: alarms if name == "loss alarms" else [] for name in DETECTORS}
    return Trace(Case("k", generator("meta", instances=1), drift), found, [0.5] * rows)


def test_tables_count_drifts_and_false_alarms() -> None:
    traces = [trace(DRIFT, [500, 1_010]), trace(DRIFT, []), trace(DRIFT, [1_030]), trace(None, [5, 6]), trace(None, [])]
    first = summarize_detectors(traces)[0]
    assert (first["drifts"], first["detected"], first["delay_median"]) == (3, 2, 20)
    assert (first["silent_streams"], first["stationary_streams"]) == (1, 2)
    assert first["false_per_1000"] == pytest.approx(0.4)
    assert summarize_kinds(traces)[0]["loss alarms"] == "2, 20"
    assert summarize_kinds(traces)[0]["recovered"] == 3


def test_there_are_fifty_drifts_and_fifty_stationary_streams() -> None:
    found = list(make_cases(5))
    drifting = [case for case in found if case.drift is not None]
    assert (len(drifting), len(found)) == (50, 100)
    assert len({(case.stream.name, case.stream.seed) for case in found}) == 100
    for case in drifting:
        assert case.drift is not None
        assert case.drift.row % 100 or case.stream.name == "synthetic:drifting"
        assert case.stream.instances == case.drift.row + HORIZON


def test_a_sudden_drift_raises_an_alarm_and_a_stationary_stream_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "HORIZON", 600)
    sudden, *_, stationary = make_cases(1)
    settings = Settings()
    found, quiet = benchmark.run_case(sudden, settings), benchmark.run_case(stationary, settings)
    assert sudden.drift is not None
    assert (detection_delay(found.alarms["loss alarms"], sudden.drift) or 600) < 300
    assert len(found.f1) == sudden.stream.instances
    assert quiet.alarms["loss alarms"] == []
    assert len(quiet.alarms["every 100"]) == len(quiet.f1) // 100 - (len(quiet.f1) % 100 == 0)
