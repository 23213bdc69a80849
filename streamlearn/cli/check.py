"""``streamlearn check``: test whether a worker can run with these settings."""

from __future__ import annotations

import typer

from streamlearn.cli.options import Config, Overrides
from streamlearn.cli.output import echo


def check(
    config: Config = None,
    overrides: Overrides = None,
) -> None:
    """Connect as a worker would and report everything that is wrong.

    Prints one line per fault and exits with status 2 if there is any. Checks each broker's address, TLS, user and
    password; topics with their partitions and retention; the permissions of this user; the members of the group;
    clocks; the snapshot location; the packages for compressed records; whether this release continues the models.
    Nothing is changed. A warning, about a worker of the same name on another machine or about records without
    timestamps, does not change the status.
    """
    from streamlearn.check.faults import find_faults, find_warnings
    from streamlearn.check.models import describe_models
    from streamlearn.settings.loading import load_settings

    settings = load_settings(config, overrides or ()).settings
    faults = find_faults(settings)
    warnings = [f"warning: {text}" for text in find_warnings(settings)]
    for line in [*faults, *warnings]:
        echo(" ".join(line.split()), err=True)
    if faults:
        raise typer.Exit(2)
    for line in describe_models(settings):
        echo(line)
    echo("a worker can run")
