"""An in-memory log with a seeded stream, and engines on it that fail at points chosen by a test."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from streamlearn.engine.loop.engine import Engine
from streamlearn.engine.loop.watchdog import Watchdog
from streamlearn.engine.observer import EngineObserver, NullObserver
from streamlearn.engine.standby import StandbyStatus
from streamlearn.settings.settings import Settings
from streamlearn.sink.base import OutputRecord
from streamlearn.sink.memory import MemorySink
from streamlearn.snapshot.store import SnapshotStore
from streamlearn.source.base import AssignmentChange, Committed, RawRecord, TopicPartition
from streamlearn.source.memory import MemorySource
from streamlearn.source.memory_log import MemoryLog

GROUP = "group"
JOURNAL = "group-journal"
LABELS = ("news", "sport", "politics", "science")
LINEAGE = "a" * 16
START_NS = 1_700_000_000_000_000_000


class Crash(BaseException):
    """The end of the process: nothing in the engine may catch it."""


class Faults:
    """Raises an error the n-th time that a point is passed.

    Points: ``open``, ``before commit``, ``after commit``, ``poll``, ``read committed``, ``applied``, ``committed``.
    ``passed`` counts how often each was passed; ``fired`` says whether the error was raised.
    """

    def __init__(self, point: str = "", times: int = 1, error: Callable[[], BaseException] = Crash) -> None:
        self._point = point
        self._left = times
        self._error = error
        self.passed: dict[str, int] = {}
        self.fired = False

    def at(self, point: str) -> None:
        self.passed[point] = self.passed.get(point, 0) + 1
        if point == self._point and self._left > 0:
            self._left -= 1
            if self._left == 0:
                self.fired = True
                raise self._error()


class FaultySink(MemorySink):
    """A memory sink that fails where `Faults` says; ``requests`` are the records of each commit that was attempted."""

    def __init__(self, log: MemoryLog, faults: Faults) -> None:
        super().__init__(log, GROUP)
        self._faults = faults
        self.requests: list[list[OutputRecord]] = []

    def open(self) -> None:
        self._faults.at("open")
        super().open()

    def commit(
        self, records: Sequence[OutputRecord], positions: Mapping[TopicPartition, Committed], token: Any
    ) -> list[int]:
        self.requests.append(list(records))
        self._faults.at("before commit")
        offsets = super().commit(records, positions, token)
        self._faults.at("after commit")
        return offsets


class FaultySource(MemorySource):
    """A memory source that fails where `Faults` says."""

    def __init__(self, log: MemoryLog, topics: Sequence[str], faults: Faults) -> None:
        super().__init__(log, topics, GROUP)
        self._faults = faults

    def poll(self, timeout_seconds: float, limit: int) -> Mapping[TopicPartition, list[RawRecord]]:
        self._faults.at("poll")
        return super().poll(timeout_seconds, limit)

    def committed(self, partitions: Any) -> dict[TopicPartition, Committed | None]:
        self._faults.at("read committed")
        return super().committed(partitions)


class WaitingSource(MemorySource):
    """A memory source whose worker has no partitions until it is promoted."""

    def __init__(self, log: MemoryLog, topics: Sequence[str]) -> None:
        super().__init__(log, topics, GROUP)
        self._promoted = threading.Event()
        self._opened = False

    def open(self) -> None:
        self._changes.append(AssignmentChange("assigned", (), GROUP))

    def promote(self) -> None:
        """Assign every partition to the worker, as the group does when the active worker is gone."""
        self._promoted.set()

    def demote(self) -> None:
        """Assign no partition to the worker."""
        self._promoted.clear()

    def poll(self, timeout_seconds: float, limit: int) -> Mapping[TopicPartition, list[RawRecord]]:
        if self._promoted.is_set() != self._opened:
            self._opened = not self._opened
            if self._opened:
                super().open()
            else:
                self._positions = {}
                self._changes.append(AssignmentChange("assigned", (), GROUP))
            return {}
        if not self._opened:
            self._promoted.wait(timeout_seconds)
            return {}
        return super().poll(timeout_seconds, limit)


class FaultyObserver(NullObserver):
    """Fails where `Faults` says, between applying and committing and after; keeps roles, the stand-by's status, and
    which attempts failed and were repeated."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self.status: StandbyStatus | None = None
        self.roles: list[str] = []
        self.attempts: list[str] = []

    def on_failure(self, what: str, error: Exception) -> None:
        self.attempts.append(f"failed: {what}")

    def on_retry(self, what: str) -> None:
        self.attempts.append(f"again: {what}")

    def on_role(self, role: str, tasks: Any) -> None:
        self.roles.append(role)

    def on_standby(self, status: StandbyStatus) -> None:
        self.status = status

    def on_applied(self, task: Any, applied: Any, learn_seconds: float) -> None:
        self._faults.at("applied")

    def on_committed(self, tasks: Any, batch_seconds: float, commit_seconds: float) -> None:
        self._faults.at("committed")


