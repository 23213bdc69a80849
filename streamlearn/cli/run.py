"""``streamlearn run``: predict and learn from Kafka topics until stopped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from streamlearn.cli.options import Config, Overrides
from streamlearn.cli.statuses import NOT_DRAINED_STATUS
from streamlearn.cli.stop_signals import StopSignals


def run(
    config: Config = None,
    overrides: Overrides = None,
    stop_at_end: Annotated[
        bool, typer.Option("--stop-at-end", help="Stop after the records that were on the topics at the start.")
    ] = False,
    leave: Annotated[
        bool, typer.Option("--leave", help="Leave the consumer group for good at the end; --drain always does.")
    ] = False,
    drain: Annotated[
        bool,
        typer.Option(
            "--drain",
            help="Restore the model that a crash has left, write its snapshot and end, without answers or commits: "
            "before an upgrade.",
        ),
    ] = False,
) -> None:
    """Predict every instance of a topic and learn from every label, exactly once, until stopped.

    Ctrl-C and SIGTERM stop it cleanly: the current batch is committed and a snapshot is written. A worker that starts
    or restores a model has nothing to save, and ends at once.

    The exit status is 0 when the newest snapshot of every model that the worker held is at its committed point, so that
    another release can continue; 4 when it has stopped without. Nothing is lost then, and --drain of the same release
    writes what is missing.
    """
    if drain and stop_at_end:
        from streamlearn.errors import UsageError

        raise UsageError("--drain and --stop-at-end exclude each other: --drain applies no records")
    # Before the modules of the worker, which take seconds to import.
    with _stop_signals(drain) as signals:
        _run(config, overrides or (), signals, stop_at_end=stop_at_end, leave=leave, drain=drain)


def _stop_signals(drain: bool) -> StopSignals:
    if not drain:
        return StopSignals()
    loss = "not drained, as the models were not restored yet; run `streamlearn run --drain` again"
    return StopSignals(status=NOT_DRAINED_STATUS, loss=loss)


def _run(
    config: Path | None,
    overrides: Sequence[str],
    signals: StopSignals,
    *,
    stop_at_end: bool,
    leave: bool,
    drain: bool,
) -> None:
    from streamlearn.errors import SettingsError
    from streamlearn.logging_setup import configure_logging
    from streamlearn.settings.loading import asks_for_json_log, load_settings
    from streamlearn.settings.settings import LogSettings

    try:
        settings = load_settings(config, overrides).settings
    except SettingsError:
        configure_logging(LogSettings.model_validate({"json": asks_for_json_log(config, overrides)}))
        raise
    configure_logging(settings.log)

    from streamlearn.cli.worker import serve

    serve(settings, stop_at_end=stop_at_end, leave=leave, drain=drain, signals=signals)
