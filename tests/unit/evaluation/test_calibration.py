"""Log loss and calibration error: against scikit-learn and a plain loop; a watcher does not change the model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics
from typer.testing import CliRunner

from streamlearn.cli.app import app
from streamlearn.evaluation.calibration import Calibration, CalibrationWatcher
from streamlearn.evaluation.prequential import evaluate_stream
from streamlearn.model.stream_model import StreamModel
from streamlearn.settings.settings import Settings
from streamlearn.streams import open_stream
from streamlearn.streams.synthetic import generator
from tests.datasets import dataset

PAIRS = st.lists(st.tuples(st.floats(0.0, 1.0), st.integers(0, 1)), min_size=1, max_size=60)


def plain_error(probabilities: list[float], truths: list[int], bins: int = 15) -> float:
    """Return the expected calibration error, bin by bin."""
    total = 0.0
    for number in range(bins):
        inside = [i for i, p in enumerate(probabilities) if min(int(p * bins), bins - 1) == number]
        if inside:
            confidence = sum(probabilities[i] for i in inside) / len(inside)
            share = sum(truths[i] for i in inside) / len(inside)
            total += len(inside) / len(probabilities) * abs(share - confidence)
    return total


def calibration_values(pairs: list[tuple[float, int]], calls: int = 1) -> dict[str, float | None]:
    calibration = Calibration()
    for part in np.array_split(np.arange(len(pairs)), calls):
        call = [pairs[i] for i in part]
        calibration.score(np.array([p for p, _ in call], np.float64), np.array([y for _, y in call], np.int8))
    return calibration.values()


@given(PAIRS)
def test_measures_equal_scikit_learn_and_the_definition(pairs: list[tuple[float, int]]) -> None:
    probabilities, truths = [p for p, _ in pairs], [y for _, y in pairs]
    values = calibration_values(pairs)
    assert values["log_loss"] == pytest.approx(metrics.log_loss(truths, probabilities, labels=[0, 1]))
    assert values["calibration_error"] == pytest.approx(plain_error(probabilities, truths), abs=1e-12)


@given(PAIRS, st.integers(1, 9))
def test_the_split_into_calls_changes_no_bit(pairs: list[tuple[float, int]], calls: int) -> None:
    assert calibration_values(pairs, calls) == calibration_values(pairs)


def test_values_computed_by_hand() -> None:
    assert Calibration().values() == {"log_loss": None, "calibration_error": None}
    values = calibration_values([(0.9, 1), (0.9, 1), (0.9, 0), (0.1, 0)])
    assert values["calibration_error"] == pytest.approx((3 * (0.9 - 2 / 3) + 0.1) / 4)
    assert values["log_loss"] == pytest.approx(-(3 * np.log(0.9) + np.log(0.1)) / 4)
    sure_and_wrong = calibration_values([(0.0, 1), (1.0, 0)])
    assert sure_and_wrong["log_loss"] == pytest.approx(52 * np.log(2))
    assert sure_and_wrong["calibration_error"] == 1.0


def check(spec: str, limit: int, preset: str, folder: Path) -> None:
    """Check a report's measures against the scores in the predictions, which have six decimals.

    No label is declared, so each was true once when it becomes known, and has a score in all predictions from then on.
    """
    report_file, prediction_file = folder / "r.jsonl", folder / "p.jsonl"
    arguments = ["evaluate", spec, "--limit", str(limit), "--preset", preset, "--window", "100"]
    arguments += ["--set", "learner.scores_top=1000"]
    result = CliRunner().invoke(app, [*arguments, "--json", str(report_file), "--predictions", str(prediction_file)])
    assert result.exit_code == 0, result.output
    report = json.loads(report_file.read_text())
    scores = [json.loads(line)["scores"] for line in prediction_file.read_text().splitlines()]
    truths = [set(row.y or ()) for row, _ in zip(open_stream(spec), scores, strict=False)]
    whole = {"from": 0, "to": len(scores), "measures": report["measures"]}
    for part in [whole, *report["windows"]]:
        pairs = [
            (p, int(name in truths[row])) for row in range(part["from"], part["to"]) for name, p in scores[row].items()
        ]
        probabilities, signs = [p for p, _ in pairs], [y for _, y in pairs]
        assert part["measures"]["log_loss"] == pytest.approx(
            metrics.log_loss(signs, probabilities, labels=[0, 1]), rel=2e-4
        )
        assert part["measures"]["calibration_error"] == pytest.approx(plain_error(probabilities, signs), abs=2e-3)


def test_labels_that_join_at_first_mention_count_from_the_next_row(tmp_path: Path) -> None:
    check("synthetic:drifting", 330, "default", tmp_path)


def test_a_real_stream(tmp_path: Path) -> None:
    rows = [{"x": list(row.x), "y": list(row.y or ())} for row in open_stream(str(dataset("emotions")))]
    file = tmp_path / "emotions.jsonl"
    file.write_text("".join(json.dumps({"id": str(number), **row}) + "\n" for number, row in enumerate(rows)))
    check(str(file), 400, "fast", tmp_path)


def test_partial_truths_count_for_the_labels_in_them(tmp_path: Path) -> None:
    rows = [{"x": {"a": 1.0, "b": float(row % 3)}, "y": ["p", "q"] if row % 3 else ["q"]} for row in range(90)]
    rows = [{**row, "y": {"p": "p" in row["y"]} if number > 50 else row["y"]} for number, row in enumerate(rows)]
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps({"id": str(number), **row}) + "\n" for number, row in enumerate(rows)))
    settings = Settings.model_validate({"learner": {"scores_top": 9}})
    scores: list[dict[str, float]] = []
    report = evaluate_stream(
        open_stream(str(file)), settings, on_prediction=lambda prediction, _: scores.append(prediction.scores)
    )
    pairs = [
        (p, int(row["y"][name] if isinstance(row["y"], dict) else name in row["y"]))
        for row, of_row in zip(rows, scores, strict=True)
        for name, p in of_row.items()
        if not isinstance(row["y"], dict) or name in row["y"]
    ]
    assert len(pairs) < sum(map(len, scores))
    expected = metrics.log_loss([y for _, y in pairs], [p for p, _ in pairs], labels=[0, 1])
    assert report.measures["log_loss"] == pytest.approx(expected, rel=1e-4)


def test_a_label_that_replaces_another_has_no_probability_at_that_row() -> None:
    labels = {"maximum": 2, "min_count": 3}
    model = StreamModel(Settings.model_validate({"labels": labels}))
    watcher = model.learner.watcher = CalibrationWatcher(model.labels)
    batch = model.new_batch()
    for names in (["a"], ["a", "b"], ["a"], ["a", "c"], ["a", "c"]):
        batch.predict_and_learn({"x": 1.0}, names)
    model.apply(batch)
    watcher.score()
    # Known when predicted and not replaced at the row: none, a, a b, a (c replaces b), a c.
    assert watcher.whole.pairs == 0 + 1 + 2 + 1 + 2


def test_a_vacant_slot_has_no_probability() -> None:
    model = StreamModel(Settings.model_validate({"labels": {"retire_after_instances": 2}}))
    watcher = model.learner.watcher = CalibrationWatcher(model.labels)
    batch = model.new_batch()
    for names in (["a"], ["a", "b"], ["a"], ["a"], ["a"], ["a", "c"], ["a", "c"]):
        batch.predict_and_learn({"x": 1.0}, names)
    model.apply(batch)
    watcher.score()
    assert model.label_names == ["a", "c"]
    # Known when predicted: none, a, a b, a b (b retires after this row), a, a (c takes the slot), a c.
    assert watcher.whole.pairs == 0 + 1 + 2 + 2 + 1 + 1 + 2


@pytest.mark.parametrize("preset", ["default", "fast", "paper"])
def test_a_watcher_changes_no_bit_of_the_model(preset: str) -> None:
    settings = Settings.model_validate({"learner": {"preset": preset}})
    hashes = []
    for watched in (True, False):
        model = StreamModel(settings)
        model.learner.watcher = CalibrationWatcher(model.labels) if watched else None
        batch = model.new_batch()
        for row in generator("drifting", seed=1, instances=150):
            batch.predict_and_learn(row.x, row.y or [])
        model.apply(batch)
        hashes.append(model.state_hash())
    assert hashes[0] == hashes[1]


def test_a_learner_without_probabilities_has_no_values() -> None:
    report = evaluate_stream(generator("drifting", seed=1, instances=40), Settings(), learner="majority")
    assert report.measures["log_loss"] is report.measures["calibration_error"] is None
    assert report.as_json()["windows"][0]["measures"]["log_loss"] is None
