"""``streamlearn check``: would a worker run with these settings?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def check(
    config: Annotated[Path | None, typer.Option("--config", help="Settings file (TOML).", show_default=False)] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting, section.key=value; may be repeated.", show_default=False),
    ] = None,
) -> None:
    """Connect as a worker would and name everything that is wrong.

    One line a fault, and exit status 2, if there is one. Looks at each broker's address, TLS, user and password; topics
    with their partitions and retention; what this user may do; clocks; the place for snapshots. Nothing is changed.
    """
    from streamlearn.check.faults import faults_of
    from streamlearn.settings.sources import load_settings

    faults = faults_of(load_settings(config, overrides or ()).settings)
    for fault in faults:
        typer.echo(" ".join(fault.split()), err=True)
    if faults:
        raise typer.Exit(2)
    typer.echo("a worker can run")
