"""A stop says by its status whether the model is drained, and ``run --drain`` drains what a crash has left."""

from __future__ import annotations

import os
import signal
from typing import Any

from kafka import KafkaAdminClient
from kafka.admin import MemberToRemove  # pyright: ignore[reportAttributeAccessIssue]

from streamlearn.cli.statuses import FAILURE_STATUS, NOT_DRAINED_STATUS
from tests.faults.workers import Workers
from tests.integration.reference import assert_equals_an_uninterrupted_run, settings_of
from tests.integration.service import Service
from tests.integration.test_faults import assert_each_handled_once, instance, produce
from tests.snapshot_faults import snapshots

MORE = [
    "topics.partitions=2",
    "engine.batch_instances=10",
    "kafka.session_timeout_ms=1000",
    "snapshot.interval_seconds=600",
]
POINTS = ("settled", "replaying:2", "snapshot half written:5", "snapshot before its rename")
"""Fault points on the way of a drain, in its order, before it has written the snapshot."""


def marks(service: Service) -> list[str]:
    """Return the marks that are committed, one for each partition of the instances."""
    partitions = [(service.topic("instances"), number) for number in range(2)]
    return [metadata for _, metadata in service.committed(partitions).values()]


def newest(service: Service) -> str:
    """Return the mark of the newest snapshot."""
    return snapshots(service.snapshots)[0].stem.replace("-", ":")


def forget(service: Service, worker: str = "w0") -> None:
    """Let the group forget a worker that was killed, as it does by itself after the session timeout."""
    admin = KafkaAdminClient(bootstrap_servers=service.broker)
    try:
        admin.remove_group_members(service.name, [MemberToRemove(group_instance_id=worker)])  # pyright: ignore[reportAttributeAccessIssue]
    finally:
        admin.close()


def last_line(log: str) -> str:
    return log.rstrip().splitlines()[-1]


def test_the_status_of_a_stop_says_whether_the_model_is_drained(service: Service, workers: Workers) -> None:
    service.make_topics(more=MORE)
    arguments = service.settings(more=MORE)
    assert workers.wait(workers.start("--drain", *arguments)) == 0, workers.log()[-3000:]
    assert "task 0: nothing was committed, so there is nothing to drain" in workers.log()
    answered = service.follow("predictions")

    worker = workers.start(*arguments)
    service.produce_raw("instances", [instance(row) for row in range(60)])
    service.wait("answers", lambda: answered.count() == 60)
    assert workers.wait(workers.start("--drain", *arguments)) == FAILURE_STATUS
    assert f"streamlearn: group {service.name} has an active worker: w0 on " in last_line(workers.log())
    assert "Stop that one with SIGTERM, which drains it" in last_line(workers.log())
    service.produce_raw("instances", [instance(row) for row in range(60, 80)])
    service.wait("answers beside a drain that was refused", lambda: answered.count() == 80)
    os.kill(worker, signal.SIGTERM)
    assert workers.wait(worker) == 0, workers.log()[-3000:]
    assert set(marks(service)) == {newest(service)}

    worker = workers.start(*arguments)
    service.wait("a restore", lambda: workers.log().count("reading snapshot") == 1)
    kept = service.snapshots.rename(service.snapshots.with_name("kept"))
    service.snapshots.write_text("")
    service.produce_raw("instances", [instance(row) for row in range(80, 100)])
    service.wait("answers without a folder for snapshots", lambda: answered.count() == 100)
    os.kill(worker, signal.SIGTERM)
    assert workers.wait(worker) == NOT_DRAINED_STATUS, workers.log()[-3000:]
    (committed,) = set(marks(service))
    described = f"streamlearn: not drained: task 0 is committed at {committed}, but it has no snapshot: cannot write "
    assert last_line(workers.log()).startswith(described)
    forget(service)
    service.snapshots.unlink()
    kept.rename(service.snapshots)
    assert workers.wait(workers.start("--drain", *arguments)) == 0, workers.log()[-3000:]
    assert newest(service) == committed
    assert service.assigned() == {}
    assert_each_handled_once(service, 100)
    assert_equals_an_uninterrupted_run(service, settings_of(service, labels=False, more=MORE))


def test_a_drain_that_is_killed_at_any_point_and_repeated_ends_on_the_committed_point(
    service: Service, workers: Workers
) -> None:
    service.make_topics(labels=True, more=MORE)
    count = produce(service, 300, seed=41)
    arguments = service.settings(labels=True, more=MORE)
    killed = workers.start("--stop-at-end", *arguments, armed="commit asked for:8")
    assert workers.wait(killed) == -signal.SIGKILL
    assert snapshots(service.snapshots) == []
    # It waits until the group has noticed that the worker is gone, and its transaction is settled.
    stopped = workers.start("--drain", *arguments, armed="replaying:1:SIGTERM")
    assert workers.wait(stopped) == NOT_DRAINED_STATUS
    assert "not drained: the worker was stopped before its models were restored" in last_line(workers.log())
    before = _written(service)
    for point in POINTS:
        assert workers.wait(workers.start("--drain", *arguments, armed=point)) == -signal.SIGKILL, point
        forget(service)
        assert snapshots(service.snapshots) == []
    assert workers.wait(workers.start("--drain", *arguments, armed="snapshot after its rename")) == -signal.SIGKILL
    forget(service)
    assert {newest(service)} == set(marks(service))
    assert workers.wait(workers.start("--drain", *arguments)) == 0, workers.log()[-3000:]
    assert f"task 0 is drained: its newest snapshot is at the committed point {newest(service)}" in workers.log()
    assert _written(service) == before

    assert workers.wait(workers.start("--stop-at-end", *arguments)) == 0, workers.log()[-3000:]
    assert_each_handled_once(service, count)
    assert_equals_an_uninterrupted_run(service, settings_of(service, labels=True, more=MORE))


def _written(service: Service) -> list[Any]:
    """Return everything that workers have written and committed."""
    topics = [service.topic("predictions"), service.topic("events"), f"{service.name}-journal"]
    return [marks(service), *([record.value for record in service.read_topic(topic)] for topic in topics)]
