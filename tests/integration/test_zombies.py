"""A worker that is stopped in its transaction, beyond its session, and wakes when another one has taken over."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.faults.workers import Workers
from tests.integration.reference import assert_equals_an_uninterrupted_run, settings_of
from tests.integration.service import Service
from tests.integration.test_faults import answered_once, instance

COUNT = 80


def written(service: Service) -> dict[str, list[bytes]]:
    """Return everything that lies in the outputs and the journal, committed or not."""
    topics = [service.topic("predictions"), service.topic("dead_letters"), f"{service.name}-journal"]
    return {topic: [record.value for record in service.read_topic(topic, committed=False)] for topic in topics}


@pytest.mark.parametrize(("scope", "point"), [("topic", "offsets sent"), ("partition", "outputs flushed")])
def test_a_zombie_that_wakes_after_the_takeover_writes_nothing(
    service: Service, workers: Workers, scope: str, point: str
) -> None:
    """In scope ``topic`` its transactional id was taken over, in scope ``partition`` its generation is over."""
    more = ["topics.partitions=2", f"engine.scope={scope}", "kafka.session_timeout_ms=1000", "engine.batch_instances=8"]
    service.make_topics(more=more)
    service.produce_raw("instances", [instance(row) for row in range(COUNT)])
    places = [(service.topic("instances"), number) for number in range(2)]

    def all_applied(count: int) -> bool:
        return sum(offset for offset, _ in service.committed(places).values()) == count

    zombie = workers.start(*service.settings(worker="w0", more=more), armed=f"{point}:3:SIGSTOP")
    service.wait("the worker to be stopped", lambda: _state(zombie) == "T")
    heir = workers.start(*service.settings(worker="w1", more=more))
    service.wait("the other worker to apply everything", lambda: all_applied(COUNT))
    before = written(service)
    os.kill(zombie, signal.SIGCONT)
    shares = [[], [0, 1]] if scope == "topic" else [[0], [1]]
    service.wait("the zombie to join again", lambda: sorted(service.assigned().values()) == shares)
    assert written(service) == before, "the zombie wrote"
    service.produce_raw("instances", [instance(row) for row in range(COUNT, 2 * COUNT)])
    service.wait("answers after it came back", lambda: all_applied(2 * COUNT))
    for process in (heir, zombie):
        os.kill(process, signal.SIGTERM)
        assert workers.wait(process) == 0, workers.log()
    # The zombie learns that it is fenced; it must not fence the other one before it has joined again.
    assert workers.log().count("retry: ProducerFencedError") == (scope == "topic"), workers.log()
    answered_once(service, 2 * COUNT)
    assert_equals_an_uninterrupted_run(service, settings_of(service, labels=False, more=more))


def _state(process: int) -> str:
    """Return the letter of a process's state, T when it is stopped."""
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
