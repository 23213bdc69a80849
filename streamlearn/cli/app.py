"""The command ``streamlearn``: its commands, each imported when it is called, and what becomes of errors."""

from __future__ import annotations

import importlib
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from streamlearn._version import __version__
from streamlearn.errors import StreamlearnError, UsageError

COMMANDS = ("demo", "run", "evaluate", "produce", "topics", "config", "snapshot", "generate")
"""In the order in which a newcomer needs them; each is the module of its name beside this one."""

USAGE_STATUS = 2
FAILURE_STATUS = 1
INTERRUPTED_STATUS = 130


class _LazyGroup(TyperGroup):
    """Finds commands by module name, so that only the one that is called is imported."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            typer.echo("streamlearn: interrupted", err=True)
            sys.exit(INTERRUPTED_STATUS)

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"streamlearn.cli.{cmd_name}")
        app = getattr(module, "app", None)
        if app is None:
            app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
            app.command(cmd_name)(getattr(module, cmd_name))
        command = get_command(app)
        command.name = cmd_name
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
