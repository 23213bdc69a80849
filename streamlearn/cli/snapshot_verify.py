"""Proving snapshots against the journal on Kafka, for ``streamlearn snapshot verify --against-journal``."""

from __future__ import annotations

import os
from collections.abc import Sequence

from streamlearn.engine.recovery.verify_snapshot import verify_against_journal
from streamlearn.errors import UsageError
from streamlearn.kafka.admin.reachability import check_admission
from streamlearn.kafka.source import KafkaSource
from streamlearn.settings.settings import Settings
from streamlearn.snapshot.store import SnapshotEntry, SnapshotStore


class Prover:
    """Snapshots at one location, and a connection to the journal that they are of.

    Parameters
    ----------
    settings:
        The settings of the workers that wrote them.
    target:
        A snapshot at ``snapshot.location``, or another location; None for all at ``snapshot.location``.
    """

    def __init__(self, settings: Settings, target: str | None) -> None:
        self._settings = settings
        one = target if target is not None and target.endswith(".npz") else None
        self.store = SnapshotStore(settings.snapshot.location if target is None or one else target)
        self.entries: Sequence[SnapshotEntry] = self.store.list()
        if one is not None:
            self.entries = [entry for entry in self.entries if entry.path in (one, os.path.abspath(one))]
        if not self.entries:
            raise UsageError(
                f"no snapshot {one or ''} at {self.store.location}: the one before it must lie there too; "
                "`streamlearn snapshot list` shows which there are"
            )
        check_admission(settings)
        self._source = KafkaSource(settings).observer()

    def proof(self, entry: SnapshotEntry) -> str:
        """Return what can be proven of a snapshot; errors as `verify_against_journal`."""
        group = self._settings.kafka.group_id
        if entry.group != group:
            return f"not proven: it is of group {entry.group}, the settings name {group}"
        proof = verify_against_journal(self._settings, self._source, self.store, entry)
        if proof.result == "recorded":
            return f"the journal has its chain; not applied again: {proof.text}"
        return f"proven: {proof.text}" if proof.result == "replayed" else f"not proven: {proof.text}"

    def close(self) -> None:
        """Disconnect."""
        self._source.close(leave=False)
