"""The ways to a committed mark: each snapshot of the model with the journal after it, and the model's beginning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from streamlearn._version import MODEL_VERSION
from streamlearn.engine.journal import records as journal
from streamlearn.engine.journal.lineage import find_upgrades, last_rollback, last_rollback_went_to, path_to
from streamlearn.engine.journal.model_versions import version_after, versions_to_replay
from streamlearn.engine.journal.reader import JournalEntry, JournalReader
from streamlearn.engine.recovery.snapshot_manifest import check_in_journal, mark_of, model_version_of
from streamlearn.errors import OtherVersionError, OutOfReachError, SnapshotError
from streamlearn.migrations.registry import is_readable
from streamlearn.settings.settings import Settings
from streamlearn.snapshot.store import SnapshotEntry, SnapshotStore
from streamlearn.source.base import Source


class SnapshotPath(NamedTuple):
    """A start, and the journal entries from there to the committed mark.

    ``entry`` and ``manifest`` are those of a snapshot, None and empty for the model's beginning. ``model_version`` is
    the version of the state at the start.
    """

    entry: SnapshotEntry | None
    manifest: Mapping[str, Any]
    model_version: int
    entries: Sequence[JournalEntry]
    origin: str  # names the start in messages

    @property
    def start(self) -> journal.Mark:
        """The mark of the start."""
        return journal.START if self.entry is None else mark_of(self.entry)

    @property
    def start_text(self) -> str:
        """The start in words: the snapshot's path, or the model's beginning."""
        return "the model's beginning" if self.entry is None else self.entry.path

    @property
    def final_version(self) -> int:
        """The model version that is in force at the committed mark."""
        return version_after(self.model_version, self.entries)

    @property
    def can_replay(self) -> bool:
        """Whether this release reaches the committed mark with the same bits."""
        return is_readable(self.model_version) and versions_to_replay(self.model_version, self.entries) <= {
            MODEL_VERSION
        }

    @property
    def can_upgrade(self) -> bool:
        """Whether this release may apply the rows since the start once more: all are of a version before that it reads,
        and no other upgrade lies between."""
        return (
            is_readable(self.model_version)
            and self.model_version < MODEL_VERSION
            and self.final_version == self.model_version
            and not find_upgrades(self.entries)
        )


class SnapshotPaths:
    """Finds the ways to a committed mark.

    Parameters
    ----------
    settings:
        The settings of this run.
    source:
        Where the journal is read.
    store:
        Snapshots; None when there is no store.
    may_be_longer:
        The model is another worker's, which continues: the journal may be longer than what was committed.

    Attributes
    ----------
    refused:
        Why snapshots could not be used, a sentence each.
    """

    def __init__(
        self, settings: Settings, source: Source, store: SnapshotStore | None, *, may_be_longer: bool = False
    ) -> None:
        self._settings = settings
        self._source = source
        self._store = store
        self._may_be_longer = may_be_longer
        self.refused: list[str] = []

    def from_snapshots(self, number: int, committed: journal.Mark) -> Iterator[SnapshotPath | SnapshotError]:
        """Yield the ways from snapshots, from the newest on; an error for a snapshot that does not lead to the mark."""
        if self._store is None:
            return
        group = self._settings.kafka.group_id
        for entry in sorted(self._store.list(group, None, number), key=lambda entry: -entry.seq):
            try:
                manifest = self._store.read_manifest(entry)
                entries = self._journal_after(entry, manifest, committed)
                yield SnapshotPath(entry, manifest, model_version_of(manifest), entries, entry.path)
            except SnapshotError as error:
                yield error

    def from_beginning(self, number: int, committed: journal.Mark) -> SnapshotPath:
        """Return the way from the model's beginning.

        Raises
        ------
        JournalError
            When the journal cannot be read.
        OutOfReachError
            When the log no longer has the whole journal.
        """
        where = f"{self._settings.journal_topic}[{number}]"
        reader = JournalReader(self._source, self._settings.journal_topic, number)
        entries = reader.since_lineage()
        if not entries:
            refused = "".join(f"; {reason}" for reason in self.refused)
            rollback = last_rollback(reader.entries)
            rolled_back = "" if rollback is None else f"; the model was rolled back to {rollback.to}"
            way_out = "a snapshot back" if rollback is None else "that snapshot or one since then back"
            raise OutOfReachError(
                f"task {number} is committed at {committed}, but there is no usable snapshot under "
                f"{self._settings.snapshot.location}, and {where} no longer has the model's beginning"
                f"{refused}{rolled_back}: put {way_out}, or begin a new model with another kafka.group_id"
            )
        lineage = entries[0].record
        assert isinstance(lineage, journal.LineageRecord)
        try:
            path = path_to(self._up_to_committed(entries, committed), journal.START, where)
        except OutOfReachError as error:
            refused = "".join(f"; {reason}" for reason in self.refused)
            raise OutOfReachError(
                f"{error}{refused}: put that snapshot back, or one since then, or go back to another one with "
                "`streamlearn snapshot rollback`"
            ) from error
        return SnapshotPath(None, {}, lineage.model_version, path, where)

    def _journal_after(
        self, entry: SnapshotEntry, manifest: Mapping[str, Any], committed: journal.Mark
    ) -> list[JournalEntry]:
        """Return the journal entries from a snapshot to the committed mark.

        Raises
        ------
        SnapshotError
            When the snapshot does not lead to the committed mark.
        """
        if entry.seq > committed.seq:
            raise SnapshotError(f"{entry.path} is of sequence {entry.seq}, beyond the committed {committed.seq}")
        if entry.seq == committed.seq and entry.chain != committed.chain:
            raise SnapshotError(f"{entry.path} has the chain {entry.chain}, committed is {committed.chain}")
        offset = manifest["journal_offset"]
        reader = JournalReader(self._source, self._settings.journal_topic, entry.task, offset)
        entries = reader.entries
        if is_kept := offset >= reader.log_start:
            check_in_journal(entry, entries[0] if entries and entries[0].offset == offset else None)
            entries = entries[1:]
        if any(isinstance(later.record, journal.LineageRecord) for later in entries):
            raise SnapshotError(f"{entry.path} is of lineage {entry.lineage}; a new model was started after it")
        entries = self._up_to_committed(entries, committed)
        if not is_kept and entry.seq != committed.seq and not last_rollback_went_to(entries, mark_of(entry)):
            raise SnapshotError(f"{entry.path} is older than the journal, which begins at offset {reader.log_start}")
        return path_to(entries, mark_of(entry), entry.path)

    def _up_to_committed(self, entries: list[JournalEntry], committed: journal.Mark) -> list[JournalEntry]:
        """Return the entries up to the committed mark; later ones are an error of the replay unless the journal may be
        longer."""
        if not self._may_be_longer:
            return entries
        is_committed = (
            isinstance(entry.record, journal.NumberedRecord) and entry.record.seq <= committed.seq for entry in entries
        )
        return entries[: max((index + 1 for index, inside in enumerate(is_committed) if inside), default=0)]


def other_version(path: SnapshotPath) -> OtherVersionError:
    """Return the error that this release does not lead from a start to the committed mark."""
    found = path.final_version
    if found == MODEL_VERSION:
        others = sorted(versions_to_replay(path.model_version, path.entries) - {MODEL_VERSION}) or [path.model_version]
        return OtherVersionError(
            f"{path.origin}: batches after it were computed by model version {', '.join(map(str, others))}, and this "
            f"release computes version {MODEL_VERSION}: put a later snapshot back"
        )
    if found > MODEL_VERSION:
        way_out = (
            f"run a release of model version {found}, or go back with this one to a snapshot of its own by "
            "`streamlearn snapshot rollback`"
        )
    elif path.can_upgrade:
        way_out = (
            f"run the release of model version {found} once more with `streamlearn run --drain`, or, when it cannot "
            "run, `streamlearn upgrade`"
        )
    else:
        way_out = (
            f"this release reads version {MODEL_VERSION - 1}: run `streamlearn run --drain` with the release that "
            "computed it, then upgrade one model version after the other"
        )
    return OtherVersionError(
        f"{path.origin}: the model is of model version {found}, and this release computes version {MODEL_VERSION}: "
        f"{way_out}"
    )
