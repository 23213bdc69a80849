"""The measures that the metrics observer publishes: when, of which tasks, and what stops none of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from streamlearn.engine.metrics_observer import MetricsObserver
from streamlearn.errors import RetryableError, StopError
from streamlearn.sink.base import OutputRecord
from tests.engine.counted import CLOCK_NS, Counted, make_engine, run
from tests.engine.world import LINEAGE, World, rows


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
    assert counted.value("retries_total", of="publish") == 1
    moments[0] += world.settings.measures.interval_seconds
    counted.observer.on_loop(engine.tasks)
    assert (len(written), counted.value("retries_total", of="publish")) == (3, 1), "the failure is over"
