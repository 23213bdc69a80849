"""The settings described: for ``config show``, and as the page of the documentation.

``python -m streamlearn.settings.reference`` prints that page.
"""

from __future__ import annotations

import functools
import sys
from typing import Any, NamedTuple

from pydantic import SecretStr

from streamlearn.settings.loading import LoadedSettings, known_settings, load_settings

HIDDEN = "**********"


class DescribedSetting(NamedTuple):
    """One setting; ``name`` is ``section.key``."""

    name: str
    value: Any
    origin: str
    unit: str
    meaning: str

    def shown(self) -> str:
        """Return the value as one would write it."""
        if isinstance(self.value, bool):
            return str(self.value).lower()
        if isinstance(self.value, tuple):
            return ",".join(self.value)
        return str(self.value)


def described(loaded: LoadedSettings) -> list[DescribedSetting]:
    """Return every setting, in the model's order."""
    rows = []
    for name, (attributes, field) in known_settings().items():
        value: Any = functools.reduce(getattr, attributes, loaded.settings)
        if isinstance(value, SecretStr):
            value = HIDDEN if value.get_secret_value() else ""
        extra = field.json_schema_extra
        unit = str(extra.get("unit", "")) if isinstance(extra, dict) else ""
        rows.append(DescribedSetting(name, value, loaded.origins[name], unit, field.description or ""))
    return rows


def markdown() -> str:
    """Return the settings as a Markdown page."""
    lines = [
        "# Settings",
        "",
        "In rising order they come from the defaults, a TOML file (`--config`), the environment",
        "(`STREAMLEARN_<SECTION>__<KEY>`) and `--set section.key=value`.",
        "`streamlearn config show` prints the ones in force. A section within another is a table such as",
        "`[kafka.security]`, and in the environment `STREAMLEARN_KAFKA__SECURITY__USER`. Secrets are taken from the",
        "environment or from files only, and shown as stars.",
        "",
        "| setting | default | unit | meaning |",
        "|---|---|---|---|",
    ]
    for row in described(load_settings(environment={})):
        default = (
            "this host's name and `-0`" if row.name == "worker.name" else f"`{row.shown()}`" if row.shown() else ""
        )
        lines.append(f"| `{row.name}` | {default} | {row.unit} | {row.meaning} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(markdown())
