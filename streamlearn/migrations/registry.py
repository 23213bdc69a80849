"""Which model versions this release reads, and the migration of what they wrote."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from streamlearn._version import MODEL_VERSION

MIGRATIONS: dict[int, Any] = {0: None}
"""How the state of a model version becomes that of the next one: the version before this release's has one."""


def is_readable(model_version: int) -> bool:
    """Return whether this release reads what a model version wrote: its own version's, and that before."""
    return model_version == MODEL_VERSION or (model_version == MODEL_VERSION - 1 and model_version in MIGRATIONS)


def migrate(
    model_version: int, settings: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> tuple[Mapping[str, Any], Mapping[str, np.ndarray]]:
    """Return journalled settings and arrays that a model version wrote in the form of this release."""
    return settings, arrays


def migrate_settings(model_version: int, settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return journalled settings that a model version wrote in the form of this release."""
    return settings
