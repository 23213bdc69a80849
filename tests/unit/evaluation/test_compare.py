"""Comparisons: ranks and tests against hand-made figures, published tables, and what the command writes."""

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
from streamlearn.cli.compare import _chosen
from streamlearn.errors import UsageError
from streamlearn.evaluation.prequential import Report
from streamlearn.evaluation.ranking import MEASURES, Ranking, critical_difference, rank, rankings
from streamlearn.evaluation.results import (
    OWN_RULES,
    Result,
    by_own_rules,
    learner_name,
    read_published,
    read_reports,
    results_of,
    same_streams,
)

ACCURACY, HAMMING = MEASURES[0], MEASURES[1]
NEEDS_PLOTS = pytest.mark.skipif(
    importlib.util.find_spec("matplotlib") is None, reason="matplotlib is absent: pip install 'streamlearn[report]'"
)

# Table 6 of Demsar (2006): C4.5, C4.5+m, C4.5+cf, C4.5+m+cf on 14 data sets.
DEMSAR = """
.763 .768 .771 .798
.599 .591 .590 .569
.954 .971 .968 .967
.628 .661 .654 .657
.882 .888 .886 .898
.936 .931 .916 .931
.661 .668 .609 .685
.583 .583 .563 .625
.775 .838 .866 .875
1.000 1.000 1.000 1.000
.940 .962 .965 .962
.619 .666 .614 .669
.972 .981 .9751 .975
.957 .978 .946 .970
"""


def results(table: str, learners: str, measure: str = "subset_accuracy") -> list[Result]:
    return [
        Result(learner, f"stream {number}", {measure: float(text)})
        for number, line in enumerate(table.strip().splitlines())
        for learner, text in zip(learners.split(), line.split(), strict=True)
        if text != "-"
    ]


def ranked(found: list[Result], measure: Any = ACCURACY) -> Ranking:
    ranking = rank(found, measure)
    assert ranking is not None
    return ranking


def test_ranks_and_tests_are_those_of_the_source() -> None:
    ranking = ranked(results(DEMSAR, "plain m cf m+cf"))
    assert dict(zip(ranking.learners, ranking.ranks, strict=True)) == pytest.approx(
        {"plain": 3.143, "m": 2.000, "cf": 2.893, "m+cf": 1.964}, abs=5e-4
    )
    # The source's 9.28 is without the correction for ties (three pairs and one four of equals), which scipy makes.
    assert ranking.statistic == pytest.approx(9.28 / (1 - (3 * 6 + 60) / (14 * 4 * 15)), abs=0.01)
    assert ranking.p_value is not None
    assert 0.01 < ranking.p_value < 0.03
    assert ranking.critical_difference == pytest.approx(2.569 * (4 * 5 / (6 * 14)) ** 0.5, abs=2e-3)
    assert ranking.groups() == [(0, 3)]


@pytest.mark.parametrize(("learners", "q"), [(2, 1.960), (5, 2.728), (10, 3.164)])
def test_critical_values_are_those_of_the_source(learners: int, q: float) -> None:
    assert critical_difference(learners, 6) == pytest.approx(q * (learners * (learners + 1) / 36) ** 0.5, rel=1e-3)


def test_less_is_better_for_hamming_and_equals_share_ranks() -> None:
    ranking = ranked(results(".1 .2 .2\n.3 .1 .1", "a b c", "hamming_loss"), HAMMING)
    assert dict(zip(ranking.learners, ranking.ranks, strict=True)) == {"a": 2.0, "b": 2.0, "c": 2.0}
    assert ranking.means == pytest.approx([0.2, 0.15, 0.15])


def test_a_stream_without_everyone_s_value_is_left_out() -> None:
    ranking = ranked(results(".1 .2\n.5 -\n.3 .4", "a b"))
    assert ranking.streams == ["stream 0", "stream 2"]
    assert ranking.learners == ["b", "a"]
    assert ranking.p_value is None
    assert rank(results(".1 -\n- .2", "a b"), ACCURACY) is None
    assert rankings(results(".1", "a")) == []


def test_groups_are_the_longest_runs_within_the_difference() -> None:
    ranking = Ranking(ACCURACY, list("abcde"), [0.0] * 5, [1.0, 1.5, 2.9, 3.0, 5.0], ["s", "t"], 1.0, 0.1, 1.6)
    assert ranking.groups() == [(0, 1), (1, 3)]


