"""``streamlearn check``: would a worker run with these settings?"""

from __future__ import annotations

import typer

from streamlearn.cli.options import Config, Overrides


def check(
    config: Config = None,
    overrides: Overrides = None,
) -> None:
    """Connect as a worker would and name everything that is wrong.

    One line a fault, and exit status 2, if there is one. Looks at each broker's address, TLS, user and password; topics
    with their partitions and retention; what this user may do; clocks; the place for snapshots. Nothing is changed.
    """
    from streamlearn.check.faults import find_faults
    from streamlearn.settings.loading import load_settings

    faults = find_faults(load_settings(config, overrides or ()).settings)
    for fault in faults:
        typer.echo(" ".join(fault.split()), err=True)
    if faults:
        raise typer.Exit(2)
    typer.echo("a worker can run")
