"""An observer of the engine that sets Prometheus metrics and publishes records on the metrics topic."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence

from streamlearn.codec.encode import encode_event, encode_metrics
from streamlearn.engine.misplaced_labels import MisplacedLabels, Misplacement, Partitioners
from streamlearn.engine.recovery.snapshot_writer import SnapshotStats
from streamlearn.engine.standby import StandbyStatus
from streamlearn.engine.tasks.batch import AppliedBatch
from streamlearn.engine.tasks.event_records import event_record
from streamlearn.engine.tasks.task import Task
from streamlearn.errors import RetryableError, StopError
from streamlearn.records.metrics import Metrics
from streamlearn.settings.settings import Settings
from streamlearn.sink.base import OutputRecord
from streamlearn.telemetry.attempts import Attempt
from streamlearn.telemetry.metrics import ServiceMetrics

_logger = logging.getLogger(__name__)

MISPLACED_SECONDS = 600.0
"""Least time between two warnings that the labels of a task lie in other partitions than their instances."""


class MetricsObserver:
    """Sets the metrics of a worker, and publishes the measures of every task at intervals.

    The gauges of a worker with several models are means over the models, weighted by the number of scored rows.

    Parameters
    ----------
    metrics:
        The metrics.
    settings:
        ``topics.metrics``, ``measures.interval_seconds``, ``kafka.unready_after_seconds``, and what `MisplacedLabels`
        needs, are read.
    publish:
        Writes a record outside transactions.
    partitioners:
        The partitioners by which producers may have placed keys; by default none is known.
    answered_at:
        Returns when a broker last answered, as `Source.answered_at`; by default brokers always do.
    clock:
        Nanoseconds since the epoch.
    monotonic:
        Monotonic clock in seconds, for the interval.
    """

    def __init__(
        self,
        metrics: ServiceMetrics,
        settings: Settings,
        publish: Callable[[OutputRecord], None],
        *,
        partitioners: Partitioners | None = None,
        clock: Callable[[], int] = time.time_ns,
        monotonic: Callable[[], float] = time.monotonic,
        answered_at: Callable[[], float | None] | None = None,
    ) -> None:
        self._metrics = metrics
        self._topic = settings.topics.metrics
        self._interval = settings.measures.interval_seconds
        self._window = settings.measures.window
        self._publish = publish
        self._clock = clock
        self._monotonic = monotonic
        self._published = monotonic()
        self._publish_failed = False
        self._topics = settings.topics
        self._misplaced_labels = MisplacedLabels(settings, partitioners or {}, monotonic)
        self._misplaced_shares: dict[int, float] = {}
        self._warned: dict[int, float] = {}
        self._group = settings.kafka.group_id
        self._start_step = ""
        self._restored: tuple[int, float] | None = None
        self._standby: StandbyStatus | None = None
        self._last_snapshot: SnapshotStats | None = None
        labels, limits = settings.labels, settings.limits
        for name, bound in {
            "labels": labels.maximum,
            "features": settings.features.maximum,
            "remembered_instances": labels.pending_count,
            "remembered_bytes": labels.pending_bytes,
            "orphan_labels": labels.orphan_count,
            "orphan_bytes": labels.orphan_bytes,
            "model_bytes": limits.memory_bytes,
        }.items():
            metrics.bounds[name].set(bound)
        self._answered_at = answered_at or monotonic
        self._unready_seconds = settings.kafka.unready_after_seconds
        self._bootstrap_servers = settings.kafka.bootstrap_servers
        metrics.outage.start(monotonic, self._answered_at)
        self._set_role("starting")

    def ready(self) -> str | None:
        """Return None when the worker is active or stands by, and brokers answer.

        Otherwise return what it is doing, how far it is, or what it waits for.
        """
        role = self._role
        answered_at = self._answered_at()
        silent = 0.0 if answered_at is None else self._monotonic() - answered_at
        if silent > self._unready_seconds:
            return f"{role}: waiting for a broker of {self._bootstrap_servers}, none has answered for {silent:.0f} s"
        if role in ("active", "stand-by"):
            return None
        if role in ("starting", "unassigned"):
            return f"{role}: {self._start_step or f'waiting for an assignment of group {self._group}'}"
        if role == "restoring" and (restored := self._restored) is not None:
            return f"{role}: {restored[1]:.0%} of the batches, {restored[0]:,} rows"
        return role

    def describe(self) -> str:
        """Return the worker's role, and the status of a stand-by."""
        status = self._standby
        if status is None:
            return self._role
        if status.state == "cold":
            return f"{self._role}, cold: {status.reason}"
        if status.mark is None:
            return f"{self._role}, nothing to follow yet"
        return (
            f"{self._role}, warm: at sequence {status.mark.seq}, chain {status.mark.chain}, "
            f"{status.lag_batches} batches behind"
        )

    def on_start_step(self, text: str) -> None:
        """The worker, which has not joined the group yet, does this now; empty: it joins."""
        self._start_step = text

    def on_applied(self, task: Task, applied: AppliedBatch, learn_seconds: float) -> None:
        metrics = self._metrics
        metrics.records["predicted"].inc(applied.predicted)
        metrics.records["learned"].inc(applied.learned)
        metrics.records["corrected"].inc(applied.corrected)
        metrics.records["assumed_negative"].inc(applied.assumed)
        metrics.records["dead_letter"].inc(len(applied.letters))
        metrics.refused_again.inc(applied.replayed)
        for _, error in applied.letters:
            metrics.count_dead_letter(error.code)
        for event in applied.events:
            metrics.count_event(event.kind)
        for reason, count in applied.dropped.items():
            metrics.count_dropped(reason, count)
        for fault, count in applied.stamps.items():
            metrics.timestamps[fault].inc(count)
        metrics.learn_seconds.observe(learn_seconds)
        self._report_misplaced_labels(task, self._misplaced_labels.note(task, applied))

    def _report_misplaced_labels(self, task: Task, found: Misplacement | None) -> None:
        """Set the metric; from time to time write a line to the log, and an event."""
        self._misplaced_shares[task.number] = found.share if found else 0.0
        self._metrics.misplaced_label_share.set(max(self._misplaced_shares.values()))
        moment = self._monotonic()
        if found is None or moment < self._warned.get(task.number, -math.inf) + MISPLACED_SECONDS:
            return
        self._warned[task.number] = moment
        _logger.warning("%s", found.describe(self._topics.instances))
        event = found.event(task.model.learned)
        self._metrics.count_event(event.kind)
        record = encode_event(event_record(event, self._clock(), found.example))
        self._write(OutputRecord(self._topics.events, found.task, None, record))

    def on_committed(self, tasks: Mapping[int, Task], batch_seconds: float, commit_seconds: float) -> None:
        metrics = self._metrics
        metrics.outage.note_commit()
        metrics.batch_seconds.observe(batch_seconds)
        metrics.commit_seconds.observe(commit_seconds)
        self._set_sizes(tasks)
        metrics.set_marks([(task.mark.seq, task.mark.chain) for task in tasks.values()])

    def _set_sizes(self, tasks: Mapping[int, Task]) -> None:
        metrics = self._metrics
        metrics.labels.set(sum(len(task.model.label_names) for task in tasks.values()))
        metrics.features.set(sum(task.model.feature_count for task in tasks.values()))
        metrics.clusters.set(sum(task.model.cluster_count for task in tasks.values()))
        metrics.pending.set(sum(task.pending.waiting for task in tasks.values()))
        metrics.remembered.set(sum(len(task.pending) for task in tasks.values()))
        metrics.remembered_bytes.set(sum(task.pending.bytes for task in tasks.values()))
        metrics.evicted.set(sum(task.pending.evicted for task in tasks.values()))
        metrics.orphans.set(sum(len(task.pending.orphans) for task in tasks.values()))
        metrics.orphan_bytes.set(sum(task.pending.orphans.bytes for task in tasks.values()))

    def on_loop(self, tasks: Mapping[int, Task]) -> None:
        moment = self._monotonic()
        # A worker that has lost its partitions keeps its models for a while: it may get the same ones back.
        if self._role != "active" or not tasks or moment < self._published + self._interval:
            return
        self._published = moment
        self._set_measures(tasks)
        if self._topic:
            for task in tasks.values():
                if not self._write(self._record(task)):
                    # Each try takes its time. The next interval tries again.
                    break

    def _write(self, record: OutputRecord) -> bool:
        """Publish a record, and return whether brokers answer; it must neither stop nor delay predictions."""
        if self._publish_failed:
            self.on_retry("publish")
        try:
            self._publish(record)
        except (RetryableError, StopError, OSError) as error:
            self._publish_failed = True
            self.on_failure("publish", error)
            _logger.warning("a record was not written to %s: %s", record.topic, error)
            # Brokers that refuse a record, or an earlier one, answer.
            return isinstance(error, StopError)
        self._publish_failed = False
        return True

    def _set_measures(self, tasks: Mapping[int, Task]) -> None:
        """Set what is too expensive to compute for every batch."""
        self._metrics.model_bytes.set(sum(task.model.memory_bytes() for task in tasks.values()))
        if not tasks:
            self._metrics.clear_measures()
            return
        measures = [task.model.measures for task in tasks.values()]
        rows = [each.rows() for each in measures]
        in_window = [{name: min(n, self._window) for name, n in each.items()} for each in rows]
        self._metrics.set_measures(
            _mean([each.window_latest() for each in measures], in_window),
            _mean([each.whole() for each in measures], rows),
        )

    def _record(self, task: Task) -> OutputRecord:
        model = task.model
        record = Metrics(
            task=task.number,
            lineage=task.lineage,
            now_ns=self._clock(),
            seen=model.observed,
            learned=model.learned,
            labels=len(model.label_names),
            features=model.feature_count,
            clusters=model.cluster_count,
            pending=task.pending.waiting,
            window=model.measures.window_latest(),
            whole=model.measures.whole(),
        )
        return OutputRecord(self._topic, task.number, None, encode_metrics(record.model_dump()))

    def on_role(self, role: str, tasks: Mapping[int, Task]) -> None:
        if role == "active":
            # The first interval begins when the worker becomes active.
            self._published = self._monotonic()
        self._set_role(role)
        self._misplaced_labels.keep(tasks)
        self._misplaced_shares.clear()
        self._metrics.misplaced_label_share.set(0)
        self._standby = None
        self._metrics.set_stand_by(warm=False, lag_batches=0)
        self._metrics.set_marks([(task.mark.seq, task.mark.chain) for task in tasks.values()])
        self._set_sizes(tasks)
        if role != "stopping":
            self._set_measures(tasks if role == "active" else {})

    def _set_role(self, role: str) -> None:
        """Change the role; what only an active worker knows is unknown, and a restore has no progress yet."""
        if role != "active":
            self.on_lag(None, None)
        self._role = role
        self._restored = None
        self._metrics.set_role(role)

    def on_standby(self, status: StandbyStatus) -> None:
        role = "restoring" if status.state == "restoring" else "stand-by"
        if role != self._role:
            self._set_role(role)
            self._set_sizes({})
            self._set_measures({})
        self._standby = status
        if status.restored is not None:
            self.on_restore_progress(*status.restored)
        self._metrics.set_stand_by(warm=status.state == "following", lag_batches=status.lag_batches)
        self._metrics.set_marks([] if status.mark is None else [(status.mark.seq, status.mark.chain)])

    def on_restore_progress(self, rows: int, share: float) -> None:
        self._restored = rows, share
        self._metrics.restored_rows.set(rows)
        self._metrics.restored_share.set(share)

    def on_lag(self, records: int | None, seconds: float | None) -> None:
        self._metrics.outage.set_lag(records, seconds)

    def on_failure(self, what: Attempt, error: Exception) -> None:
        self._metrics.failures[what].inc()

    def on_retry(self, what: Attempt) -> None:
        self._metrics.retries[what].inc()

    def on_aborted(self) -> None:
        self._metrics.aborted_transactions.inc()

    def on_upgrade(self) -> None:
        self._metrics.count_event("upgrade")

    def on_snapshots(self, failures: int, last: SnapshotStats | None) -> None:
        self._metrics.snapshot_failures.set(failures)
        if last is not None and last is not self._last_snapshot:
            self._last_snapshot = last
            self._metrics.snapshot_bytes.set(last.size_bytes)
            self._metrics.snapshot_seconds.set(last.seconds)
            self._metrics.snapshot_pause_seconds.observe(last.pause_seconds)


def _mean(values: Sequence[Mapping[str, float | None]], rows: Sequence[Mapping[str, int]]) -> dict[str, float | None]:
    """Return the mean of each measure over the models that have it, weighted by rows; None where none has."""
    means: dict[str, float | None] = {}
    for name in values[0]:
        known = [(value, of[name]) for each, of in zip(values, rows, strict=True) if (value := each[name]) is not None]
        total = sum(weight for _, weight in known)
        means[name] = sum(value * weight for value, weight in known) / total if total else None
    return means
