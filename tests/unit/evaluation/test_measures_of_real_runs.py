"""Measures in reports of `evaluate`, recomputed with scikit-learn from the predictions that it writes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics
from typer.testing import CliRunner

from streamlearn.cli.app import app
from streamlearn.streams import open_stream
from tests.datasets import dataset


def matrix(sets: list[list[str]], labels: list[str]) -> np.ndarray:
    return np.array([[name in names for name in labels] for names in sets], np.int64)


def expected_measures(truth: np.ndarray, answer: np.ndarray, known: np.ndarray) -> dict[str, float]:
    """Return the measures; ``known`` int64[rows] is the number of labels known at each row."""
    both, either = (truth & answer).sum(1), (truth | answer).sum(1)
    empty = either == 0
    return {
        "subset_accuracy": metrics.accuracy_score(truth, answer),
        "hamming_loss": float(np.mean((truth != answer).sum(1) / known)),
        "example_f1": float(np.mean(np.where(empty, 1.0, 2 * both / np.maximum(both + either, 1)))),
        "example_jaccard": float(np.mean(np.where(empty, 1.0, both / np.maximum(either, 1)))),
        "micro_f1": metrics.f1_score(truth, answer, average="micro", zero_division=0),
        "macro_f1": metrics.f1_score(truth, answer, average="macro", zero_division=0),
    }


def check(spec: str, limit: int, learner: str, folder: Path) -> None:
    report_file, prediction_file = folder / "r.jsonl", folder / "p.jsonl"
    arguments = ["evaluate", spec, "--limit", str(limit), "--learner", learner, "--window", "400"]
    result = CliRunner().invoke(app, [*arguments, "--json", str(report_file), "--predictions", str(prediction_file)])
    assert result.exit_code == 0, result.output
    report = json.loads(report_file.read_text())
    answers = [json.loads(line)["labels"] for line in prediction_file.read_text().splitlines()]
    stream = open_stream(spec)
    truths = [list(row.y or ()) for row, _ in zip(stream, answers, strict=False)]
    labels = list(stream.labels)
    known = []
    for names in truths:
        labels.extend(name for name in names if name not in labels)
        known.append(len(labels))
    assert (report["instances"], report["labels"]) == (len(answers), len(labels))
    truth, answer = matrix(truths, labels), matrix(answers, labels)
    expected = expected_measures(truth, answer, np.array(known))
    assert {name: report["measures"][name] for name in expected} == pytest.approx(expected)
    for window in report["windows"]:
        rows = slice(window["from"], window["to"])
        part = expected_measures(truth[rows], answer[rows], np.array(known)[rows])
        del part["macro_f1"]  # its labels are those known when the window ends
        assert {name: window["measures"][name] for name in part} == pytest.approx(part)


@pytest.mark.parametrize("learner", ["streamlearn", "last", "majority"])
def test_labels_that_join_at_first_mention(learner: str, tmp_path: Path) -> None:
    check("synthetic:drifting", 1_300, learner, tmp_path)


@pytest.mark.parametrize(
    ("name", "learner"), [("flags", "streamlearn"), ("emotions", "majority"), ("scene", "last"), ("emotions", "br:nb")]
)
def test_declared_labels(name: str, learner: str, tmp_path: Path) -> None:
    check(str(dataset(name)), 1_000, learner, tmp_path)
