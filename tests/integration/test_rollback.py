"""``streamlearn snapshot rollback`` on a broker: refused while workers live, killed midway, and continued from."""

from __future__ import annotations

import signal
from collections.abc import Sequence

from kafka import KafkaConsumer

from tests.faults.workers import Workers
from tests.integration.reference import assert_equals_an_uninterrupted_run, settings_of
from tests.integration.service import Service
from tests.integration.test_faults import assert_each_handled_once, produce
from tests.snapshot_faults import alter_weights, snapshots

MORE = ["topics.partitions=2", "engine.batch_instances=20", "kafka.session_timeout_ms=1000"]
COMMAND = ("snapshot", "rollback")


def sequences(service: Service) -> list[int]:
    return [int(path.name.split("-")[0]) for path in snapshots(service.snapshots)]


def run(service: Service, workers: Workers, count: int, first: int, more: Sequence[str] = MORE) -> None:
    """Run a worker that answers more instances and writes a snapshot at its end."""
    produce(service, count, seed=first, first=first)
    arguments = service.settings(labels=True, more=[*more, "snapshot.interval_seconds=600"])
    assert workers.wait(workers.start("--stop-at-end", "--leave", *arguments)) == 0, workers.log()[-3000:]


def test_a_rollback_is_refused_beside_workers_survives_kills_and_equals_one_run_over_the_journal(
    service: Service, workers: Workers
) -> None:
    service.make_topics(labels=True, more=MORE)
    for part in range(2):
        run(service, workers, 60, 60 * part)
    newest, oldest = sequences(service)
    settings = service.settings(labels=True, more=MORE)

    # A member of the group that does nothing.
    live = KafkaConsumer(service.topic("instances"), bootstrap_servers=service.broker, group_id=service.name)
    live.poll(timeout_ms=100)
    service.wait("the member to join", lambda: bool(service.assigned()))
    assert workers.wait(workers.start(str(oldest), "--yes", *settings, command=COMMAND)) == 1
    live.close()
    assert f"streamlearn: workers of group {service.name} live: kafka-python" in workers.log()
    assert " on 127.0.0.1. Stop all of them" in workers.log()
    assert workers.wait(workers.start(str(oldest), *settings, command=COMMAND)) == 0
    assert workers.log().endswith("nothing was changed; --yes rolls back\n")
    assert mark(service) == newest

    assert killed(workers, "commit answered", str(oldest), *settings)
    service.wait("the rollback that was killed before its commit was answered", lambda: mark(service) == newest + 1)
    run(service, workers, 60, 120)
    before = mark(service)
    assert killed(workers, "outputs flushed", str(newest), *settings)
    assert mark(service) == before
    assert workers.wait(workers.start(str(newest), "--yes", *settings, command=COMMAND)) == 0, workers.log()[-3000:]
    assert mark(service) == before + 1
    for path in snapshots(service.snapshots):
        if not path.name.startswith(f"{oldest}-"):
            path.unlink()
    run(service, workers, 60, 180)
    assert_each_handled_once(service, 240)
    assert_equals_an_uninterrupted_run(service, settings_of(service, labels=True, more=MORE))
    verify = ("snapshot", "verify")
    assert workers.wait(workers.start("--against-journal", *settings, command=verify)) == 0, workers.log()[-3000:]
    assert f"; proven: the journal applied again from sequence {oldest} gives the same state" in workers.log()
    assert "; proven: the journal applied again from the model's beginning gives the same state" in workers.log()
    alter_weights(snapshots(service.snapshots)[0])
    newest_path = str(snapshots(service.snapshots)[0])
    assert workers.wait(workers.start(newest_path, "--against-journal", *settings, command=verify)) == 1
    assert "the snapshot was altered\n1 of 1 broken" in workers.log()


def test_one_of_several_models_goes_back_alone_and_equals_one_run_over_its_journal(
    service: Service, workers: Workers
) -> None:
    more = [*MORE, "engine.scope=partition"]
    service.make_topics(labels=True, more=more)
    for part in range(2):
        run(service, workers, 60, 60 * part, more)
    oldest = min(int(path.name.split("-")[0]) for path in service.snapshots.rglob("1/*.npz"))
    settings = service.settings(labels=True, more=more)
    before = [mark(service, partition) for partition in range(2)]
    again = workers.start(str(oldest), "--task", "1", "--yes", *settings, command=COMMAND)
    assert workers.wait(again) == 0, workers.log()[-3000:]
    assert [mark(service, partition) for partition in range(2)] == [before[0], before[1] + 1]
    run(service, workers, 60, 120, more)
    assert_each_handled_once(service, 180)
    assert_equals_an_uninterrupted_run(service, settings_of(service, labels=True, more=more))


def killed(workers: Workers, point: str, *arguments: str) -> bool:
    """Run a rollback that is armed with a point; return whether it was killed there."""
    process = workers.start(*arguments, "--yes", command=COMMAND, armed=f"{point}:1")
    return workers.wait(process) == -signal.SIGKILL


def mark(service: Service, partition: int = 0) -> int:
    """Return the committed sequence."""
    instances = (service.topic("instances"), partition)
    return int(service.committed([instances])[instances][1].split(":")[0])
