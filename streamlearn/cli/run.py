"""``streamlearn run``: predict and learn from Kafka topics until stopped."""

from __future__ import annotations

from typing import Annotated

import typer

from streamlearn.cli.options import Config, Overrides


def run(
    config: Config = None,
    overrides: Overrides = None,
    stop_at_end: Annotated[
        bool, typer.Option("--stop-at-end", help="Stop after the records that were on the topics at the start.")
    ] = False,
    leave: Annotated[bool, typer.Option("--leave", help="Leave the consumer group for good at the end.")] = False,
) -> None:
    """Predict every instance of a topic and learn from every label, exactly once, until stopped.

    Ctrl-C and SIGTERM stop it cleanly: the current batch is committed and a snapshot is written.
    """
    from streamlearn.cli.worker import serve
    from streamlearn.logging_setup import configure_logging
    from streamlearn.settings.loading import load_settings

    settings = load_settings(config, overrides or ()).settings
    configure_logging(settings.log)
    serve(settings, stop_at_end=stop_at_end, leave=leave)
