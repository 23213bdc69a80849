"""What the engine tells whoever counts: metrics, a live view, a test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from streamlearn.engine.recovery.snapshot_writer import Written
from streamlearn.engine.standby import StandbyStatus
from streamlearn.engine.tasks.task import Applied, Task


class EngineObserver(Protocol):
    """Observers of the engine; called from its thread."""

    def applied(self, task: Task, applied: Applied, learn_seconds: float) -> None:
        """A batch was applied; it is not committed yet."""
        ...

    def committed(self, tasks: Mapping[int, Task], batch_seconds: float, commit_seconds: float) -> None:
        """The batches of these tasks were committed."""
        ...

    def turned(self, tasks: Mapping[int, Task]) -> None:
        """The loop has turned, whether or not anything came."""
        ...

    def role(self, role: str, tasks: Mapping[int, Task]) -> None:
        """The worker is ``restoring``, ``active`` or ``stand-by``."""
        ...

    def stand_by(self, standing: StandbyStatus) -> None:
        """The worker stands by, and this is where it stands; told about every second."""
        ...

    def restored(self, rows: int, share: float) -> None:
        """So many rows were applied again so far, and this share, from 0 to 1, of the batches to apply again."""
        ...

    def lag(self, records: int, seconds: float) -> None:
        """So many committed records are not applied yet; the last applied one is so old."""
        ...

    def snapshots(self, failures: int, last: Written | None) -> None:
        """So many snapshots could not be written since the start, and this is the last one that was."""
        ...


class NullObserver:
    """Observes nothing."""

    def applied(self, task: Task, applied: Applied, learn_seconds: float) -> None: ...

    def committed(self, tasks: Mapping[int, Task], batch_seconds: float, commit_seconds: float) -> None: ...

    def turned(self, tasks: Mapping[int, Task]) -> None: ...

    def role(self, role: str, tasks: Mapping[int, Task]) -> None: ...

    def stand_by(self, standing: StandbyStatus) -> None: ...

    def restored(self, rows: int, share: float) -> None: ...

    def lag(self, records: int, seconds: float) -> None: ...

    def snapshots(self, failures: int, last: Written | None) -> None: ...
