"""Upgrades a model whose rows since the last snapshot were computed by the model version before.

`Restore` has applied those rows once more, without output. The upgrade is committed like a batch without records: its
journal record takes the next sequence number, and names the snapshot that it began with and the chain that the rows
gave. Restoring the model gives the same state from that snapshot or from any after the upgrade.
"""

from __future__ import annotations

from streamlearn._version import MODEL_VERSION, __version__
from streamlearn.codec.encode import encode_event
from streamlearn.engine.commit import CommitPart
from streamlearn.engine.journal import records as journal
from streamlearn.engine.journal.model_versions import count_rows
from streamlearn.engine.recovery.snapshot_paths import SnapshotPath
from streamlearn.engine.tasks.event_records import event_record
from streamlearn.engine.tasks.task import Task
from streamlearn.model.model_event import ModelEvent
from streamlearn.sink.base import OutputRecord
from streamlearn.source.base import Committed, Source


def apply_upgrade(
    task: Task, path: SnapshotPath, committed: journal.Mark, now_ns: int, source: Source
) -> tuple[CommitPart, journal.UpgradeRecord]:
    """Move a task to the mark of its upgrade; return the part of the transaction that commits it, and the record.

    Parameters
    ----------
    task:
        The task that `Restore.run` returned, with the rows applied once more.
    path:
        The way of these rows, `Restore.upgraded_from`.
    committed:
        The committed mark.
    now_ns:
        The clock to journal, in nanoseconds since the epoch.
    source:
        Knows the leader epochs of the positions.
    """
    rows = count_rows(path.entries)
    record = journal.UpgradeRecord(
        journal.VERSION,
        task.number,
        committed.seq + 1,
        committed.chain,
        path.start,
        path.model_version,
        MODEL_VERSION,
        __version__,
        rows,
        task.mark.chain,
        [journal.Position(*partition, offset) for partition, offset in sorted(task.positions.items())],
        max(now_ns, task.now_ns),
    ).with_chain()
    task.apply_upgrade(record)
    topics = task.settings.topics
    event = encode_event(event_record(_event(task, record), record.now))
    outputs = [
        OutputRecord(topics.events, 0, None, event),
        OutputRecord(task.settings.journal_topic, task.number, None, journal.encode(record)),
    ]
    positions = {
        partition: Committed(offset, str(record.mark), source.leader_epoch(partition, offset))
        for partition, offset in task.positions.items()
    }
    return CommitPart(task.number, outputs, positions, committed, record.mark, was_sent=False), record


def _event(task: Task, record: journal.UpgradeRecord) -> ModelEvent:
    learned = task.model.learned
    return ModelEvent(
        op=0,
        row=learned,
        kind="upgrade",
        scope="model",
        name="",
        signal="model_version",
        direction="none",
        before=float(record.from_version),
        after=float(record.to_version),
        n=record.rows,
        since_row=max(0, learned - record.rows),
        action="upgrade",
    )
