"""``streamlearn evaluate``: what it says about labels, options that do not apply, and its help."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from streamlearn.cli.app import app
from streamlearn.errors import UsageError
from streamlearn.evaluation.baselines.catalogue import BASELINES
from streamlearn.settings.rule import RULES
from streamlearn.settings.settings import Settings

FOLDER = Path(__file__).parents[2] / "data" / "arff"


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["evaluate", *arguments])


def test_it_says_which_labels_it_takes_and_from_where(tmp_path: Path) -> None:
    records = tmp_path / "a[b].jsonl"
    records.write_text('{"x": {"f": 1}, "y": ["n"]}\n')
    done = run(str(FOLDER / "mail-train.arff"), str(FOLDER / "all-kinds.arff"), str(records), "--learner", "last")
    assert done.exit_code == 0, done.output
    assert f"mail-train: 2 labels from {FOLDER / 'mail.xml'}: sport, news\n" in done.stderr
    assert "all-kinds: 1 label from -C 1 in the relation's name: goal; texts: body\n" in done.stderr
    assert "a[b]: labels from the records, as they occur\n" in done.stderr
    assert "\na[b] " in done.stdout


def test_names_cannot_command_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "s.arff"
    path.write_text("@relation r\n@attribute 'l\x1b[2J' {0,1}\n@attribute n numeric\n@data\n1,2\n")
    done = run(str(path), "--labels", "1", "--learner", "last")
    assert "s: 1 label from --labels 1: l\\u001b[2J\n" in done.stderr
    assert "\x1b" not in done.output


def test_stale_labels_are_not_evaluated(tmp_path: Path) -> None:
    shutil.copy(FOLDER / "mail-train.arff", tmp_path)
    done = run(str(tmp_path / "mail-train.arff"), "--learner", "last")
    assert isinstance(done.exception, UsageError)
    assert "WEKA filter" in str(done.exception)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["synthetic:stationary", "--labels", "2"], "--labels 2: synthetic:stationary has no attributes"),
        ([str(FOLDER / "moa.arff"), "synthetic:meta", "--labels", "2"], "--labels 2: synthetic:meta has no attributes"),
        (["synthetic:stationary", "--learner", "last", "--rule", "f1"], "--rule f1: last has none"),
        (["synthetic:stationary", "--learner", "br:nb", "--preset", "fast"], "--preset fast: br:nb has none"),
        (["rows.csv"], "ARFF (.arff) and JSON Lines (.jsonl)"),
    ],
)
def test_options_that_do_not_apply_are_errors(arguments: list[str], message: str) -> None:
    done = run(*arguments, "--limit", "40")
    assert isinstance(done.exception, UsageError)
    assert message in str(done.exception)


def test_help_names_the_defaults_and_all_choices() -> None:
    shown = " ".join(run("--help").output.split())
    settings = Settings()
    assert f"Decision rule: {', '.join(RULES)} " in shown
    assert f"learner.rule, which is {settings.learner.rule} by default" in shown
    assert f"Instances per window (default {settings.measures.window})" in shown
    assert f"Seed of the learner and of generators (default {settings.learner.seed})" in shown
    assert all(f"{name}" in shown for name in BASELINES)
    assert "streamlearn[vw]" in shown
    assert settings.learner.preset == "default"
