"""Help of all commands: nothing that the source says is missing from what is printed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from streamlearn.cli.app import COMMANDS, app, load_command
from streamlearn.cli.group import new_group

WIDE = {"terminal_width": 10_000, "max_content_width": 10_000}


def commands() -> Iterator[list[str]]:
    """Yield the path of every command and group."""
    yield []
    for name in COMMANDS:
        yield [name]
        yield from ([name, other] for other in getattr(load_command(name), "commands", ()))


def command_at(path: list[str]) -> Any:
    command: Any = get_command(app) if not path else load_command(path[0])
    for name in path[1:]:
        command = command.commands[name]
    return command


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("path", list(commands()), ids=" ".join)
def test_help_has_every_text_of_the_source(path: list[str]) -> None:
    shown = words(CliRunner().invoke(app, [*path, "--help"], **WIDE).output)
    command = command_at(path)
    texts = [command.help or "", *(getattr(parameter, "help", None) or "" for parameter in command.params)]
    texts += [other.help.partition("\n\n")[0] for other in getattr(command, "commands", {}).values()]
    assert all(text is not None for text in texts)
    for text in texts:
        for paragraph in text.split("\n\n"):
            assert words(paragraph) in shown


def test_brackets_and_colons_are_text_everywhere() -> None:
    group = new_group("tool", "Needs streamlearn[vw] :smile:.")

    @group.command("run")
    def run(size: int = 0) -> None:
        """Install streamlearn[s3] first."""

    @group.command("stop")
    def stop() -> None:
        """Stop."""

    shown = CliRunner().invoke(group, ["--help"], **WIDE).output
    assert "streamlearn[vw] :smile:." in shown
    assert "streamlearn[s3]" in shown
    assert "streamlearn[s3]" in CliRunner().invoke(group, ["run", "--help"], **WIDE).output
    failed = CliRunner().invoke(group, ["run[vw]"])
    assert (failed.exit_code, "'run[vw]'" in failed.output) == (2, True)
