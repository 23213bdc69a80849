"""A group with a member that joined by the new consumer protocol (KIP-848), which workers cannot share."""

from __future__ import annotations

import re
import threading
from functools import partial

import pytest
from confluent_kafka import Consumer

from streamlearn.check.faults import find_faults
from streamlearn.engine.recovery import group_commit
from streamlearn.engine.recovery.rollback import roll_back
from streamlearn.engine.recovery.rollback_plan import SnapshotChoice, plan_rollback
from streamlearn.errors import StopError
from streamlearn.kafka.sink import KafkaSink
from streamlearn.kafka.source import KafkaSource
from streamlearn.snapshot.store import SnapshotStore
from tests.faults.workers import Workers
from tests.integration.reference import settings_of
from tests.integration.service import Service
from tests.integration.test_rollback import COMMAND, MORE, mark, run, sequences


class NewMember:
    """A member of the group that polls in a thread, as librdkafka's consumer needs it."""

    def __init__(self, service: Service) -> None:
        self._consumer = Consumer(
            {
                "bootstrap.servers": service.broker,
                "group.id": service.name,
                "group.protocol": "consumer",
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
            }
        )
        self._topic = service.topic("instances")
        self._assigned, self._stopping = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._poll, daemon=True)
        self._thread.start()
        assert self._assigned.wait(timeout=60), "the member did not join"

    def _poll(self) -> None:
        self._consumer.subscribe([self._topic], on_assign=lambda consumer, partitions: self._assigned.set())
        while not self._stopping.is_set():
            self._consumer.poll(0.1)
        self._consumer.close()

    def leave(self) -> None:
        self._stopping.set()
        self._thread.join(timeout=30)


def test_a_rollback_and_a_worker_are_refused_beside_a_member_of_the_new_protocol(
    service: Service, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.make_topics(labels=True, more=MORE)
    for part in range(2):
        run(service, workers, 20, 20 * part)
    newest, oldest = sequences(service)
    arguments, settings = (build(labels=True, more=MORE) for build in (service.settings, partial(settings_of, service)))
    source = KafkaSource(settings)
    observer = source.observer()
    plan = plan_rollback(
        settings, observer, SnapshotStore(settings.snapshot.location), 0, SnapshotChoice(str(oldest), None)
    )
    observer.close(leave=False)
    member = NewMember(service)

    assert workers.wait(workers.start(str(oldest), "--yes", *arguments, command=COMMAND)) == 1
    refused = f"streamlearn: workers of group {service.name} live: members of a consumer group, which joined by another"
    assert refused in workers.log()
    assert workers.wait(workers.start(str(oldest), *arguments, command=COMMAND)) == 0
    assert "running workers: members of a consumer group" in workers.log()
    assert workers.wait(workers.start(*arguments)) == 1
    named = r"group \S+ \(kafka.group_id\) has members that joined by the consumer protocol"
    assert re.search(f"streamlearn: {named}", workers.log())
    (fault,) = find_faults(settings)
    assert re.match(named, fault)

    # As if it had joined after the rollback has looked.
    monkeypatch.setattr(group_commit, "_wait_for_empty_group", lambda *arguments: None)
    monkeypatch.setattr(group_commit, "JOIN_SECONDS", 2.0)
    with pytest.raises(StopError, match=r"did not assign its partitions within 2 s: .* members of a consumer group"):
        roll_back(settings, source, KafkaSink(settings), plan)
    assert mark(service) == newest

    member.leave()
    assert find_faults(settings) == []
    assert workers.wait(workers.start(str(oldest), "--yes", *arguments, command=COMMAND)) == 0, workers.log()[-3000:]
    assert mark(service) == newest + 1


@pytest.mark.slow
def test_a_worker_stops_when_a_member_of_the_new_protocol_takes_partitions_of_its_model(
    service: Service, workers: Workers
) -> None:
    """The group takes the protocol of that member, and the brokers then share out the partitions."""
    service.make_topics(labels=True, more=MORE)
    worker = workers.start(*service.settings(labels=True, more=MORE))
    service.wait("the worker to be active", lambda: bool(service.assigned()))
    member = NewMember(service)
    assert workers.wait(worker) == 1
    member.leave()
    assert re.search(r"gives this worker [01] of the 2 partitions of .*, but engine.scope = topic", workers.log())
