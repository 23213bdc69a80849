"""Reference of all settings, for ``config show`` and for the page docs/settings.md.

``python -m streamlearn.settings.reference`` prints the page.
"""

from __future__ import annotations

import functools
import sys
from typing import Any, NamedTuple

from pydantic import SecretStr

from streamlearn.settings.loading import LoadedSettings, load_settings, setting_fields

HIDDEN = "**********"


class SettingDescription(NamedTuple):
    """A setting with its value and description; ``name`` is ``section.key``."""

    name: str
    value: Any
    origin: str
    unit: str
    meaning: str

    def value_text(self) -> str:
        """Return the value as text, as it is written in ``--set``."""
        if isinstance(self.value, bool):
            return str(self.value).lower()
        if isinstance(self.value, tuple):
            return ",".join(self.value)
        return str(self.value)


def describe_settings(loaded: LoadedSettings) -> list[SettingDescription]:
    """Return every setting, in the order of the model; secrets are masked."""
    rows = []
    for name, (attributes, field) in setting_fields().items():
        value: Any = functools.reduce(getattr, attributes, loaded.settings)
        if isinstance(value, SecretStr):
            value = HIDDEN if value.get_secret_value() else ""
        extra = field.json_schema_extra
        unit = str(extra.get("unit", "")) if isinstance(extra, dict) else ""
        rows.append(SettingDescription(name, value, loaded.origins[name], unit, field.description or ""))
    return rows


def markdown() -> str:
    """Return the settings as a Markdown page."""
    lines = [
        "# Settings",
        "",
        "Settings come, in increasing precedence, from the defaults, a TOML file (`--config`), the environment",
        "(`STREAMLEARN_<SECTION>__<KEY>`) and `--set section.key=value`.",
        "`streamlearn config show` prints the values in effect. A nested section is a table such as",
        "`[kafka.security]`, and in the environment `STREAMLEARN_KAFKA__SECURITY__USER`. Secrets are accepted only",
        "from the environment or from files, and are printed as stars. Some settings are",
        "[fixed when a model begins](operations/upgrade.md#change-settings-of-a-running-model).",
        "",
        "| setting | default | unit | meaning |",
        "|---|---|---|---|",
    ]
    for row in describe_settings(load_settings(environment={})):
        text = row.value_text()
        default = "this host's name and `-0`" if row.name == "worker.name" else f"`{text}`" if text else ""
        lines.append(f"| `{row.name}` | {default} | {row.unit} | {row.meaning} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(markdown())
