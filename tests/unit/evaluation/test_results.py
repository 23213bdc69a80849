"""Results: read from reports and published tables, named and combined."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from streamlearn.cli.output import open_for_writing
from streamlearn.errors import UsageError
from streamlearn.evaluation.curve import NAMES as CURVE_MEASURES
from streamlearn.evaluation.ranking import MEASURES
from streamlearn.evaluation.results import (
    OWN_RULES,
    Result,
    combine_own_rules,
    learner_name,
    read_published,
    read_reports,
    results_from_reports,
    select_streams,
)
from streamlearn.streams.compression import ENDINGS
from tests.unit.evaluation.reports import report


def test_published_tables_in_both_forms(tmp_path: Path) -> None:
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
    assert [result.stream for result in select_streams(found, ["Yeast"])] == ["Yeast", "Yeast"]
    for name in ("paper_time_s.csv", "nothing.csv"):
        with pytest.raises(UsageError, match=r"no table|no such file"):
            read_published(str(tmp_path / name))
    (tmp_path / "bad_hamming.csv").write_text("Dataset,A\nYeast,much\n")
    with pytest.raises(UsageError, match=r"line 2: 'much' is not a number, in column A"):
        read_published(str(tmp_path / "bad_hamming.csv"))
    (tmp_path / "unfinished_hamming.csv").write_text("Dataset,A,B\nYeast,999999999999,0.2\n")
    assert read_published(str(tmp_path / "unfinished_hamming.csv"))[0].measures == {"hamming_loss": 1.0}
    (tmp_path / "bad_hamming.csv").write_text("Dataset,A\nYeast,20.5\n")
    with pytest.raises(UsageError, match=r"line 2: 20\.5 is not between 0 and 1, in column A"):
        read_published(str(tmp_path / "bad_hamming.csv"))


@pytest.mark.parametrize("ending", ["", *ENDINGS])
def test_results_are_written_and_read_compressed_by_the_end_of_the_name(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"R.JSONL{ending.upper()}"
    with open_for_writing(path) as file:
        file.write(json.dumps(report().as_json()).encode() + b"\n")
    assert [each.as_json() for each in read_reports(path)] == [report().as_json() | {"label_names": []}]
    assert path.read_bytes().startswith(b"{") == (not ending)
    if ending:
        path.write_bytes(path.read_bytes()[:-9])
        with pytest.raises(UsageError, match="R\\.JSONL"):
            read_reports(path)


def test_reports_are_read_as_written(tmp_path: Path) -> None:
    file = tmp_path / "r.jsonl"
    span = {"from": 0, "to": 10, "measures": dict.fromkeys(CURVE_MEASURES, 0.5) | {"log_loss": None}}
    written = report()._replace(
        remarks=["It rained."],
        settings={"learner.seed": 3},
        labels_from="s.xml",
        label_names=["a", "b"],
        curve=[span],
        calibration=[{"pairs": 4, "probability": 0.25, "true": 0.5}],
    )
    file.write_text(json.dumps(written.as_json() | {"alarms": [4]}) + "\n\n")
    assert read_reports(file) == [written._replace(alarms=[4])]
    file.write_text(json.dumps(report().as_json()).replace('"log_loss": 0.25, "calibration_error": null', '"more": 1'))
    assert "log_loss" not in file.read_text()
    assert read_reports(file)[0].measures["log_loss"] is None
    file.write_text('{"stream": "s"}\n')
    with pytest.raises(UsageError, match=r"r\.jsonl, line 1: .*'measures' is missing"):
        read_reports(file)


def test_results_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(UsageError, match="same rows"):
        results_from_reports([report(), report(learner="majority", instances=9)])
    with pytest.raises(UsageError, match="two results of last"):
        results_from_reports([report(), report()])


def test_results_of_streamlearn_are_named_by_preset_and_rule() -> None:
    ours = report(learner="streamlearn", rule="f1")
    assert learner_name(ours) == "streamlearn:f1"
    assert learner_name(ours._replace(preset="fast")) == "streamlearn:fast:f1"
    assert learner_name(report(learner="last")) == "last"


def test_own_rules_take_each_measure_from_its_rule() -> None:
    rules = list(dict.fromkeys(OWN_RULES.values()))
    measures = [measure.name for measure in MEASURES]
    given = [
        Result(f"streamlearn{preset}:{rule}", "yeast", dict.fromkeys(measures, index / 8))
        for preset in ("", ":fast")
        for index, rule in enumerate(rules)
    ]
    others = [Result("br:nb", "yeast", {"micro_f1": 0.3}), Result("streamlearn:top_k:3", "yeast", {"micro_f1": 0.4})]
    combined = combine_own_rules([*given, *others])
    expected = {measure: rules.index(OWN_RULES[measure]) / 8 for measure in measures}
    assert combined == [
        *others,
        Result("streamlearn:own-rules", "yeast", expected),
        Result("streamlearn:fast:own-rules", "yeast", expected),
    ]
    with pytest.raises(UsageError, match="yeast: --own-rules needs streamlearn:macro as well"):
        combine_own_rules([result for result in given if result.learner != "streamlearn:macro"])


def test_a_byte_order_mark_before_a_table_or_reports_is_ignored(tmp_path: Path) -> None:
    table, reports = tmp_path / "lab.csv", tmp_path / "r.jsonl"
    table.write_text("\ufeffstream,rule,subset_acc\nyeast,f1,0.5\n", encoding="utf-8")
    reports.write_text(f"\ufeff{json.dumps(report().as_json())}\n", encoding="utf-8")
    assert read_published(str(table)) == [Result("lab:f1", "yeast", {"subset_accuracy": 0.5})]
    assert len(read_reports(reports)) == 1
