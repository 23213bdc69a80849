"""``streamlearn produce``: options that do not apply."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from streamlearn.cli.app import app
from streamlearn.errors import UsageError


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["synthetic:stationary", "--label-delay", "3"], "--label-delay 3: instances carry their labels"),
        (["rows.jsonl", "--seed", "3"], "--seed 3: rows.jsonl is not a built-in stream"),
        (["synthetic:stationary", "--labels", "3"], "--labels 3: synthetic:stationary has no attributes"),
    ],
)
def test_options_that_do_not_apply_are_errors(arguments: list[str], message: str) -> None:
    done = CliRunner().invoke(app, ["produce", *arguments, "--topic", "instances"])
    assert isinstance(done.exception, UsageError)
    assert message in str(done.exception)
