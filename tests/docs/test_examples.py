"""The examples of the documentation run, and show what they say."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from starlette.testclient import TestClient

import streamlearn

FOLDER = Path(__file__).parents[2] / "docs" / "examples"


def output_of(name: str) -> str:
    run = subprocess.run([sys.executable, str(FOLDER / name)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_every_example_is_tested() -> None:
    here, kafka = Path(__file__), Path(__file__).parents[1] / "integration" / "test_examples.py"
    tested = set(
        re.findall(r'"((?!test_)\w+\.py)"', here.read_text(encoding="utf-8") + kafka.read_text(encoding="utf-8"))
    )
    assert {path.name for path in FOLDER.glob("*.py")} == tested


def test_texts_are_tagged_by_their_words() -> None:
    assert output_of("text_features.py").splitlines() == [
        "Refund for a payment -> ['payment', 'refund']",
        "It crashes since the update -> ['crash', 'login']",
    ]


def test_a_detector_of_ones_own_finds_the_drifts() -> None:
    pattern = r"^row (\d+): worse .*, (\d\.\d\d) -> (\d\.\d\d)$"
    alarms = re.findall(pattern, output_of("custom_drift_detector.py"), re.MULTILINE)
    assert any(4_000 <= int(row) < 4_600 for row, _, _ in alarms), "the features change at row 4,000"
    assert all(float(after) - float(before) >= 0.1 for _, before, after in alarms), "an alarm shows no change"


def test_a_service_learns_and_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    warmed: list[str] = []
    monkeypatch.setattr(streamlearn, "warm_up", lambda: warmed.append("up"))
    with TestClient(runpy.run_path(str(FOLDER / "fastapi_service.py"))["app"]) as client:
        assert warmed, "the first request would compile kernels"
        for _ in range(30):
            client.post("/learn", json={"x": {"goal": 1, "title": "Late goal"}, "labels": ["sport"]}).raise_for_status()
            client.post("/learn", json={"x": {"law": 1, "title": "New law"}, "labels": ["news"]}).raise_for_status()
        assert client.post("/predict", json={"x": {"goal": 1}}).json()["labels"] == ["sport"]
        assert client.post("/learn", json={"x": {}, "labels": ["news"]}).json() == {"learned": 61}
