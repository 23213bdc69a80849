"""Model versions along a path of the journal: which version computed each batch, and which one continues."""

from __future__ import annotations

from collections.abc import Sequence

from streamlearn.engine.journal import records as journal
from streamlearn.engine.journal.lineage import find_upgrades
from streamlearn.engine.journal.reader import JournalEntry


def version_after(version: int, path: Sequence[JournalEntry]) -> int:
    """Return the model version in force after a path that begins at a state of ``version``."""
    for entry in path:
        version = version_from(entry.record, version)
    return version


def versions_to_replay(version: int, path: Sequence[JournalEntry]) -> set[int]:
    """Return the model versions that must compute the batches of a path that begins at a state of ``version``.

    The batches before an upgrade are applied by the version that it upgraded to.
    """
    upgrades = find_upgrades(path)
    before = upgrades[-1] if upgrades else None
    versions: set[int] = set()
    for entry in path:
        if entry.record is before:
            before = None
        version = version_from(entry.record, version)
        if isinstance(entry.record, journal.BatchRecord):
            versions.add(version if before is None else before.to_version)
    return versions


def count_rows(path: Sequence[JournalEntry]) -> int:
    """Return the input records of the batches of a path."""
    return sum(sum(entry.record.n) for entry in path if isinstance(entry.record, journal.BatchRecord))


def version_from(record: journal.JournalRecord, version: int) -> int:
    """Return the model version in force from a record on; ``version`` was in force before it."""
    if isinstance(record, journal.LineageRecord):
        return record.model_version
    if isinstance(record, journal.ControlRecord) and record.model_version is not None:
        return record.model_version
    return record.to_version if isinstance(record, journal.UpgradeRecord) else version
