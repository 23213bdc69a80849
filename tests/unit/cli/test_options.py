"""Options that stand for settings: an error names the option that was typed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from streamlearn.cli.app import app
from streamlearn.errors import UsageError

FOLDER = Path(__file__).parents[3] / "streamlearn" / "cli"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("evaluate synthetic:meta --preset x", "learner.preset from --preset: "),
        ("evaluate synthetic:meta --rule x", "learner.rule from --rule: "),
        ("evaluate synthetic:meta --rule f1 --set learner.preset=x", "learner.preset from --set learner.preset: "),
        ("compare synthetic:meta --learner streamlearn:x", "learner.rule from --learner streamlearn:x: "),
        ("produce synthetic:meta --topic t --bootstrap :9", "kafka.bootstrap_servers from --bootstrap: "),
        ("warm-up --preset x", "learner.preset from --preset: "),
        ("snapshot list x9://a", "the location 'x9://a' cannot be used"),
        ("snapshot list --set snapshot.location=x9://a", "snapshot.location 'x9://a' cannot be used"),
    ],
)
def test_an_error_names_what_was_typed(arguments: str, message: str) -> None:
    done = CliRunner().invoke(app, arguments.split())
    assert isinstance(done.exception, UsageError), done.output
    assert str(done.exception).startswith(message)


def test_no_command_turns_an_option_into_set() -> None:
    """Settings of options go to `load_settings` as flags: as texts of ``--set``, errors would name ``--set``."""
    texts = [path.read_text(encoding="utf-8") for path in FOLDER.rglob("*.py")]
    assert any("given_flags(" in text for text in texts)
    made = [found for text in texts for found in re.findall(r"f\"[\w.{}]+=\{\w+\}\"", text)]
    assert made == []
