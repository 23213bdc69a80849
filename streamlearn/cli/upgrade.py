"""``streamlearn upgrade``: continue models of the model version before that were not drained."""

from __future__ import annotations

from typing import Annotated

import typer

from streamlearn.cli.options import Config, Overrides
from streamlearn.cli.output import echo


def upgrade(
    config: Config = None,
    overrides: Overrides = None,
    yes: Annotated[bool, typer.Option("--yes", help="Upgrade; without it, only print what would be done.")] = False,
) -> None:
    """Continue models that the model version before left without a last snapshot, while no worker runs.

    Without a snapshot at the committed point, the rows since the newest one are learnt again by this release. Their
    answers stay as they are, and nothing is answered twice. When the earlier release can still run, `run --drain` with
    it loses nothing instead.
    """
    from streamlearn.cli.upgrade_on_kafka import upgrade_on_kafka
    from streamlearn.settings.loading import load_settings

    for line in upgrade_on_kafka(load_settings(config, overrides or ()).settings, do=yes):
        echo(line)
