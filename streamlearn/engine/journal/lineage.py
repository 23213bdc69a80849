"""Selects the journal entries on the path to a mark, skipping those that a rollback abandoned.

A rollback continues from an earlier mark: the batches in between are no longer part of the model's past. The path
starts at the model's first record, or at any snapshot that no rollback abandoned. Across an upgrade it starts at the
upgrade's base alone: another snapshot would give other bits.
"""

from __future__ import annotations

from collections.abc import Sequence

from streamlearn.engine.journal import records as journal
from streamlearn.engine.journal.reader import JournalEntry
from streamlearn.errors import JournalError, OutOfReachError


def path_to(entries: Sequence[JournalEntry], start: journal.Mark, origin: str) -> list[JournalEntry]:
    """Return the entries on the path from a mark to the last entry.

    Parameters
    ----------
    entries:
        The journal after ``start``, or, where the log no longer has all of it, the last part.
    start:
        The mark at which the path starts.
    origin:
        What has the state of ``start``, for error messages.

    Raises
    ------
    JournalError
        When a rollback went to a mark that the journal does not have.
    OutOfReachError
        When a rollback abandoned ``start``, or an upgrade after it had another base.
    """
    parts: list[Sequence[JournalEntry]] = []
    while (index := _last_rollback_index(entries)) >= 0:
        record = entries[index].record
        assert isinstance(record, journal.RollbackRecord)
        parts.append(entries[index:])
        if record.to == start:
            entries = []
            break
        if record.to.seq <= start.seq:
            raise OutOfReachError(
                f"{origin} is of sequence {start.seq}, which the rollback to {record.to} at sequence {record.seq} "
                "abandoned"
            )
        entries = _up_to(entries[:index], record.to)
    parts.append(entries)
    path = [entry for part in reversed(parts) for entry in part]
    for upgrade in find_upgrades(path):
        if upgrade.base != start:
            raise OutOfReachError(
                f"{origin} is of sequence {start.seq}, and the upgrade to model version {upgrade.to_version} at "
                f"sequence {upgrade.seq} began at {upgrade.base}: only the snapshot {_file_of(upgrade.base)} leads "
                "across it"
            )
    return path


def find_upgrades(entries: Sequence[JournalEntry]) -> list[journal.UpgradeRecord]:
    """Return the upgrades among entries."""
    return [entry.record for entry in entries if isinstance(entry.record, journal.UpgradeRecord)]


def last_rollback(entries: Sequence[JournalEntry]) -> journal.RollbackRecord | None:
    """Return the last rollback among entries."""
    index = _last_rollback_index(entries)
    record = entries[index].record if index >= 0 else None
    return record if isinstance(record, journal.RollbackRecord) else None


def last_rollback_went_to(entries: Sequence[JournalEntry], mark: journal.Mark) -> bool:
    """Return whether the last rollback went to a mark, so that no entry before the rollback is needed."""
    last = last_rollback(entries)
    return last is not None and last.to == mark


def _last_rollback_index(entries: Sequence[JournalEntry]) -> int:
    """Return the index of the last rollback, or -1."""
    for index in range(len(entries) - 1, -1, -1):
        if isinstance(entries[index].record, journal.RollbackRecord):
            return index
    return -1


def _up_to(entries: Sequence[JournalEntry], mark: journal.Mark) -> Sequence[JournalEntry]:
    """Return the entries up to the one with a mark."""
    for index, entry in enumerate(entries):
        record = entry.record
        if isinstance(record, journal.NumberedRecord) and record.seq == mark.seq:
            if record.chain != mark.chain:
                break
            return entries[: index + 1]
    raise JournalError(
        f"a rollback went to {mark}, which the journal does not have; put the snapshot {_file_of(mark)} back"
    )


def _file_of(mark: journal.Mark) -> str:
    """Return the name of a snapshot's file."""
    return f"{mark.seq}-{mark.chain}.npz"