def test_learners_that_are_equal_everywhere_are_no_error() -> None:
    ranking = ranked(results(".5 .5 .5\n.2 .2 .2", "a b c"))
    assert (ranking.statistic, ranking.p_value) == (0.0, 1.0)


def test_published_tables_of_both_kinds(tmp_path: Path) -> None:
    (tmp_path / "paper_subset_acc.csv").write_text("Dataset,MLHAT,KNN\nD20ng,0.2,0.1\nYeast,0.3,0.4\n")
    (tmp_path / "paper_hamming.csv").write_text("Dataset,MLHAT,KNN\nD20ng,0.02,0.01\n")
    (tmp_path / "paper_time_s.csv").write_text("Dataset,MLHAT,KNN\nYeast,3,4\n")
    (tmp_path / "lab.csv").write_text("stream,rule,subset_acc,hamming\nyeast,f1,0.5,0.2\n")
    found = read_published(str(tmp_path / "paper_*.csv"))
    assert Result("MLHAT", "ng20", {"hamming_loss": 0.02, "subset_accuracy": 0.2}) in found
    assert Result("KNN", "yeast", {"subset_accuracy": 0.4}) in found
    assert read_published(str(tmp_path / "lab.csv")) == [
        Result("lab:f1", "yeast", {"subset_accuracy": 0.5, "hamming_loss": 0.2})
    ]
    assert [result.stream for result in same_streams(found, ["Yeast"])] == ["Yeast", "Yeast"]
    for wrong in ("paper_time_s.csv", "nothing.csv"):
        with pytest.raises(UsageError, match=r"no table|no such file"):
            read_published(str(tmp_path / wrong))
    (tmp_path / "bad_hamming.csv").write_text("Dataset,A\nYeast,much\n")
    with pytest.raises(UsageError, match=r"line 2: 'much' is not a number, in column A"):
        read_published(str(tmp_path / "bad_hamming.csv"))
    (tmp_path / "unfinished_hamming.csv").write_text("Dataset,A,B\nYeast,999999999999,0.2\n")
    assert read_published(str(tmp_path / "unfinished_hamming.csv"))[0].measures == {"hamming_loss": 1.0}
    (tmp_path / "bad_hamming.csv").write_text("Dataset,A\nYeast,20.5\n")
    with pytest.raises(UsageError, match=r"line 2: 20\.5 is not between 0 and 1, in column A"):
        read_published(str(tmp_path / "bad_hamming.csv"))


def report(stream: str = "s", learner: str = "last", rule: str = "", instances: int = 10) -> Report:
    measures: dict[str, float | None] = {measure.name: 0.5 for measure in MEASURES} | {"log_loss": 0.25}
    measures |= {"calibration_error": None}
    windows = [{"from": 0, "to": instances, "measures": measures}]
    return Report(stream, learner, "default", rule, 0, instances, 2, 3, 0.5, measures, windows)


def test_reports_come_back_from_their_file(tmp_path: Path) -> None:
    file = tmp_path / "r.jsonl"
    written = report()._replace(remarks=["It rained."])
    file.write_text(json.dumps(written.as_json() | {"alarms": [4]}) + "\n\n")
    assert read_reports(file) == [written._replace(alarms=[4])]
    file.write_text(json.dumps(written.as_json()).replace('"log_loss": 0.25, "calibration_error": null', '"more": 1'))
    assert "log_loss" not in file.read_text()
    assert read_reports(file)[0].measures["log_loss"] is None
    file.write_text('{"stream": "s"}\n')
    with pytest.raises(UsageError, match=r"r\.jsonl, line 1: .*'measures' is missing"):
        read_reports(file)


def test_results_that_do_not_compare_are_refused() -> None:
    with pytest.raises(UsageError, match="same rows"):
        results_of([report(), report(learner="majority", instances=9)])
    with pytest.raises(UsageError, match="two results of last"):
        results_of([report(), report()])


