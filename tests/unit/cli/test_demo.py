"""The demo as a process: its files, its output, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from streamlearn.cli.demo_summary import mean_scores
from streamlearn.records.event import Event
from streamlearn.records.metrics import Metrics
from streamlearn.records.prediction import Prediction
from streamlearn.streams.synthetic import generator

DEMO = [sys.executable, "-m", "streamlearn", "demo"]


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def test_demo_writes_every_prediction_and_prints_a_summary(tmp_path: Path) -> None:
    done = subprocess.run(
        [*DEMO, "--instances", "600", "--seed", "3"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "streamlearn-demo"
    predictions = [Prediction.model_validate_json(line) for line in _lines(folder / "predictions.jsonl")]
    assert [prediction.id for prediction in predictions] == [f"row-{number}" for number in range(600)]
    for line in _lines(folder / "events.jsonl"):
        Event.model_validate_json(line)
    metrics = [Metrics.model_validate_json(line) for line in _lines(folder / "metrics.jsonl")]
    assert metrics[-1].seen == metrics[-1].learned == 600
    truths = [list(row.y or ()) for row in generator("drifting", seed=3, instances=600)]
    accuracy, f1 = mean_scores([prediction.labels for prediction in predictions], truths)
    assert metrics[-1].whole["subset_accuracy"] == pytest.approx(accuracy)
    assert metrics[-1].whole["example_f1"] == pytest.approx(f1)
    assert f"{accuracy:.3f} / {f1:.3f}" in done.stdout
    assert "majority" in done.stdout
    assert "\x1b" not in done.stdout
    assert "600 predictions" in done.stdout


def test_an_interrupted_demo_keeps_what_was_written(tmp_path: Path) -> None:
    out = tmp_path / "out"
    demo = subprocess.Popen(
        [*DEMO, "--instances", "100000", "--out", str(out)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert demo.stdout is not None
    lines = []
    for line in demo.stdout:
        lines.append(line)
        if "metrics at" in line:
            with urllib.request.urlopen(line.rsplit(" ", 1)[1].strip(), timeout=30) as response:
                assert b"streamlearn_" in response.read()
        if line.startswith("1,000 of"):
            demo.send_signal(signal.SIGINT)
            break
    rest = demo.stdout.read()
    assert demo.wait() == 130, "".join(lines) + rest
    ids = [json.loads(line)["id"] for line in _lines(out / "predictions.jsonl")]
    assert 1_000 <= len(ids) < 100_000
    assert ids == [f"row-{number}" for number in range(len(ids))]
    assert f"interrupted after {len(ids):,} of 100,000" in rest


def test_a_demo_interrupted_while_compiling_prints_one_line(tmp_path: Path) -> None:
    out = tmp_path / "out"
    demo = subprocess.Popen(
        [*DEMO, "--out", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", "STREAMLEARN_CACHE_DIR": str(tmp_path / "cache")},
        # A shell starts background processes with SIGINT ignored, and the demo would inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert demo.stdout is not None
    assert any(line.startswith("compiling ") for line in demo.stdout)
    demo.send_signal(signal.SIGINT)
    rest, errors = demo.communicate(timeout=60)
    assert demo.returncode == 130, errors
    assert errors == "streamlearn: interrupted\n"
    assert "kernels ready" not in rest
    assert not out.exists()


def test_a_folder_that_is_not_empty_is_refused(tmp_path: Path) -> None:
    (tmp_path / "predictions.jsonl").write_text("kept\n")
    done = subprocess.run([*DEMO, "--out", str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--out" in done.stderr
    assert (tmp_path / "predictions.jsonl").read_text() == "kept\n"
