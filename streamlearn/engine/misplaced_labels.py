"""Notices that labels lie in other partitions than their instances, because two partitioners placed their keys.

In scope ``partition`` such labels never find their instances. Nothing that the model answers depends on what is noticed
here: it looks at a sample of the records after they were applied, and starts again with the process.

A label that waits for its instance is *misplaced* when its key belongs to another partition:

- the partitioner that placed the keys of the instances is known, and gives another partition; or
- this worker has seen instances with the same key in another partition, and none in this one.

Labels that wait for other reasons, such as an instance that comes late, are not misplaced; nor is anything where both
topics use one partitioner, whichever it is. Labels that found their instance although their key belongs elsewhere show
that keys decide nothing here, as when a producer chooses partitions itself.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from streamlearn.engine.tasks.batch import AppliedBatch
from streamlearn.engine.tasks.task import Task
from streamlearn.model.model_event import ModelEvent
from streamlearn.settings.settings import Settings
from streamlearn.source.base import RawRecord

Partitioners = Mapping[str, Callable[[bytes, int], int]]
"""Name to the partition of a key among a number of partitions."""

SAMPLE_SECONDS = 1.0
INSTANCES_PER_SAMPLE = 20
LABELS_PER_SAMPLE = 50
"""Keys of a task that are hashed in each `SAMPLE_SECONDS`: a hash in plain Python takes about 10 us."""
INSTANCE_WINDOW = 100
"""Different keys of instances from which their partitioner is judged."""
LABEL_WINDOW = 200
LEAST_KEYS = 20
"""Different keys of instances, and misplaced labels, below which nothing is judged."""
AGREEING_SHARE = 0.95
"""Share of the keys that a partitioner must place: single records may have been placed by hand."""
MISPLACED_SHARE = 0.1
"""Least share of misplaced labels; and of the labels that contradict them, the share that is tolerated."""
REMEMBERED_KEYS = 10_000


class Misplacement(NamedTuple):
    """Labels of a task that lie in another partition than their instances.

    ``misplaced`` of the last ``examined`` labels are; ``instances`` and ``labels`` name the partitioners, empty where
    they are not known; ``example`` is one of these labels.
    """

    task: int
    misplaced: int
    examined: int
    instances: str
    labels: str
    example: RawRecord

    @property
    def share(self) -> float:
        """The share of the examined labels."""
        return self.misplaced / self.examined

    def describe(self, instances_topic: str) -> str:
        """Return what is wrong, and what to do."""
        topic, number = self.example.topic, self.example.partition
        partitioners = ""
        if self.instances or self.labels:
            shown = [name or "another partitioner" for name in (self.instances, self.labels)]
            partitioners = f" ({instances_topic} is partitioned by {shown[0]}, {topic} by {shown[1]})"
        return (
            f"{self.misplaced} of the last {self.examined} labels of {topic}[{number}] wait for instances of other "
            f"partitions, such as the one at offset {self.example.offset}: their keys are placed by another "
            f"partitioner{partitioners}. Configure one partitioner in the producers of both topics"
        )

    def event(self, row: int) -> ModelEvent:
        """Return the event, at a learnt row."""
        return ModelEvent(
            op=0,
            row=row,
            kind="partitioner",
            scope="model",
            name=f"instances: {self.instances or 'unknown'}; labels: {self.labels or 'unknown'}",
            signal="misplaced_labels",
            direction="worse",
            before=0.0,
            after=self.share,
            n=self.examined,
            since_row=row,
            action="none",
        )


class _Placed(NamedTuple):
    """An examined label."""

    record: RawRecord
    agreeing: frozenset[str]  # partitioners that give its partition
    is_waiting: bool
    is_elsewhere: bool  # instances with its key were seen in another partition only


class _RecentKeys:
    """Hashes of the last `REMEMBERED_KEYS` to twice as many keys."""

    def __init__(self) -> None:
        self._new: set[int] = set()
        self._old: set[int] = set()

    def add(self, key: bytes) -> None:
        self._new.add(hash(key))
        if len(self._new) >= REMEMBERED_KEYS:
            self._new, self._old = set(), self._new

    def __contains__(self, key: bytes) -> bool:
        code = hash(key)
        return code in self._new or code in self._old


class _Window:
    """What is known of the last records of a task."""

    def __init__(self) -> None:
        self.keys = _RecentKeys()
        self.instances: dict[int, frozenset[str]] = {}  # by hash of the key, oldest first: partitioners that agree
        self.labels: deque[_Placed] = deque(maxlen=LABEL_WINDOW)
        self.sampled = float("-inf")
        self.instances_left = self.labels_left = 0

    def mark_adopted(self, adopted: Collection[tuple[int, int]]) -> None:
        """Note that labels wait no longer, by partition and offset."""
        for index, label in enumerate(self.labels):
            if (label.record.partition, label.record.offset) in adopted:
                self.labels[index] = _Placed(label.record, label.agreeing, False, label.is_elsewhere)


class MisplacedLabels:
    """Examines a sample of the records of each task.

    Parameters
    ----------
    settings:
        ``engine.scope`` and the names of the inputs are read.
    partitioners:
        The partitioners to look for.
    monotonic:
        Monotonic clock in seconds, for the sampling.
    """

    def __init__(
        self, settings: Settings, partitioners: Partitioners, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._instances, self._labels = settings.topics.instances, settings.topics.labels
        self._is_relevant = bool(self._labels) and settings.engine.scope == "partition"
        self._partitioners = partitioners
        self._monotonic = monotonic
        self._windows: dict[int, _Window] = {}

    def keep(self, tasks: Collection[int]) -> None:
        """Forget the records of tasks that this worker no longer has."""
        self._windows = {number: window for number, window in self._windows.items() if number in tasks}

    def note(self, task: Task, applied: AppliedBatch) -> Misplacement | None:
        """Examine records of a batch; return what is wrong with the labels of its task."""
        identity = task.topics.get(self._instances)
        if not self._is_relevant or identity is None or identity.partitions < 2:
            return None
        window = self._windows.setdefault(task.number, _Window())
        moment = self._monotonic()
        if moment >= window.sampled + SAMPLE_SECONDS:
            window.sampled = moment
            window.instances_left, window.labels_left = INSTANCES_PER_SAMPLE, LABELS_PER_SAMPLE
        if applied.adopted:
            window.mark_adopted(applied.adopted)
        for record in applied.records:
            if not record.key:
                continue
            if record.topic == self._instances:
                window.keys.add(record.key)
                if window.instances_left and hash(record.key) not in window.instances:
                    window.instances_left -= 1
                    self._examine_instance(window, record, identity.partitions)
            elif window.labels_left:
                window.labels_left -= 1
                is_waiting = (record.partition, record.offset) in applied.orphans
                window.labels.append(self._examine_label(window, record, identity.partitions, is_waiting=is_waiting))
        return self._judge(task.number, window)

    def _examine_instance(self, window: _Window, record: RawRecord, count: int) -> None:
        assert record.key is not None
        window.instances[hash(record.key)] = self._agreeing(record, count)
        if len(window.instances) > INSTANCE_WINDOW:
            del window.instances[next(iter(window.instances))]

    def _examine_label(self, window: _Window, record: RawRecord, count: int, *, is_waiting: bool) -> _Placed:
        key = record.key or b""
        others = (other for other in self._windows.values() if other is not window)
        is_elsewhere = key not in window.keys and any(key in other.keys for other in others)
        return _Placed(record, self._agreeing(record, count), is_waiting, is_elsewhere)

    def _agreeing(self, record: RawRecord, count: int) -> frozenset[str]:
        """Return the partitioners that give the partition in which a record lies."""
        key = record.key or b""
        return frozenset(
            name for name, partition_of in self._partitioners.items() if partition_of(key, count) == record.partition
        )

    def _judge(self, number: int, window: _Window) -> Misplacement | None:
        known = self._common([*window.instances.values()])

        def belongs_elsewhere(label: _Placed) -> bool:
            return label.is_elsewhere or (bool(known) and known.isdisjoint(label.agreeing))

        misplaced = [label for label in window.labels if label.is_waiting and belongs_elsewhere(label)]
        if len(misplaced) < max(LEAST_KEYS, MISPLACED_SHARE * len(window.labels)):
            return None
        contradicting = sum(belongs_elsewhere(label) for label in window.labels if not label.is_waiting)
        if contradicting > MISPLACED_SHARE * len(misplaced):
            return None
        of_labels = self._common([label.agreeing for label in window.labels])
        return Misplacement(
            number,
            len(misplaced),
            len(window.labels),
            ", ".join(sorted(known)),
            ", ".join(sorted(of_labels)),
            misplaced[-1].record,
        )

    def _common(self, agreeing: Collection[frozenset[str]]) -> frozenset[str]:
        """Return the partitioners that place nearly all of the keys; none of too few keys."""
        if len(agreeing) < LEAST_KEYS:
            return frozenset()
        return frozenset(
            name
            for name in self._partitioners
            if sum(name in names for names in agreeing) >= AGREEING_SHARE * len(agreeing)
        )
