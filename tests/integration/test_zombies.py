"""A worker that is frozen during its transaction until its session has expired and another one has taken over."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

from tests.faults.workers import Workers
from tests.integration.reference import assert_equals_an_uninterrupted_run, settings_of
from tests.integration.service import Service
from tests.integration.test_faults import assert_each_handled_once, instance

COUNT = 80


def read_written(service: Service) -> dict[str, list[bytes]]:
    """Return all records of the outputs and the journal, committed or not."""
    topics = [service.topic("predictions"), service.topic("dead_letters"), f"{service.name}-journal"]
    return {topic: [record.value for record in service.read_topic(topic, committed=False)] for topic in topics}


@pytest.mark.parametrize(("scope", "point"), [("topic", "offsets sent"), ("partition", "outputs flushed")])
def test_a_zombie_that_wakes_after_the_takeover_writes_nothing(
    service: Service, workers: Workers, scope: str, point: str
) -> None:
    """In scope ``topic`` its transactional id was taken over, in scope ``partition`` its generation has ended."""
    more = ["topics.partitions=2", f"engine.scope={scope}", "kafka.session_timeout_ms=2000", "engine.batch_instances=8"]
    service.make_topics(more=more)
    service.produce_raw("instances", [instance(row) for row in range(COUNT)])
    partitions = [(service.topic("instances"), number) for number in range(2)]

    def all_applied(count: int) -> bool:
        return sum(offset for offset, _ in service.committed(partitions).values()) == count

    zombie = workers.start(*service.settings(worker="w0", more=more), armed=f"{point}:3:SIGSTOP")
    service.wait("the worker to be stopped", lambda: _state(zombie) == "T")
    successor = workers.start(*service.settings(worker="w1", more=more))
    service.wait("the other worker to apply everything", lambda: all_applied(COUNT))
    before = read_written(service)
    os.kill(zombie, signal.SIGCONT)
    shares = [[], [0, 1]] if scope == "topic" else [[0], [1]]
    service.wait("the zombie to join again", lambda: sorted(service.assigned().values()) == shares)
    assert read_written(service) == before, "the zombie wrote"
    service.produce_raw("instances", [instance(row) for row in range(COUNT, 2 * COUNT)])
    service.wait("answers after it came back", lambda: all_applied(2 * COUNT))
    for process in (successor, zombie):
        os.kill(process, signal.SIGTERM)
        assert workers.wait(process) == 0, workers.log()
    # The zombie notices that it is fenced; it must not fence the other one before it has joined again.
    fenced = re.findall(r"ProducerFencedError\b.*trying again", workers.log())
    assert len(fenced) == (scope == "topic"), workers.log()
    assert_each_handled_once(service, 2 * COUNT)
    assert_equals_an_uninterrupted_run(service, settings_of(service, labels=False, more=more))


def _state(process: int) -> str:
    """Return the letter of a process's state; T is stopped."""
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
