"""The command ``streamlearn``: its commands, each imported when it is called, and what becomes of errors."""

from __future__ import annotations

import importlib
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from streamlearn._version import __version__
from streamlearn.errors import StreamlearnError, UsageError

COMMANDS = {
    "demo": "DriftDetectors the engine answer, learn and find drift on a built-in stream; no broker is needed.",
    "run": "Answer every instance of a topic and learn from every label, exactly once, until stopped.",
    "evaluate": "Predict, score, then learn every instance of each stream, and print the measures.",
    "compare": "Rank learners over streams: means, mean ranks, Friedman test and Nemenyi critical difference.",
    "produce": "Write a stream's instances to a topic as records, keyed by id; an id that is missing is the zero-based "
    "row.",
    "check": "Connect as a worker would and name everything that is wrong.",
    "topics": "Create and check the topics that a configuration needs.",
    "dead-letters": "List, show, export and replay records that could not be used.",
    "config": "Show and check the settings of a run.",
    "snapshot": "List, inspect and verify snapshots, of a service or a classifier, and roll a model back to one.",
    "generate": "Write a built-in stream with known drift as JSON Lines, one instance record a line.",
}
"""What each does, in the order in which a newcomer needs them; each is the module of its name beside this one."""

USAGE_STATUS = 2
FAILURE_STATUS = 1
INTERRUPTED_STATUS = 130


class _LazyGroup(TyperGroup):
    """Lists commands without importing any, and imports the one that is called."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = {name: TyperCommand(name, help=text) for name, text in COMMANDS.items()}

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            typer.echo("streamlearn: interrupted", err=True)
            sys.exit(INTERRUPTED_STATUS)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        return name, command if name is None else load_command(name), rest


def load_command(name: str) -> Any:
    """Return a command, imported."""
    module = importlib.import_module(f"streamlearn.cli.{name.replace('-', '_')}")
    app = getattr(module, "app", None)
    if app is None:
        app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        app.command(name)(getattr(module, name))
    command = get_command(app)
    command.name = name
    return command


app = typer.Typer(
    cls=_LazyGroup,
    help="Streaming multi-label learning on Kafka: predict at once, learn from every record, exactly once.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"streamlearn {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Options before the command."""


def main() -> None:
    """Run the command line; an error is one line on standard error.

    The exit status is 2 when the call was wrong (nothing was done), 1 when the work failed, 130 after an interrupt.
    """
    try:
        app(standalone_mode=True)
    except UsageError as error:
        _end(error, USAGE_STATUS)
    except (StreamlearnError, OSError) as error:
        _end(error, FAILURE_STATUS)


def _end(error: Exception, status: int) -> None:
    text = " ".join(str(error).split()) or type(error).__name__
    typer.echo(f"streamlearn: {text}", err=True)
    sys.exit(status)
