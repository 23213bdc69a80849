"""Prequential evaluation: output files, independence of the batch size, and accuracy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from streamlearn.cli.app import app
from streamlearn.evaluation import prequential
from streamlearn.evaluation.prequential import evaluate_stream
from streamlearn.records.prediction import Prediction
from streamlearn.settings.settings import Settings
from streamlearn.streams import open_stream
from streamlearn.streams.synthetic import generator
from tests.datasets import dataset

MEASURES = {"subset_accuracy", "hamming_loss", "example_f1", "example_jaccard", "micro_f1", "macro_f1"} | {
    "log_loss",
    "calibration_error",
}


def test_the_output_files_have_the_documented_format(tmp_path: Path) -> None:
    report, predictions = tmp_path / "r.jsonl", tmp_path / "p.jsonl"
    report.write_text("left over\n")
    arguments = ["evaluate", "synthetic:drifting", "synthetic:stationary", "--limit", "1250", "--window", "500"]
    result = CliRunner().invoke(app, [*arguments, "--json", str(report), "--predictions", str(predictions)])
    assert result.exit_code == 0, result.output
    objects = [json.loads(line) for line in report.read_text().splitlines()]
    assert [set(record) for record in objects] == 2 * [
        {
            "stream", "learner", "preset", "rule", "seed", "instances", "features", "labels", "seconds",
            "instances_per_second", "measures", "windows", "curve", "calibration", "settings", "labels_from",
            "label_names",
        }
    ]  # fmt: skip
    first = objects[0]
    assert (first["learner"], first["preset"], first["rule"], first["instances"]) == (
        "streamlearn", "default", "balanced", 1250,
    )  # fmt: skip
    assert set(first["measures"]) == MEASURES
    assert [(window["from"], window["to"]) for window in first["windows"]] == [(0, 500), (500, 1000), (1000, 1250)]
    assert first["settings"] == {"measures.window": 500}
    assert (first["labels_from"], len(first["label_names"])) == ("the generator", first["labels"])
    whole = first["measures"]["subset_accuracy"]
    weighted = sum(
        (window["to"] - window["from"]) * window["measures"]["subset_accuracy"] for window in first["windows"]
    )
    assert weighted / 1250 == pytest.approx(whole)
    records = [Prediction.model_validate_json(line) for line in predictions.read_bytes().splitlines()]
    assert [record.id for record in records] == 2 * [str(row) for row in range(1250)]


@pytest.mark.parametrize(
    ("learner", "columns"), [("streamlearn", 65_536), ("streamlearn", 4_096), ("br:knn", 65_536), ("vw:oaa", 65_536)]
)
def test_strings_of_a_file_are_learnt_as_texts(tmp_path: Path, learner: str, columns: int) -> None:
    path = tmp_path / "s.arff"
    rows = "".join(f"1,'late goal number {row}'\n0,'new law number {row}'\n" for row in range(60))
    path.write_text(f"@relation 'r: -C 1'\n@attribute l {{0,1}}\n@attribute body string\n@data\n{rows}")
    settings = Settings.model_validate({"features": {"maximum": columns}})
    report = evaluate_stream(open_stream(str(path)), settings, learner=learner)
    assert (report.features, report.labels, report.instances) == (1, 1, 120)
    accuracy = report.measures["subset_accuracy"]
    assert accuracy is not None
    assert accuracy > 0.9, "as one value per text, no row would say anything about the next"


def test_the_batch_size_changes_no_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = generator("drifting", seed=2, instances=700)
    together = evaluate_stream(stream, Settings())
    monkeypatch.setattr(prequential, "BATCH_ROWS", 7)
    apart = evaluate_stream(stream, Settings())
    assert apart.measures == together.measures
    assert apart.windows == together.windows


@pytest.mark.parametrize(("instances", "spans"), [(35, 4), (194, 20), (601, 61), (610, 31), (1_300, 33)])
def test_the_curve_has_many_points_on_a_short_stream(instances: int, spans: int) -> None:
    report = evaluate_stream(generator("drifting", seed=1, instances=instances), Settings())
    assert len(report.curve) == spans
    assert report.curve[0]["from"] == 0
    assert report.curve[-1]["to"] == instances
    for name in ("subset_accuracy", "hamming_loss", "example_f1", "example_jaccard"):
        total = sum((span["to"] - span["from"]) * span["measures"][name] for span in report.curve)
        assert total / instances == pytest.approx(report.measures[name])
    assert all(span["measures"]["log_loss"] > 0.0 for span in report.curve[1:])
    pairs = sum(each["pairs"] for each in report.calibration)
    error = sum(each["pairs"] * abs(each["true"] - each["probability"]) for each in report.calibration) / pairs
    assert error == pytest.approx(report.measures["calibration_error"])


def test_a_baseline_has_a_curve_without_probabilities() -> None:
    report = evaluate_stream(generator("drifting", seed=1, instances=100), Settings(), learner="last")
    assert [span["to"] for span in report.curve] == [*range(10, 101, 10)]
    assert all(span["measures"]["log_loss"] is None for span in report.curve)
    assert report.calibration == []


def test_the_learner_beats_the_naive_baselines() -> None:
    stream = generator("drifting", seed=0, instances=3_000)
    results = {
        name: evaluate_stream(stream, Settings(), learner=name).measures["example_f1"] or 0.0
        for name in ("streamlearn", "majority", "last")
    }
    assert results["streamlearn"] > 0.85
    assert max(results["majority"], results["last"]) < 0.6


def test_the_last_label_set_on_a_stream_with_repeats() -> None:
    stream = open_stream(str(dataset("scene")))
    sets = [row.y for row in stream]
    repeated = sum(previous == current for previous, current in zip([[], *sets], sets, strict=False))
    report = evaluate_stream(stream, Settings(), learner="last")
    assert report.measures["subset_accuracy"] == pytest.approx(repeated / len(sets))


@pytest.mark.parametrize(("name", "least"), [("emotions", 0.26), ("slashdot", 0.40), ("medical", 0.54)])
def test_accuracy_on_real_streams(name: str, least: float) -> None:
    report = evaluate_stream(open_stream(str(dataset(name))), Settings())
    assert (report.measures["subset_accuracy"] or 0.0) > least