class World:
    """A log with inputs, and engines on it, one after the other, as restarts of one worker.

    Parameters
    ----------
    folder:
        Where snapshots are written.
    partitions:
        Number of partitions of every input.
    sections:
        Settings that differ from the test's defaults, by section.
    """

    def __init__(self, folder: Path, *, partitions: int = 1, **sections: dict[str, Any]) -> None:
        base: dict[str, dict[str, Any]] = {
            "kafka": {"group_id": GROUP},
            "engine": {"batch_seconds": 0.001, "batch_instances": 40},
            "features": {"maximum": 64},
            "labels": {"maximum": 16},
        }
        for name, values in sections.items():
            base.setdefault(name, {}).update(values)
        self.folder = folder
        self._tree = base
        self.settings = Settings.model_validate(base)
        self.log = MemoryLog({"instances": partitions, JOURNAL: partitions})
        if self.settings.topics.labels:
            self.log.create(self.settings.topics.labels, partitions)
        self._ticks = 0
        self.source: FaultySource
        self.sink: FaultySink

    def change(self, **sections: dict[str, Any]) -> None:
        """Change settings for later engines."""
        for name, values in sections.items():
            self._tree.setdefault(name, {}).update(values)
        self.settings = Settings.model_validate(self._tree)

    def clock(self) -> int:
        """Return a time that advances by one second per call."""
        self._ticks += 1
        return START_NS + self._ticks * 1_000_000_000

    def engine(
        self,
        faults: Faults | None = None,
        *,
        store: bool = True,
        lineage: str = LINEAGE,
        observer: EngineObserver | None = None,
        watchdog: Watchdog | None = None,
    ) -> Engine:
        """Return a worker that has just started; an observer replaces the one that fails."""
        faults = faults or Faults()
        topics = [topic for topic in (self.settings.topics.instances, self.settings.topics.labels) if topic]
        self.source = FaultySource(self.log, topics, faults)
        self.sink = FaultySink(self.log, faults)
        return Engine(
            self.settings,
            self.source,
            self.sink,
            SnapshotStore(str(self.folder)) if store else None,
            observer=observer or FaultyObserver(faults),
            clock=self.clock,
            lineage=lambda: lineage,
            watchdog=watchdog,
        )

    def waiting(self) -> tuple[Engine, WaitingSource, FaultyObserver]:
        """Return a second worker, which stands by until its source is promoted."""
        topics = [topic for topic in (self.settings.topics.instances, self.settings.topics.labels) if topic]
        source, observer = WaitingSource(self.log, topics), FaultyObserver(Faults())
        store = SnapshotStore(str(self.folder))
        sink = MemorySink(self.log, GROUP)
        return Engine(self.settings, source, sink, store, observer=observer, clock=self.clock), source, observer

    def run(self, faults: Faults | None = None, *, store: bool = True, lineage: str = LINEAGE) -> Engine:
        """Run a worker to the end of the input and return it."""
        engine = self.engine(faults, store=store, lineage=lineage)
        engine.run(stop_at_end=True)
        return engine

    def add(self, value: Any, *, topic: str = "instances", partition: int = 0, timestamp_ms: int | None = None) -> int:
        """Append an input: bytes as they are, anything else as JSON."""
        data = value if value is None or isinstance(value, bytes) else json.dumps(value).encode()
        moment = START_NS // 1_000_000 if timestamp_ms is None else timestamp_ms
        return self.log.append(topic, partition, data, timestamp_ms=moment)

    def read(self, topic: str) -> list[RawRecord]:
        """Return the records of a topic, partition by partition."""
        return [r for p in range(self.log.partitions(topic)) for r in self.log.read(TopicPartition(topic, p))]

    def predictions(self) -> list[bytes]:
        """Return the values of the predictions in order of partition and offset."""
        return [record.value or b"" for record in self.read("predictions")]

    def dead(self) -> list[tuple[str, bytes | None]]:
        """Return the reason and the value of every dead letter."""
        return [(dict(r.headers)["streamlearn.reason"].decode(), r.value) for r in self.read("dead-letters")]

    def journal(self) -> list[dict[str, Any]]:
        """Return the journal's records."""
        return [json.loads(record.value or b"") for record in self.read(JOURNAL)]


def rows(count: int, seed: int = 7) -> list[dict[str, Any]]:
    """Return seeded instances with labels that depend on their features."""
    draw = random.Random(seed)
    made = []
    for number in range(count):
        x = {f"f{i}": round(draw.uniform(-1, 1), 3) for i in range(6) if draw.random() < 0.7}
        y = [label for index, label in enumerate(LABELS) if x.get(f"f{index}", -0.2) > 0.1]
        made.append({"id": f"id{number}", "x": x, "y": y})
    return made
