"""Options that several commands share, and texts of their help."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamlearn.settings.rule import DEFAULT_RULE, RULES
from streamlearn.streams.opening import FILES

if TYPE_CHECKING:
    from streamlearn.settings.loading import Flag

STREAM_HELP = f"A file {FILES}, - for JSON Lines from standard input, or synthetic:NAME."
RULE_HELP = (
    f"Decision rule: {', '.join(RULES)} (K is a whole number from 1, P a probability). Sets learner.rule, which is "
    f"{DEFAULT_RULE} by default."
)

Config = Annotated[Path | None, typer.Option("--config", help="Settings file (TOML).", show_default=False)]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", help="Override a setting: section.key=value; may be repeated.", show_default=False),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Labels = Annotated[
    str | None,
    typer.Option(
        "--labels",
        help="Which attributes of ARFF files are labels: a count (negative: the last ones), names separated by commas, "
        "or an XML file. By default the XML file of the same name, where -train or -test may be left out, else -C in "
        "the relation's name.",
        show_default=False,
    ),
]


def given_flags(*options: tuple[str, str, object]) -> list[Flag]:
    """Return the options that are given: each is an option, the setting that it stands for, and the value or None."""
    from streamlearn.settings.loading import Flag

    return [Flag(option, name, str(value)) for option, name, value in options if value is not None]
