"""The HTML page of a comparison."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from streamlearn.cli.app import app
from streamlearn.evaluation.plots import curve_points
from streamlearn.evaluation.results import read_reports

FOLDER = Path(__file__).parents[2] / "data" / "arff"

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("matplotlib") is None, reason="matplotlib is absent: pip install 'streamlearn[report]'"
)


def test_the_page_says_how_it_was_made_and_shows_probabilities(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page, lines = tmp_path / "c.html", tmp_path / "c.jsonl"
    arguments = ["compare", str(FOLDER / "mail-train.arff"), "synthetic:drifting", "--limit", "80", "--seed", "3"]
    arguments += ["--learner", "streamlearn:f1", "--learner", "last", "--set", "drift.detector=none"]
    arguments += ["--json", str(lines), "--report", str(page)]
    monkeypatch.setattr(sys, "argv", ["/usr/bin/streamlearn", *arguments])
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    text = page.read_text()
    for part in (
        f"<pre class=scroll>streamlearn compare {FOLDER / 'mail-train.arff'} synthetic:drifting --limit 80",
        "<td>streamlearn:f1</td><td>3</td><td>drift.detector</td><td>none</td>",
        "<td>streamlearn:f1</td><td>3</td><td>learner.rule</td><td>f1</td>",
        f"2 instances, 2 labels, seed 3. Labels from {FOLDER / 'mail.xml'}: sport, news.",
        "<h3>log loss</h3>",
        "<h3>expected calibration error</h3>",
        "share of true labels",
    ):
        assert part in text
    # A diagram per measure that is ranked; for each stream two curves, and two figures of probabilities.
    assert text.count("<figure>") == 6 + 2 * 4
    reports = {(report.stream, report.learner): report for report in read_reports(lines)}
    assert len(curve_points(reports["synthetic:drifting", "streamlearn"], "log_loss")) == 8
    assert len(curve_points(reports["synthetic:drifting", "last"], "subset_accuracy")) == 8
    assert curve_points(reports["synthetic:drifting", "last"], "log_loss") == []


def test_a_long_stream_has_a_point_per_window(tmp_path: Path) -> None:
    lines = tmp_path / "c.jsonl"
    arguments = ["synthetic:drifting", "--limit", "500", "--window", "20", "--learner", "last", "--json", str(lines)]
    done = CliRunner().invoke(app, ["evaluate", *arguments])
    assert done.exit_code == 0, done.output
    (report,) = read_reports(lines)
    assert [row for row, _ in curve_points(report, "subset_accuracy")] == [*range(20, 501, 20)]
