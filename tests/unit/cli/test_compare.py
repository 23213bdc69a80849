"""``streamlearn compare``: the files it writes, the results it reads, and its errors."""

from __future__ import annotations

import importlib.util
import json
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from streamlearn.cli.app import app
from streamlearn.cli.compare import parse_learner
from streamlearn.errors import UsageError
from streamlearn.evaluation.ranking import MEASURES
from streamlearn.evaluation.results import OWN_RULES, read_reports
from tests.unit.evaluation.reports import report

NEEDS_PLOTS = pytest.mark.skipif(
    importlib.util.find_spec("matplotlib") is None, reason="matplotlib is absent: pip install 'streamlearn[report]'"
)


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["compare", *arguments])


@pytest.mark.parametrize(
    ("text", "flags", "name"),
    [
        ("streamlearn:hamming", [], "streamlearn:hamming"),
        ("streamlearn:default:top_k:3", [], "streamlearn:top_k:3"),
        ("streamlearn:fast", [], "streamlearn:fast:balanced"),
        ("streamlearn:fast:threshold:0.3", [], "streamlearn:fast:threshold:0.3"),
        ("streamlearn", ["learner.rule=subset"], "streamlearn:subset"),
        ("br:nb", ["learner.rule=subset"], "br:nb"),
    ],
)
def test_learners_are_parsed_and_named(text: str, flags: list[str], name: str) -> None:
    assert parse_learner(text, flags).name == name


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(UsageError, match=r"learner\.rule from --learner streamlearn:nothing: 'nothing' is not a rule"):
        parse_learner("streamlearn:nothing", [])


def test_own_rules_are_ranked_beside_published_results(tmp_path: Path) -> None:
    lines = tmp_path / "r.jsonl"
    reports = [report("yeast", "streamlearn", rule) for rule in dict.fromkeys(OWN_RULES.values())]
    lines.write_text("".join(json.dumps(each.as_json()) + "\n" for each in reports))
    table = tmp_path / "paper_example_f1.csv"
    table.write_text("Dataset,MLHAT,KNN\nYeast,0.6,0.4\n")
    done = run("--results", str(lines), "--published", str(table), "--own-rules")
    assert done.exit_code == 0, done.output
    rows = [line.split() for line in done.stdout.splitlines()[1:4]]
    assert rows[1] == ["streamlearn:own-rules", "0.5000", "(2.00)"]


class _Page(HTMLParser):
    """Collects what a page would load from elsewhere, and counts its drawings."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.drawings = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.drawings += tag == "svg"
        self.loads += [str(value) for name, value in attrs if name in ("src", "href") and tag != "use"]
        self.loads += [tag] * (tag in ("script", "link", "img"))


@NEEDS_PLOTS
def test_results_and_a_self_contained_page_are_written(tmp_path: Path) -> None:
    lines, page = tmp_path / "c.jsonl", tmp_path / "c.html"
    learners = ["--learner", "majority", "--learner", "last", "--learner", "br:nb"]
    arguments = ["synthetic:drifting", "synthetic:stationary", *learners, "--limit", "300", "--window", "100"]
    done = run(*arguments, "--json", str(lines), "--report", str(page))
    assert done.exit_code == 0, done.output
    assert "Nemenyi critical difference" in done.stdout
    written = read_reports(lines)
    assert [(each.stream, each.learner) for each in written] == [
        (f"synthetic:{stream}", learner)
        for stream in ("drifting", "stationary")
        for learner in ("majority", "last", "br:nb")
    ]
    text = page.read_text()
    parsed = _Page()
    parsed.feed(text)
    assert parsed.loads == []
    # One diagram per measure, two curves per stream.
    assert parsed.drawings == len(MEASURES) + 2 * 2
    for part in text.split("<figure>")[1:]:
        ElementTree.fromstring(part.partition("</figure>")[0])
    again = run("--results", str(lines), "--report", str(tmp_path / "again.html"))
    assert again.exit_code == 0, again.output
    assert again.stdout == done.stdout
    assert (tmp_path / "again.html").read_text().split("<figure>")[1].partition("</figure>")[0] in text


def test_learners_with_results_are_not_run_again(tmp_path: Path) -> None:
    lines = tmp_path / "c.jsonl"
    learners = ["--learner", "last", "--learner", "majority"]
    assert run("synthetic:stationary", *learners, "--limit", "60", "--json", str(lines)).exit_code == 0
    changed = lines.read_text().replace('"subset_accuracy": ', '"subset_accuracy": 0.0, "was": ')
    lines.write_text(changed)
    done = run("synthetic:stationary", *learners, "--limit", "60", "--results", str(lines))
    assert done.exit_code == 0, done.output
    assert done.stderr.count("taken from --results") == 2
    assert "0.0000 (1.50)" in done.stdout


def test_a_learner_that_fails_on_a_stream_has_no_result_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from streamlearn.evaluation.baselines.last import LastLabelSet

    seen: list[object] = []

    def learn(self: LastLabelSet, x: object, y: object) -> None:
        seen.append(x)
        if len(seen) == 30:
            raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(LastLabelSet, "learn", learn)
    lines = tmp_path / "c.jsonl"
    learners = ["--learner", "last", "--learner", "majority"]
    done = run("synthetic:stationary", "synthetic:meta", *learners, "--limit", "60", "--json", str(lines))
    assert done.exit_code == 0, done.output
    assert "synthetic:stationary: no result: last failed at row 29: ZeroDivisionError: division by zero" in done.stderr
    assert [(each.stream[10:], each.learner) for each in read_reports(lines)] == [
        ("stationary", "majority"),
        ("meta", "last"),
        ("meta", "majority"),
    ]
    assert "subset accuracy: 1 of 2 streams, 2 learners" in done.stdout


def test_published_results_are_used_for_the_compared_streams(tmp_path: Path) -> None:
    lines = tmp_path / "r.jsonl"
    lines.write_text(json.dumps(report("yeast").as_json()) + "\n")
    table = tmp_path / "paper_example_f1.csv"
    table.write_text("Dataset,MLHAT,KNN\nYeast,0.6,0.4\nScene,0.1,0.1\n")
    done = run("--results", str(lines), "--published", str(table))
    assert done.exit_code == 0, done.output
    rows = [line.split() for line in done.stdout.splitlines()[1:4]]
    assert rows == [["MLHAT", "0.6000", "(1.00)"], ["last", "0.5000", "(2.00)"], ["KNN", "0.4000", "(3.00)"]]
    assert "1 of 1 streams, 3 learners" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["synthetic:stationary"], "give both streams and learners"),
        (["--learner", "last"], "give both streams and learners"),
        (["-", "--learner", "last"], "standard input can be read only once"),
        (["synthetic:stationary", "--learner", "lost"], "did you mean 'last'"),
        (["synthetic:stationary", "--learner", "last", "--limit", "40"], "two learners or more are compared"),
        ([], "two learners or more are compared"),
        (["--results", "r.jsonl", "--labels", "2"], "--labels is for streams that are run"),
        (["--results", "r.jsonl", "--window", "20"], "--window is for streams that are run"),
        (["synthetic:stationary", "--learner", "last", "--limit", "9", "--published", "a.csv"], "whole streams"),
    ],
)
def test_wrong_usage_is_reported(arguments: list[str], message: str) -> None:
    done = run(*arguments)
    assert isinstance(done.exception, UsageError)
    assert message in str(done.exception)


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    done = run("synthetic:stationary", "--learner", "last", "--report", str(tmp_path / "c.html"))
    assert "streamlearn[report]" in str(done.exception)
    assert not (tmp_path / "c.html").exists()
