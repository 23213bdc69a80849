"""``streamlearn run``: answer and learn from Kafka topics until told to stop."""

from __future__ import annotations

from typing import Annotated

import typer

from streamlearn.cli.options import Config, Overrides


def run(
    config: Config = None,
    overrides: Overrides = None,
    stop_at_end: Annotated[
        bool, typer.Option("--stop-at-end", help="Stop when everything that was there at the start is answered.")
    ] = False,
    leave: Annotated[
        bool, typer.Option("--leave", help="Give up this worker's place in the group at the end, for good.")
    ] = False,
) -> None:
    """Answer every instance of a topic and learn from every label, exactly once, until stopped.

    Ctrl-C and SIGTERM end it cleanly: the batch at hand is committed and a snapshot is written.
    """
    from streamlearn.cli.worker import serve
    from streamlearn.logging_setup import configure_logging
    from streamlearn.settings.loading import load_settings

    settings = load_settings(config, overrides or ()).settings
    configure_logging(settings.log)
    serve(settings, stop_at_end=stop_at_end, leave=leave)
