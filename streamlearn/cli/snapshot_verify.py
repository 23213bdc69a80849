"""Verification of snapshots against the journal on Kafka, for ``streamlearn snapshot verify --against-journal``."""

from __future__ import annotations

import os
from collections.abc import Sequence

from streamlearn.engine.recovery.verify_snapshot import verify_against_journal
from streamlearn.errors import UsageError
from streamlearn.kafka.admin.reachability import check_reachable
from streamlearn.kafka.source import KafkaSource
from streamlearn.settings.settings import Settings
from streamlearn.snapshot.store import SnapshotEntry, SnapshotStore


class JournalVerifier:
    """Verifies the snapshots at one location by replaying their journal on Kafka.

    Parameters
    ----------
    settings:
        The settings of the workers that wrote them.
    target:
        A snapshot file (.npz) at ``snapshot.location``, or another location; None for all at ``snapshot.location``.

    Attributes
    ----------
    store:
        The snapshots at the location.
    entries:
        The snapshots to verify.

    Raises
    ------
    UsageError
        When there is no such snapshot.
    """

    def __init__(self, settings: Settings, target: str | None) -> None:
        self._settings = settings
        file = target if target is not None and target.endswith(".npz") else None
        self.store = SnapshotStore(settings.snapshot.location if target is None or file else target)
        self.entries: Sequence[SnapshotEntry] = self.store.list()
        if file is not None:
            self.entries = [entry for entry in self.entries if entry.path in (file, os.path.abspath(file))]
        if not self.entries:
            raise UsageError(
                f"no snapshot {file or ''} at {self.store.location}, where older ones to replay from must be too; "
                "`streamlearn snapshot list` shows what is there"
            )
        check_reachable(settings)
        self._source = KafkaSource(settings).observer()

    def verify(self, entry: SnapshotEntry) -> str:
        """Replay the journal for a snapshot and return what that proves.

        Raises what `engine.recovery.verify_snapshot.verify_against_journal` raises.
        """
        group = self._settings.kafka.group_id
        if entry.group != group:
            return f"not proven: it belongs to group {entry.group}, kafka.group_id is {group}"
        proof = verify_against_journal(self._settings, self._source, self.store, entry)
        if proof.result == "recorded":
            return f"the journal has its chain; not applied again: {proof.text}"
        return f"proven: {proof.text}" if proof.result == "replayed" else f"not proven: {proof.text}"

    def close(self) -> None:
        """Disconnect."""
        self._source.close(leave=False)
