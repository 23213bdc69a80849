"""The metrics observer on the memory engine: what it counts, sets and publishes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

import pytest
from prometheus_client import CollectorRegistry

from streamlearn.engine.attempts import Attempt
from streamlearn.engine.journal.records import Mark
from streamlearn.engine.loop.engine import Engine
from streamlearn.engine.metrics_observer import MetricsObserver
from streamlearn.engine.misplaced_labels import MisplacedLabels, Misplacement
from streamlearn.engine.recovery.snapshot_writer import SnapshotStats
from streamlearn.engine.standby import StandbyStatus
from streamlearn.engine.tasks.batch import AppliedBatch
from streamlearn.engine.tasks.task import Task
from streamlearn.errors import RetryableError, StopError
from streamlearn.model.model_event import ModelEvent
from streamlearn.records.event import Event
from streamlearn.records.metrics import Metrics
from streamlearn.records.prediction import SourcePoint
from streamlearn.sink.base import OutputRecord
from streamlearn.snapshot.store import SnapshotStore
from streamlearn.source.base import AssignmentChange, RawRecord, TopicPartition
from streamlearn.source.memory import MemorySource
from streamlearn.telemetry.metrics import ATTEMPTS, ROLES, ServiceMetrics
from tests.engine.world import GROUP, LABELS, LINEAGE, Faults, FaultySink, World, rows

CLOCK_NS = 1_700_000_000_123_456_789


class Counted:
    """A metrics observer with its own registry, and the records that it publishes."""

    def __init__(self, world: World, monotonic: Callable[[], float] = lambda: 0.0) -> None:
        self.registry = CollectorRegistry()
        self.published: list[OutputRecord] = []
        self.metrics = ServiceMetrics(self.registry)
        self.observer = MetricsObserver(
            self.metrics, world.settings, self.published.append, clock=lambda: CLOCK_NS, monotonic=monotonic
        )

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"streamlearn_{name}", labels)

    def records(self) -> list[Metrics]:
        return [Metrics.model_validate_json(record.value or b"") for record in self.published]


def make_engine(
    world: World, counted: Counted, faults: Faults | None = None, source: type[MemorySource] = MemorySource
) -> Engine:
    topics = [topic for topic in (world.settings.topics.instances, world.settings.topics.labels) if topic]
    return Engine(
        world.settings,
        source(world.log, topics, GROUP),
        FaultySink(world.log, faults or Faults()),
        SnapshotStore(str(world.folder)),
        observer=counted.observer,
        clock=world.clock,
        lineage=lambda: LINEAGE,
    )


def run(world: World, counted: Counted, faults: Faults | None = None) -> Engine:
    engine = make_engine(world, counted, faults)
    engine.run(stop_at_end=True)
    return engine


def test_applied_records_are_counted_by_outcome(tmp_path: Path) -> None:
    world = World(tmp_path, labels={"maximum": 4}, features={"maximum": 7}, limits={"name_bytes": 40})
    for row in rows(100):
        world.add(row)
    world.add({"x": {"f0": 1.0}})
    world.add({"x": {"f0": 1e200, "text": "t" * 60, "f9": 1.0, "g1": 2.0, "g2": 3.0}, "y": ["news", "a fifth"]})
    world.add(b"{bad")
    world.add(b"{bad")
    world.add(b'{"y": []}')
    counted = Counted(world)
    run(world, counted)
    assert counted.value("records_total", outcome="predicted") == 102
    assert counted.value("records_total", outcome="learned") == 101
    assert counted.value("records_total", outcome="dead_letter") == 3
    assert counted.value("dead_letters_total", reason="not_json") == 2
    assert counted.value("dead_letters_total", reason="missing_field") == 1
    assert counted.value("dropped_values_total", reason="infinite") == 1
    assert counted.value("dropped_values_total", reason="text_too_long") == 1
    assert counted.value("dropped_values_total", reason="features_full") == 2
    assert counted.value("dropped_values_total", reason="labels_full") == 1
    assert counted.value("events_total", kind="label") == len(world.read("events")) == 1 + len(LABELS)
    assert counted.value("learn_seconds_count") == counted.value("commit_seconds_count") == 3


def test_labels_from_their_topic_are_counted_when_they_are_learnt(tmp_path: Path) -> None:
    world = World(tmp_path, topics={"labels": "labels"})
    for row in rows(30):
        truth = row.pop("y")
        world.add(row)
        if row["id"] != "id29":
            world.add({"id": row["id"], "y": truth}, topic="labels")
    world.add({"id": "id0", "y": []}, topic="labels")
    world.add({"id": "never", "y": []}, topic="labels")
    counted = Counted(world)
    run(world, counted)
    assert counted.value("records_total", outcome="predicted") == 30
    assert counted.value("records_total", outcome="learned") == 29
    assert counted.value("dead_letters_total", reason="duplicate_label") == 1
    assert counted.value("pending_instances") == 1
    assert counted.value("orphan_labels") == 1


def test_a_commit_sets_sizes_and_times(tmp_path: Path) -> None:
    world = World(tmp_path)
    for row in rows(80):
        world.add(row)
    counted = Counted(world)
    counted.observer.on_committed({}, 0.3, 0.2)
    engine = run(world, counted)
    (task,) = engine.tasks.values()
    assert counted.value("labels") == len(task.model.label_names) == 4
    assert counted.value("features") == task.model.feature_count == 6
    assert counted.value("clusters") == task.model.cluster_count
    assert counted.value("commit_seconds_count") == 3
    assert counted.value("batch_seconds_bucket", le="0.5") == 3
    total, commits = counted.value("batch_seconds_sum"), counted.value("commit_seconds_sum")
    assert total is not None
    assert commits is not None
    assert total >= 0.3
    assert commits >= 0.2


def test_measures_are_published_once_per_interval(tmp_path: Path) -> None:
    world = World(tmp_path, measures={"interval_seconds": 10.0, "window": 50})
    for row in rows(200):
        world.add(row)
    # 5 batches of 40 rows, 4 seconds apart: due at the first commit 10 seconds after the last time.
    now = [0.0]

    class EachCommitLater(MetricsObserver):
        def on_committed(self, tasks: Any, batch_seconds: float, commit_seconds: float) -> None:
            now[0] += 4.0
            super().on_committed(tasks, batch_seconds, commit_seconds)

    counted = Counted(world)
    counted.observer = EachCommitLater(
        counted.metrics, world.settings, counted.published.append, clock=lambda: CLOCK_NS, monotonic=lambda: now[0]
    )
    engine = run(world, counted)
    (record,) = counted.records()
    assert (record.seen, record.learned, record.labels, record.features) == (120, 120, 4, 6)
    assert (record.task, record.lineage, record.now_ns, record.pending) == (0, LINEAGE, CLOCK_NS, 0)
    assert counted.published[0].topic == "metrics"
    assert counted.published[0].partition == 0
    assert record.window["subset_accuracy"] is not None
    assert counted.value("whole_measure", measure="example_f1") == record.whole["example_f1"]
    assert counted.value("window_measure", measure="macro_f1") == pytest.approx(record.window["macro_f1"])
    (task,) = engine.tasks.values()
    assert task.model.learned == 200
    assert task.model.measures.whole()["example_f1"] != record.whole["example_f1"], (
        "those of the interval, not the last ones"
    )


def test_without_a_metrics_topic_nothing_is_published_and_the_gauges_are_set(tmp_path: Path) -> None:
    world = World(tmp_path, topics={"metrics": ""}, measures={"interval_seconds": 0.001})
    for row in rows(40):
        world.add(row)
    ticks = iter(range(1_000))
    counted = Counted(world, lambda: float(next(ticks)))
    run(world, counted)
    assert counted.published == []
    accuracy = counted.value("whole_measure", measure="subset_accuracy")
    assert accuracy is not None
    assert 0.0 <= accuracy <= 1.0


def test_each_task_publishes_its_own_measures(tmp_path: Path) -> None:
    world = World(tmp_path, partitions=2, engine={"scope": "partition"}, measures={"interval_seconds": 0.001})
    for number, row in enumerate(rows(60)):
        world.add(row, partition=int(number % 3 == 0))
    ticks = iter(range(1_000))
    counted = Counted(world, lambda: float(next(ticks)))
    engine = run(world, counted)
    last = {record.task: record.seen for record in counted.records()}
    assert last == {0: 40, 1: 20}
    assert {record.partition for record in counted.published} == {0, 1}
    assert counted.value("labels") == 8, "the sum over the models"
    of = {task.number: task.model.measures.whole()["example_f1"] for task in engine.tasks.values()}
    assert counted.value("whole_measure", measure="example_f1") == pytest.approx((40 * of[0] + 20 * of[1]) / 60)


@pytest.mark.parametrize(("error", "published"), [(StopError("too large"), 2), (RetryableError("away"), 1)])
def test_a_refused_record_keeps_no_other_task_from_publishing(tmp_path: Path, error: Exception, published: int) -> None:
    world = World(tmp_path, partitions=2, engine={"scope": "partition"}, measures={"interval_seconds": 5.0})
    for number, row in enumerate(rows(60)):
        world.add(row, partition=number % 2)
    moment = [0.0]
    counted = Counted(world, lambda: moment[0])
    engine = run(world, counted)
    tried: list[int] = []

    def refuse(record: OutputRecord) -> None:
        tried.append(record.partition)
        raise error

    counted.observer = MetricsObserver(counted.metrics, world.settings, refuse, monotonic=lambda: moment[0])
    counted.observer.on_role("active", engine.tasks)
    moment[0] = 6.0
    counted.observer.on_loop(engine.tasks)
    assert len(tried) == published


def test_an_idle_worker_continues_to_publish_and_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamlearn.engine.loop.engine.LAG_SECONDS", 1.0)
    world = World(tmp_path, measures={"interval_seconds": 5.0})
    for row in rows(40):
        world.add(row)
    loops = [0]
    lag: list[float | None] = []

    class Looping(MetricsObserver):
        def on_loop(self, tasks: Any) -> None:
            loops[0] += 1
            if loops[0] == 30:
                lag.extend([counted.value("lag_records"), counted.value("lag_seconds")])
                engine.stop()
            super().on_loop(tasks)

    counted = Counted(world)
    counted.observer = Looping(
        counted.metrics, world.settings, counted.published.append, clock=lambda: CLOCK_NS, monotonic=lambda: loops[0]
    )
    engine = make_engine(world, counted)
    engine.run()
    assert [record.seen for record in counted.records()][-2:] == [40, 40]
    assert len(counted.records()) >= 4
    assert counted.value("whole_measure", measure="example_f1") == counted.records()[-1].whole["example_f1"]
    assert lag == [0, 0]


SHOWN = ("labels", "features", "clusters", "model_bytes", "pending_instances", "remembered_bytes", "sequence", "chain")


class _Rebalancing(MemorySource):
    """Never waits; revokes the partitions after 40 polls without records, then assigns what a test says."""

    idle = 0
    next_assignment: tuple[TopicPartition, ...] | None = None

    def poll(self, timeout_seconds: float, limit: int) -> Mapping[TopicPartition, list[RawRecord]]:
        polled = super().poll(0.0, limit)
        self.idle = 0 if polled else self.idle + 1
        if self.idle == 40:
            self._changes.append(AssignmentChange("revoked", tuple(self._positions), None))
        if self.idle == 60 and self.next_assignment is not None:
            self._changes.append(AssignmentChange("assigned", self.next_assignment, None))
        return polled


@pytest.mark.parametrize("standby", ["warm", "cold"])
def test_a_worker_that_loses_its_partitions_says_so_and_shows_no_stale_gauge(
    tmp_path: Path, standby: str, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(
        tmp_path, measures={"interval_seconds": 1e-6}, engine={"standby": standby}, topics={"labels": "labels"}
    )
    for row in rows(40):
        world.add(row)
    world.add({"id": "waits", "x": {"f0": 1.0}})
    found: dict[str, dict[str, Any]] = {}

    class Looping(MetricsObserver):
        def on_loop(self, tasks: Any) -> None:
            super().on_loop(tasks)
            source = engine._worker.source
            assert isinstance(source, _Rebalancing)
            role = next(role for role in ROLES if counted.value("role", role=role))
            found[role] = {name: counted.value(name) for name in SHOWN} | {
                "lag": counted.value("lag_records"),
                "accuracy": counted.value("whole_measure", measure="subset_accuracy"),
                "ready": counted.observer.ready(),
            }
            if role == "unassigned":
                source.next_assignment = ()
            if role == "stand-by":
                engine.stop()

    counted = Counted(world)
    counted.observer = Looping(counted.metrics, world.settings, counted.published.append, monotonic=time.monotonic)
    engine = make_engine(world, counted, source=_Rebalancing)
    with caplog.at_level("INFO"):
        engine.run()
    active, lost, after = found["active"], found["unassigned"], found["stand-by"]
    assert all(active[name] for name in SHOWN), active
    assert active["ready"] is None
    assert "no longer active: the group has taken instances[0]" in caplog.text
    assert "standing by: the group has assigned no partitions" in caplog.text
    assert lost["ready"] == f"unassigned: waiting for an assignment of group {world.settings.kafka.group_id}"
    for shown in (lost, after):
        # A warm stand-by holds a model, and shows its sequence and chain.
        names = SHOWN[:-2] if shown is after and standby == "warm" else SHOWN
        assert {name: shown[name] for name in names} == dict.fromkeys(names, 0)
        assert shown["lag"] is None
        assert math.isnan(shown["accuracy"])


def test_a_worker_restores_a_model_that_was_overtaken_before_it_is_active_again(tmp_path: Path) -> None:
    """See also the tests of the engine; here: what the metrics show meanwhile."""
    world = World(tmp_path)
    for row in rows(80):
        world.add(row)
    roles: list[tuple[str, float | None]] = []

    class Noting(MetricsObserver):
        def on_role(self, role: str, tasks: Any) -> None:
            super().on_role(role, tasks)
            roles.append((role, counted.value("labels")))

    counted = Counted(world)
    counted.observer = Noting(counted.metrics, world.settings, counted.published.append)
    engine = make_engine(world, counted)
    committed = engine._applier._commit

    def overtake_once() -> None:
        if not overtaken:
            overtaken.append(True)
            other = World(tmp_path / "other")
            other.log = world.log
            other.run()
            raise ConnectionResetError("the outcome is not known")
        committed()

    overtaken: list[bool] = []
    engine._applier._commit = overtake_once  # type: ignore[method-assign]
    engine.run(stop_at_end=True)
    assert [role for role, _ in roles] == ["restoring", "active", "restoring", "active", "stopping"]
    assert roles[2] == ("restoring", 0), "the overtaken model is not shown"
    assert roles[3][1] == 4


def test_a_restored_worker_counts_replayed_rows_and_nothing_twice(tmp_path: Path) -> None:
    world = World(tmp_path, snapshot={"interval_seconds": 1e9})
    for row in rows(90):
        world.add(row)
    world.run(store=False)
    counted = Counted(world)
    run(world, counted)
    assert counted.value("restored_rows") == 90
    assert counted.value("records_total", outcome="predicted") == 0


def test_roles_lag_and_failures_are_set(tmp_path: Path) -> None:
    counted = Counted(World(tmp_path))
    observer = counted.observer
    assert observer.ready() == "starting: waiting for an assignment of group group"
    assert counted.value("role", role="starting") == 1
    assert counted.value("lag_records") is None, "no lag is known before the worker is active"
    observer.on_role("restoring", {})
    assert observer.ready() == "restoring"
    assert counted.value("role", role="restoring") == 1
    for role in ("stand-by", "active"):
        observer.on_role(role, {})
        assert observer.ready() is None
        assert counted.value("role", role=role) == 1
    assert counted.value("role", role="restoring") == 0
    observer.on_lag(17, 2.5)
    observer.on_restore_progress(9, 0.25)
    assert observer.ready() is None
    observer.on_snapshots(3, SnapshotStats(1_000, 2.0, 0.004))
    observer.on_snapshots(3, None)
    assert (counted.value("lag_records"), counted.value("lag_seconds")) == (17, 2.5)
    assert (counted.value("restored_rows"), counted.value("snapshot_failures")) == (9, 3)
    assert (counted.value("restored_share"), counted.value("snapshot_bytes")) == (0.25, 1_000)
    assert (counted.value("snapshot_seconds"), counted.value("snapshot_pause_seconds_count")) == (2.0, 1)
    observer.on_role("stand-by", {})
    assert counted.value("lag_records") is None
    observer.on_lag(17, 2.5)
    observer.on_standby(StandbyStatus("restoring"))
    assert counted.value("lag_seconds") is None
    observer.on_role("restoring", {})
    assert observer.ready() == "restoring"
    observer.on_restore_progress(1_234, 0.25)
    assert observer.ready() == "restoring: 25% of the batches, 1,234 rows"
    observer.on_role("unassigned", {})
    observer.on_role("restoring", {})
    assert observer.ready() == "restoring", "the progress is that of an earlier restore"


def test_a_stand_by_describes_its_status(tmp_path: Path) -> None:
    counted = Counted(World(tmp_path))
    observer = counted.observer
    observer.on_standby(StandbyStatus("restoring"))
    assert observer.ready() == "restoring"
    observer.on_standby(StandbyStatus("restoring", restored=(50, 0.5)))
    assert observer.ready() == "restoring: 50% of the batches, 50 rows"
    observer.on_standby(StandbyStatus("waiting"))
    assert (observer.ready(), observer.describe()) == (None, "stand-by, nothing to follow yet")
    mark = Mark(12, "00000000ffff" + "0" * 12)
    observer.on_standby(StandbyStatus("following", mark, 3))
    assert observer.ready() is None
    assert observer.describe() == f"stand-by, warm: at sequence 12, chain {mark.chain}, 3 batches behind"
    assert [counted.value(name) for name in ("sequence", "chain", "stand_by_warm", "stand_by_lag_batches")] == [
        12,
        0xFFFF,
        1,
        3,
    ]
    observer.on_standby(StandbyStatus("cold", reason="the disk is gone"))
    assert observer.describe() == "stand-by, cold: the disk is gone"
    assert (counted.value("stand_by_warm"), counted.value("sequence")) == (0, 0)
    observer.on_role("active", {})
    assert (observer.describe(), counted.value("stand_by_lag_batches")) == ("active", None)


@pytest.mark.parametrize(("kind", "counted_as"), [("drift", "drift"), ("tree", "tree"), ("a new kind", "other")])
def test_events_are_counted_by_kind(tmp_path: Path, kind: str, counted_as: str) -> None:
    world = World(tmp_path)
    counted = Counted(world)
    event = ModelEvent(0, 5, kind, "model", "", "loss", "worse", 0.1, 0.2, 30, 2, "none")
    applied = AppliedBatch([], [], [], 0, 0, 0, 0, [], 0, set(), set(), [event, event], {"a new reason": 4}, 0, {})
    task = Task(world.settings, 0, [TopicPartition("instances", 0)], LINEAGE)
    counted.observer.on_applied(task, applied, 0.01)
    assert counted.value("events_total", kind=counted_as) == 2
    assert counted.value("dropped_values_total", reason="other") == 4


def test_misplaced_labels_are_a_metric_and_from_time_to_time_a_line_and_an_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world, moments = World(tmp_path), [0.0]
    counted = Counted(world, lambda: moments[-1])
    found = [Misplacement(3, 30, 40, "murmur2", "crc32", RawRecord("labels", 3, 17, 0, b"key", b"{}"))]
    monkeypatch.setattr(MisplacedLabels, "note", lambda *arguments: found[0] if found else None)
    applied = AppliedBatch([], [], [], 0, 0, 0, 0, [], 0, set(), set(), [], {}, 0, {})
    tasks = [Task(world.settings, number, [TopicPartition("instances", number)], LINEAGE) for number in (3, 4)]
    for moment in (1.0, 2.0, 300.0, 602.0):
        moments.append(moment)
        counted.observer.on_applied(tasks[0], applied, 0.01)
    assert counted.value("misplaced_label_share") == 0.75
    assert counted.value("events_total", kind="partitioner") == 2
    lines = [record.message for record in caplog.records]
    assert len(lines) == 2
    assert lines[0].startswith(
        "30 of the last 40 labels of labels[3] wait for instances of other partitions, such as the "
    )
    assert "offset 17: " in lines[0]
    assert "(instances is partitioned by murmur2, labels by crc32)" in lines[0]
    events = [Event.model_validate_json(record.value or b"") for record in counted.published]
    assert [(event.kind, event.after, event.n) for event in events] == [("partitioner", 0.75, 40)] * 2
    assert events[0].source == SourcePoint(topic="labels", partition=3, offset=17)
    assert {record.topic for record in counted.published} == {world.settings.topics.events}
    found.clear()
    counted.observer.on_applied(tasks[1], applied, 0.01)
    assert counted.value("misplaced_label_share") == 0.75, "that of the other partition"
    counted.observer.on_applied(tasks[0], applied, 0.01)
    assert counted.value("misplaced_label_share") == 0


class Outage:
    """The clock of a worker whose brokers stop answering."""

    def __init__(self) -> None:
        self.now = 50.0
        self.answered: float | None = None

    def observe(self, world: World) -> Counted:
        counted = Counted(world)
        counted.registry = CollectorRegistry()
        counted.metrics = ServiceMetrics(counted.registry)
        counted.observer = MetricsObserver(
            counted.metrics,
            world.settings,
            counted.published.append,
            monotonic=lambda: self.now,
            answered_at=lambda: self.answered,
        )
        return counted


def test_a_worker_without_brokers_is_not_ready_and_knows_no_lag(tmp_path: Path) -> None:
    outage = Outage()
    counted = outage.observe(World(tmp_path, kafka={"unready_after_seconds": 4.0, "bootstrap_servers": "kafka:9092"}))
    observer = counted.observer
    assert counted.value("broker_silent_seconds") is None
    outage.answered = outage.now
    for role in ("active", "stand-by"):
        outage.answered = outage.now
        observer.on_role(role, {})
        observer.on_lag(17, 2.5)
        outage.now += 4
        assert (observer.ready(), counted.value("lag_records")) == (None, 17)
        outage.now += 11
        assert observer.ready() == f"{role}: waiting for a broker of kafka:9092, none has answered for 15 s"
        assert counted.value("broker_silent_seconds") == 15
        assert counted.value("lag_records") is None
    outage.answered = outage.now
    assert observer.ready() is None


def test_failures_retries_and_aborted_transactions_are_counted(tmp_path: Path) -> None:
    world = World(tmp_path)
    for row in rows(90):
        world.add(row)
    counted = Counted(world)
    run(world, counted, Faults("before commit", 2, lambda: RetryableError("the broker is away")))
    assert counted.value("failures_total", of="commit") == 1
    assert counted.value("retries_total", of="commit") == 1
    assert counted.value("aborted_transactions_total") == 1
    run_again = Counted(world)
    for row in rows(200)[90:]:
        world.add(row)
    run(world, run_again, Faults("after commit", 2, lambda: RetryableError("the answer was lost")))
    assert run_again.value("failures_total", of="commit") == 1
    assert run_again.value("aborted_transactions_total") == 0, "it was committed"
    assert run_again.value("commit_age_seconds") == 0
    assert set(ATTEMPTS) == set(get_args(Attempt))


def test_measures_that_cannot_be_written_are_tried_again_and_stop_nothing(tmp_path: Path) -> None:
    world = World(tmp_path, topics={"metrics": "metrics"})
    for row in rows(40):
        world.add(row)
    engine = world.run()
    moments = [0.0]
    written: list[OutputRecord] = []

    def publish(record: OutputRecord) -> None:
        written.append(record)
        if len(written) == 1:
            raise StopError("the record is larger than max.message.bytes")

    counted = Counted(world)
    counted.observer = MetricsObserver(counted.metrics, world.settings, publish, monotonic=lambda: moments[0])
    counted.registry = counted.metrics.registry
    counted.observer.on_role("active", engine.tasks)
    for _ in range(2):
        moments[0] += world.settings.measures.interval_seconds
        counted.observer.on_loop(engine.tasks)
    assert len(written) == 2
    assert counted.value("failures_total", of="publish") == 1
