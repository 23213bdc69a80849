"""The settings that differ from the defaults."""

from __future__ import annotations

import functools
from collections.abc import Container
from typing import Any

from pydantic import SecretStr

from streamlearn.settings.loading import setting_fields
from streamlearn.settings.settings import Settings


def changed_settings(settings: Settings, sections: Container[str]) -> dict[str, Any]:
    """Return the settings of some sections that differ from the defaults, by ``section.key``, without secrets."""
    changed = {}
    defaults = Settings()
    for name, (attributes, _) in setting_fields().items():
        value, default = (functools.reduce(getattr, attributes, tree) for tree in (settings, defaults))
        if attributes[0] in sections and value != default and not isinstance(value, SecretStr):
            changed[name] = list(value) if isinstance(value, tuple) else value
    return changed
