"""The engine's observer interface: what metrics, a live view or a test is called with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from streamlearn.engine.recovery.snapshot_writer import SnapshotStats
from streamlearn.engine.standby import StandbyStatus
from streamlearn.engine.tasks.batch import AppliedBatch
from streamlearn.engine.tasks.task import Task
from streamlearn.telemetry.attempts import Attempt


class EngineObserver(Protocol):
    """Called by the engine, from its thread; `on_failure` also from that of a stand-by."""

    def on_applied(self, task: Task, applied: AppliedBatch, learn_seconds: float) -> None:
        """A batch was applied; it is not committed yet."""
        ...

    def on_committed(self, tasks: Mapping[int, Task], batch_seconds: float, commit_seconds: float) -> None:
        """The batches of these tasks were committed."""
        ...

    def on_loop(self, tasks: Mapping[int, Task]) -> None:
        """The loop begins another iteration, whether or not records came."""
        ...

    def on_role(self, role: str, tasks: Mapping[int, Task]) -> None:
        """The worker has another role, and holds these tasks.

        ``unassigned``: the group has taken its partitions, and has not assigned others yet; ``restoring``: it gets the
        models of its partitions; ``active``; ``stand-by``: it has no partitions; ``stopping``.
        """
        ...

    def on_standby(self, status: StandbyStatus) -> None:
        """The worker stands by with this status; called about every second."""
        ...

    def on_restore_progress(self, rows: int, share: float) -> None:
        """A restore has replayed ``rows`` rows, and this share, from 0 to 1, of its batches."""
        ...

    def on_lag(self, records: int | None, seconds: float | None) -> None:
        """So many committed input records are not applied yet; the last applied one is so old.

        None when that is not known: no broker answers, or the worker is not active.
        """
        ...

    def on_failure(self, what: Attempt, error: Exception) -> None:
        """Brokers were asked for something, and it failed."""
        ...

    def on_retry(self, what: Attempt) -> None:
        """Something that failed is tried again."""
        ...

    def on_aborted(self) -> None:
        """A transaction of this worker turned out not to be committed."""
        ...

    def on_upgrade(self) -> None:
        """A model was upgraded to another model version, with rows applied once more; it is committed next."""
        ...

    def on_snapshots(self, failures: int, last: SnapshotStats | None) -> None:
        """So many snapshots could not be written since the start; ``last`` is the last one that was."""
        ...


class NullObserver:
    """Does nothing."""

    def on_applied(self, task: Task, applied: AppliedBatch, learn_seconds: float) -> None: ...

    def on_committed(self, tasks: Mapping[int, Task], batch_seconds: float, commit_seconds: float) -> None: ...

    def on_loop(self, tasks: Mapping[int, Task]) -> None: ...

    def on_role(self, role: str, tasks: Mapping[int, Task]) -> None: ...

    def on_standby(self, status: StandbyStatus) -> None: ...

    def on_restore_progress(self, rows: int, share: float) -> None: ...

    def on_lag(self, records: int | None, seconds: float | None) -> None: ...

    def on_failure(self, what: Attempt, error: Exception) -> None: ...

    def on_retry(self, what: Attempt) -> None: ...

    def on_aborted(self) -> None: ...

    def on_upgrade(self) -> None: ...

    def on_snapshots(self, failures: int, last: SnapshotStats | None) -> None: ...
