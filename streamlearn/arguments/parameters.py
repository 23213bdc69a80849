"""Parameters of the embedded class as settings, and errors that call them by their own names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import ValidationError

from streamlearn.errors import UsageError
from streamlearn.printable import shown
from streamlearn.settings.settings import Settings

SETTING_OF = {
    "preset": "learner.preset",
    "rule": "learner.rule",
    "partition": "learner.partition",
    "seed": "learner.seed",
    "scores_top": "learner.scores_top",
    "minimum_count": "labels.min_count",
    "retire_after_instances": "labels.retire_after_instances",
    "maximum_labels": "labels.maximum",
    "maximum_features": "features.maximum",
    "memory_bytes": "limits.memory_bytes",
    "drift_detector": "drift.detector",
    "drift_significance": "drift.significance",
    "drift_cooldown_rows": "drift.cooldown_rows",
}
"""The setting that each parameter stands for."""

_PARAMETER_OF = {setting: parameter for parameter, setting in SETTING_OF.items()}
_SETTING = re.compile("|".join(map(re.escape, sorted(_PARAMETER_OF, key=len, reverse=True))))


def settings_of(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of parameters by the names of the settings that they stand for; other names stay."""
    return {SETTING_OF.get(name, name): value for name, value in parameters.items()}


def as_settings(parameters: Mapping[str, Any]) -> Settings:
    """Return the settings that parameters stand for; others keep their defaults.

    Raises
    ------
    UsageError
        For invalid values, each with its parameter.
    """
    tree: dict[str, dict[str, Any]] = {}
    for parameter, value in parameters.items():
        section, _, key = SETTING_OF[parameter].partition(".")
        tree.setdefault(section, {})[key] = value.item() if isinstance(value, np.generic) else value
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        raise UsageError("; ".join(map(_fault_text, error.errors()))) from None


def _fault_text(fault: Any) -> str:
    message = with_parameter_names(str(fault["msg"]).removeprefix("Value error, ").replace("\n", "; "))
    parameter = _PARAMETER_OF.get(".".join(map(str, fault["loc"])))
    return message if parameter is None else f"{parameter} is {shown(fault['input'])}: {message}"


def with_parameter_names(message: str) -> str:
    """Return a message with the names of parameters instead of settings."""
    return _SETTING.sub(lambda match: _PARAMETER_OF[match[0]], message)
