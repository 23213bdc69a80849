"""The ``streamlearn`` command line: lazily imported subcommands, and exit statuses for errors."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import signal
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperCommand
from typer.main import get_command

from streamlearn._version import MODEL_VERSION, __version__
from streamlearn.cli.group import Group, new_group
from streamlearn.cli.output import echo, echo_traceback
from streamlearn.cli.statuses import (
    FAILURE_STATUS,
    INTERRUPTED_STATUS,
    NAME_TAKEN_STATUS,
    NOT_DRAINED_STATUS,
    TERMINATED_STATUS,
    USAGE_STATUS,
)
from streamlearn.cli.stop_signals import StopSignals
from streamlearn.errors import NameTakenError, NotDrainedError, SettingsError, StreamlearnError, UsageError

COMMANDS = {
    "demo": "Watch the engine predict, learn and detect drift on a built-in stream; no broker is needed.",
    "run": "Predict every instance of a topic and learn from every label, exactly once, until stopped.",
    "evaluate": "Predict, score, then learn every instance of each stream, and print the measures.",
    "compare": "Rank learners over streams: means, mean ranks, Friedman test and Nemenyi critical difference.",
    "produce": "Write the instances of a stream to a topic, keyed by id; a missing id becomes the row number, from 0.",
    "check": "Connect as a worker would and report everything that is wrong.",
    "topics": "Create and check the topics that a configuration needs.",
    "dead-letters": "List, show, export and replay records that could not be used.",
    "config": "Show and check the settings of a run.",
    "snapshot": "List, inspect and verify snapshots of a service or a classifier, and roll a model back to one.",
    "upgrade": "Continue models that the model version before left without a last snapshot, while no worker runs.",
    "warm-up": "Compile the kernels, or load them from the cache: for container images, and before a service starts.",
    "generate": "Write a built-in stream with known drift as JSON Lines, one instance record per line.",
}
"""Command names to one-line help, in the order of `--help`; each command is the module of that name in this package."""


class _LazyGroup(Group):
    """Command group that lists its commands without importing them, and imports the one that is called."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = {name: TyperCommand(name, help=text, rich_markup_mode=None) for name, text in COMMANDS.items()}

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            echo("streamlearn: interrupted", err=True)
            sys.exit(INTERRUPTED_STATUS)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        return name, command if name is None else load_command(name), rest


def load_command(name: str) -> Any:
    """Import a command's module and return the command."""
    module = importlib.import_module(f"streamlearn.cli.{name.replace('-', '_')}")
    app = getattr(module, "app", None)
    if app is None:
        app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
        app.command(name)(getattr(module, name.replace("-", "_")))
    command = get_command(app)
    command.name = name
    return command


app = new_group(
    "streamlearn",
    "Streaming multi-label learning on Kafka: predict immediately, learn from every record, exactly once.",
    _LazyGroup,
)


def _print_version(requested: bool) -> None:
    if requested:
        echo(f"streamlearn {__version__}, model version {MODEL_VERSION}")
        raise typer.Exit


@app.callback()
def _global_options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Options given before the command."""


def main() -> None:
    """Run the command line; an error is one line on standard error, and one for each fault of the settings.

    The exit status is 2 for wrong usage (nothing was done), 1 for a failure, 3 for a worker whose name another one has
    taken, 4 for one that has stopped without a snapshot at its committed point, 130 after an interrupt.
    """
    with contextlib.ExitStack() as stack:
        if os.getpid() == 1:
            # The first process of a container gets SIGTERM only if it has a handler.
            stack.enter_context(StopSignals([signal.SIGTERM], status=TERMINATED_STATUS))
        _run_command()


def _run_command() -> None:
    try:
        app(standalone_mode=True)
    except UsageError as error:
        _exit_with_error(error, USAGE_STATUS)
    except NameTakenError as error:
        _exit_with_error(error, NAME_TAKEN_STATUS)
    except NotDrainedError as error:
        _exit_with_error(error, NOT_DRAINED_STATUS)
    except (StreamlearnError, OSError) as error:
        _exit_with_error(error, FAILURE_STATUS)
    except Exception as error:
        from streamlearn.logging_setup import is_configured

        if is_configured():
            raise
        echo_traceback(error)
        sys.exit(FAILURE_STATUS)


def _exit_with_error(error: Exception, status: int) -> None:
    from streamlearn.logging_setup import logs_json

    for text in error.faults if isinstance(error, SettingsError) else [str(error)]:
        line = " ".join(text.split()) or type(error).__name__
        if logs_json():
            logging.getLogger("streamlearn").critical(line)
        else:
            echo(f"streamlearn: {line}", err=True)
    sys.exit(status)