def test_our_learner_is_named_by_its_rule() -> None:
    assert _chosen("streamlearn:hamming", [])[2] == "streamlearn:hamming"
    assert _chosen("streamlearn:default:top_k:3", [])[2] == "streamlearn:top_k:3"
    assert _chosen("streamlearn", ["learner.rule=subset"])[2] == "streamlearn:subset"
    assert learner_name(report(learner="streamlearn", rule="f1")) == "streamlearn:f1"
    with pytest.raises(UsageError, match="rule"):
        _chosen("streamlearn:nothing", [])


def test_each_measure_by_its_own_rule() -> None:
    rules = list(dict.fromkeys(OWN_RULES.values()))
    measures = [measure.name for measure in MEASURES]
    given = [
        Result(f"streamlearn{preset}:{rule}", "yeast", dict.fromkeys(measures, place / 8))
        for preset in ("", ":fast")
        for place, rule in enumerate(rules)
    ]
    others = [Result("br:nb", "yeast", {"micro_f1": 0.3}), Result("streamlearn:top_k:3", "yeast", {"micro_f1": 0.4})]
    found = by_own_rules([*given, *others])
    expected = {measure: rules.index(OWN_RULES[measure]) / 8 for measure in measures}
    assert found == [
        *others,
        Result("streamlearn:own-rules", "yeast", expected),
        Result("streamlearn:fast:own-rules", "yeast", expected),
    ]
    with pytest.raises(UsageError, match="yeast: --own-rules needs streamlearn:macro as well"):
        by_own_rules([result for result in given if result.learner != "streamlearn:macro"])


def test_own_rules_are_ranked_beside_published_figures(tmp_path: Path) -> None:
    lines = tmp_path / "r.jsonl"
    reports = [report("yeast", "streamlearn", rule) for rule in dict.fromkeys(OWN_RULES.values())]
    lines.write_text("".join(json.dumps(each.as_json()) + "\n" for each in reports))
    table = tmp_path / "paper_example_f1.csv"
    table.write_text("Dataset,MLHAT,KNN\nYeast,0.6,0.4\n")
    done = run("--results", str(lines), "--published", str(table), "--own-rules")
    assert done.exit_code == 0, done.output
    rows = [line.split() for line in done.stdout.splitlines()[1:4]]
    assert rows[1] == ["streamlearn:own-rules", "0.5000", "(2.00)"]


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["compare", *arguments])


class _Page(HTMLParser):
    """Collects what a page would load from elsewhere, and checks that elements close."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.drawings = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.drawings += tag == "svg"
        self.loads += [str(value) for name, value in attrs if name in ("src", "href") and tag != "use"]
        self.loads += [tag] * (tag in ("script", "link", "img"))


@NEEDS_PLOTS
def test_the_command_writes_results_and_a_page_of_its_own(tmp_path: Path) -> None:
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
    # A diagram a measure, two curves a stream.
    assert parsed.drawings == len(MEASURES) + 2 * 2
    for part in text.split("<figure>")[1:]:
        ElementTree.fromstring(part.partition("</figure>")[0])
    again = run("--results", str(lines), "--report", str(tmp_path / "again.html"))
    assert again.exit_code == 0, again.output
    assert again.stdout == done.stdout
    assert (tmp_path / "again.html").read_text().split("<figure>")[1].partition("</figure>")[0] in text


def test_what_stands_in_results_is_not_run_again(tmp_path: Path) -> None:
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


def test_published_figures_join_on_the_streams_compared(tmp_path: Path) -> None:
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
    ("arguments", "told"),
    [
        (["synthetic:stationary"], "name both streams and learners"),
        (["--learner", "last"], "name both streams and learners"),
        (["-", "--learner", "last"], "standard input can be read only once"),
        (["synthetic:stationary", "--learner", "lost"], "did you mean 'last'"),
        (["synthetic:stationary", "--learner", "last", "--limit", "40"], "no two learners"),
        ([], "no two learners"),
        (["synthetic:stationary", "--learner", "last", "--limit", "9", "--published", "a.csv"], "whole streams"),
    ],
)
def test_wrong_calls_say_what_is_wrong(arguments: list[str], told: str) -> None:
    done = run(*arguments)
    assert isinstance(done.exception, UsageError)
    assert told in str(done.exception)


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    done = run("synthetic:stationary", "--learner", "last", "--report", str(tmp_path / "c.html"))
    assert "streamlearn[report]" in str(done.exception)
    assert not (tmp_path / "c.html").exists()
