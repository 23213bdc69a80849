"""``streamlearn config``: show every setting with value, origin, unit and meaning; check settings."""

from __future__ import annotations

from streamlearn.cli.group import new_group
from streamlearn.cli.options import AsJson, Config, Overrides
from streamlearn.cli.output import echo, echo_json
from streamlearn.printable import printable

app = new_group("config", "Show and check the settings of a run.")


@app.command("show")
def show(
    config: Config = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Print every setting: value, origin, unit, meaning."""
    from streamlearn.settings.loading import load_settings
    from streamlearn.settings.reference import describe_settings

    loaded = load_settings(config, overrides or ())
    rows = describe_settings(loaded)
    if as_json:
        echo_json([row._asdict() for row in rows])
        return
    from rich.table import Table

    from streamlearn.terminal import console

    table = Table(box=None, pad_edge=False)
    for column in ("setting", "value", "from", "unit", "meaning"):
        table.add_column(column, overflow="fold", no_wrap=column == "setting")
    for row in rows:
        table.add_row(row.name, printable(row.value_text()), printable(row.origin), row.unit, row.meaning)
    console().print(table)


@app.command("check")
def check(config: Config = None, overrides: Overrides = None) -> None:
    """Check the settings; print one line per fault and exit with status 2 if there is any."""
    from streamlearn.settings.loading import load_settings

    load_settings(config, overrides or ())
    echo("the settings are valid")
