"""Which of the journal's records lead to a committed point, where rollbacks have left others aside.

A rollback continues from an earlier point: the batches in between are no part of the model's past any more. A point is
reached from the beginning, or from any snapshot that is not of such a batch.
"""

from __future__ import annotations

from collections.abc import Sequence

from streamlearn.engine.journal import records as journal
from streamlearn.engine.journal.reader import Entry
from streamlearn.errors import JournalError, SnapshotError


def path_to(entries: Sequence[Entry], start: journal.Mark, origin: str) -> list[Entry]:
    """Return those of the entries that lead from a point to where they end.

    Parameters
    ----------
    entries:
        The journal's records behind the point, or, where it no longer has all of them, the last ones.
    start:
        The point.
    origin:
        What is at the point, to be named.

    Raises
    ------
    JournalError
        When a rollback names a point that the journal does not have.
    SnapshotError
        When the point is of what a rollback left aside.
    """
    parts: list[Sequence[Entry]] = []
    while (place := _place_of_last(entries)) >= 0:
        record = entries[place].record
        assert isinstance(record, journal.RollbackRecord)
        parts.append(entries[place:])
        to = record.to
        if (to.seq, to.chain) == (start.seq, start.chain):
            entries = []
            break
        if to.seq <= start.seq:
            raise SnapshotError(
                f"{origin} is of sequence {start.seq}, which the rollback to {to.seq}:{to.chain} at sequence "
                f"{record.seq} left aside"
            )
        entries = _up_to(entries[:place], to)
    parts.append(entries)
    return [entry for part in reversed(parts) for entry in part]


def last_rollback(entries: Sequence[Entry]) -> journal.RollbackRecord | None:
    """Return the last rollback among the journal's records."""
    place = _place_of_last(entries)
    record = entries[place].record if place >= 0 else None
    return record if isinstance(record, journal.RollbackRecord) else None


def goes_back_to(entries: Sequence[Entry], point: journal.Mark) -> bool:
    """Return whether the last rollback went to a point, so that nothing before the rollback is needed."""
    last = last_rollback(entries)
    return last is not None and (last.to.seq, last.to.chain) == (point.seq, point.chain)


def _place_of_last(entries: Sequence[Entry]) -> int:
    for place in range(len(entries) - 1, -1, -1):
        if isinstance(entries[place].record, journal.RollbackRecord):
            return place
    return -1


def _up_to(entries: Sequence[Entry], point: journal.Point) -> Sequence[Entry]:
    for place, entry in enumerate(entries):
        record = entry.record
        if isinstance(record, journal.NumberedRecord) and record.seq == point.seq:
            if record.chain != point.chain:
                break
            return entries[: place + 1]
    raise JournalError(
        f"a rollback went to {point.seq}:{point.chain}, and the journal does not have that point; put the snapshot "
        f"{point.seq}-{point.chain}.npz back"
    )
