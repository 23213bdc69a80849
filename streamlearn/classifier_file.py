"""The file of a classifier: a snapshot whose manifest has the parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np
from river import base

from streamlearn._version import MODEL_VERSION, __version__
from streamlearn.arguments.parameters import SETTING_OF, settings_of
from streamlearn.errors import SnapshotError
from streamlearn.migrations.registry import migrate_classifier
from streamlearn.snapshot.format import SnapshotFile, read_snapshot, write_snapshot
from streamlearn.state.names import name_from_json

NAME_LISTS = ("labels", "text_fields")
"""Parameters that are lists of names."""


def write_classifier(file: SnapshotFile, arrays: Mapping[str, np.ndarray], parameters: Mapping[str, Any]) -> None:
    """Write a classifier; a drift detector of river becomes None. Errors as `write_snapshot`."""
    values = {name: value.item() if isinstance(value, np.generic) else value for name, value in parameters.items()}
    if isinstance(values["drift_detector"], base.DriftDetector):
        values["drift_detector"] = None
    write_snapshot(file, arrays, {"model_version": MODEL_VERSION, "release": __version__, "classifier": values})


def read_classifier(file: BinaryIO, origin: str) -> tuple[dict[str, Any], Mapping[str, np.ndarray]]:
    """Return the parameters and the arrays of a classifier; ``origin`` names the file in errors.

    What the model version before wrote is migrated.

    Raises
    ------
    SnapshotError
        When the file is not a snapshot of a classifier, is broken, has a newer format, or is of a model version that
        this release does not read.
    """
    manifest, stored = read_snapshot(file, origin)
    written = manifest.get("classifier")
    if not isinstance(written, dict):
        raise SnapshotError(f"{origin} is a snapshot of a service, not of a classifier: use it with `streamlearn run`")
    try:
        migrated, arrays = migrate_classifier(manifest.get("model_version", 0), written, settings_of(written), stored)
    except SnapshotError as error:
        raise SnapshotError(f"{origin}: {error}") from None
    parameters = dict(migrated)
    unknown = sorted(set(parameters) - {*SETTING_OF, *NAME_LISTS})
    if unknown:
        raise SnapshotError(
            f"{origin} was saved with {', '.join(unknown)}, which this release does not have: upgrade streamlearn"
        )
    for name in NAME_LISTS:
        if isinstance(parameters.get(name), list):
            try:
                parameters[name] = tuple(map(name_from_json, parameters[name]))
            except ValueError as error:
                raise SnapshotError(f"{origin}: {name} has {error.args[0]!r}, which is no name") from None
    return parameters, arrays
