"""Which model versions this release reads, and the migration of what they wrote.

Only the migration from the version before is kept: an upgrade goes one model version at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from streamlearn._version import MODEL_VERSION, __version__
from streamlearn.errors import SnapshotError
from streamlearn.migrations.from_0 import MIGRATION
from streamlearn.migrations.migrated_arrays import MigratedArrays
from streamlearn.state.array_names import TaskPart


def is_readable(model_version: int) -> bool:
    """Return whether this release reads what a model version wrote: its own version's, and that before."""
    return model_version == MODEL_VERSION or model_version == MODEL_VERSION - 1 == MIGRATION.version


def migrate(
    model_version: int, settings: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> tuple[Mapping[str, Any], Mapping[str, np.ndarray]]:
    """Return a task's journalled settings and arrays, as a model version wrote them, in the form of this release.

    No array is read: each is migrated when it is looked up. What this release's own version wrote is returned as it is.

    Raises
    ------
    SnapshotError
        When this release does not read that version, or the arrays are not those that it wrote.
    """
    _check(model_version)
    if model_version == MODEL_VERSION:
        return settings, arrays
    return MIGRATION.settings.apply(settings), MigratedArrays(arrays, settings, MIGRATION)


def migrate_settings(model_version: int, settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return journalled settings, as a model version wrote them, in the form of this release; errors as `migrate`."""
    _check(model_version)
    return settings if model_version == MODEL_VERSION else MIGRATION.settings.apply(settings)


def migrate_classifier(
    model_version: int, parameters: Mapping[str, Any], settings: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> tuple[Mapping[str, Any], Mapping[str, np.ndarray]]:
    """Return the parameters and arrays of a file of the embedded class in the form of this release, as `migrate`.

    ``settings`` are those that the parameters stand for. The arrays are those of the model alone.
    """
    _check(model_version)
    if model_version == MODEL_VERSION:
        return parameters, arrays
    return (
        MIGRATION.parameters.apply(parameters),
        MigratedArrays(arrays, settings, MIGRATION.within(TaskPart.MODEL)),
    )


def _check(model_version: int) -> None:
    if is_readable(model_version):
        return
    way_out = (
        f"run a release of model version {model_version}, or one of {model_version + 1}, which reads it"
        if model_version > MODEL_VERSION
        else f"run a release of each model version from {model_version + 1} to {MODEL_VERSION - 1} first, one after "
        "the other: each reads the version before, and writes its own"
    )
    raise SnapshotError(
        f"model version {model_version} cannot be read: release {__version__} reads the model versions "
        f"{MODEL_VERSION - 1} and {MODEL_VERSION}; {way_out}"
    )
