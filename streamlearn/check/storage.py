"""Checks that snapshots can be written."""

from __future__ import annotations

from streamlearn.errors import SnapshotError, UsageError
from streamlearn.settings.settings import Settings
from streamlearn.snapshot.store import SnapshotStore


def find_storage_faults(settings: Settings) -> list[str]:
    """Return what is wrong with `snapshot.location`, a sentence each; a small file is written, read and removed."""
    try:
        SnapshotStore(settings.snapshot.location, settings.snapshot.keep).check()
    except (SnapshotError, UsageError) as error:
        return [str(error)]
    return []
