"""Options without an effect and outputs that would destroy a file are errors, and nothing is written."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from streamlearn.cli.app import app
from streamlearn.errors import UsageError

ROW = '{"x": {"a": 1}, "y": ["b"]}\n'


def refuse(*arguments: str) -> str:
    """Return the error of a command."""
    done = CliRunner().invoke(app, list(arguments))
    assert isinstance(done.exception, UsageError), done.output
    return str(done.exception)


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text(ROW)
    return path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("evaluate", "ROWS", "--set", "kafka.group_id=x"), "--set kafka.group_id: an evaluation does not depend"),
        (("compare", "ROWS", "--learner", "last", "--set", "http.port=1"), "--set http.port: an evaluation does not"),
        (
            ("evaluate", "ROWS", "--learner", "last", "--set", "learner.rule=f1"),
            "--set learner.rule: last does not depend on it",
        ),
        (
            ("compare", "ROWS", "--learner", "last", "--learner", "majority", "--set", "drift.cooldown_rows=9"),
            "--set drift.cooldown_rows: last, majority does not depend on it",
        ),
        (("evaluate", "ROWS", "--json", "ROWS"), "is the same file"),
        (("evaluate", "ROWS", "--predictions", "ROWS"), "is the same file"),
        (("evaluate", "ROWS", "--json", "OUT", "--predictions", "OUT"), "--json is the same file"),
        (("evaluate", "ROWS", "--json", "-"), "--json -: standard output has the tables"),
        (("compare", "ROWS", "--learner", "last", "--learner", "majority", "--report", "ROWS"), "is the same file"),
        (("compare", "ROWS", "--learner", "last", "--json", "OUT"), "only last is given"),
        (("compare", "--results", "ROWS"), "not a result of `streamlearn evaluate --json`"),
        (("compare", "--results", "EMPTY"), "has no results: give a file that"),
        (
            ("compare", "ROWS", "--learner", "last", "--learner", "majority", "--own-rules"),
            "--own-rules is for learners",
        ),
        (("generate", "meta", "--out", "OUT.csv"), "give a name that ends in .jsonl, or none"),
        (("generate", "meta", "--out", "OUT.arff.gz"), "give a name that ends in .jsonl, or none"),
    ],
)
def test_nothing_is_written_for_what_has_no_effect(
    tmp_path: Path, rows: Path, arguments: tuple[str, ...], message: str
) -> None:
    pytest.importorskip("matplotlib") if "--report" in arguments else None
    names = {"ROWS": str(rows), "EMPTY": str(tmp_path / "empty.jsonl"), "OUT": str(tmp_path / "out")}
    (tmp_path / "empty.jsonl").write_text("")
    before = sorted(tmp_path.iterdir())
    words = [names.get(word) or word.replace("OUT", names["OUT"]) for word in arguments]
    assert message in refuse(*words)
    assert sorted(tmp_path.iterdir()) == before
    assert rows.read_text() == ROW


def test_settings_that_an_evaluation_depends_on_are_accepted(tmp_path: Path, rows: Path) -> None:
    for setting in ("labels.declared=b", "encoder.text_words=3", "measures.window=5", "limits.record_bytes=900"):
        done = CliRunner().invoke(app, ["evaluate", str(rows), "--learner", "last", "--set", setting])
        assert done.exit_code == 0, done.output


def test_warnings_are_lines_on_standard_error(tmp_path: Path, rows: Path) -> None:
    arff = tmp_path / "n.arff"
    arff.write_text("@relation r\n@attribute n numeric\n@attribute l {0,1}\n@data\n1,0\n0,1\n")
    done = CliRunner().invoke(app, ["evaluate", str(arff), "--labels", "2", "--learner", "last"])
    assert "warning: " + str(arff) + ": 1 of 2 labels by --labels 2 are declared as numbers" in done.stderr
    assert "'n'; if these are features, correct the choice with --labels" in done.stderr
    learners = ("--learner", "last", "--learner", "majority", "--set", "encoder.text_fields=t")
    done = CliRunner().invoke(app, ["compare", str(rows), *learners])
    assert "warning: rows, majority: encoder.text_fields has 't', which no instance has; " in done.stderr
    assert "warning" not in done.stdout
