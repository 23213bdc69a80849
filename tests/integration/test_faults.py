"""Workers are killed, with several partitions and a labels topic.

The outputs equal those of one uninterrupted run.
"""

from __future__ import annotations

import json
import os
import signal
from random import Random

import pytest
from kafka import KafkaProducer

from tests.faults.workers import Workers
from tests.integration.reference import assert_equals_an_uninterrupted_run, settings_of
from tests.integration.service import Service

PARTITIONS = ["topics.partitions=3"]


def instance(row: int) -> bytes:
    return json.dumps({"id": f"r{row}", "x": {"f": row % 7, f"w{row % 4}": 1, f"v{row % 3}": 0.5}}).encode()


def truth(row: int) -> bytes:
    return json.dumps({"id": f"r{row}", "y": [f"label{row % 4}", f"other{row % 3}"]}).encode()


def produce(service: Service, count: int, seed: int, first: int = 0) -> int:
    """Send instances from row ``first`` on, and labels that come late, out of order, twice, never, or for poison.

    Returns
    -------
    int
        Number of instances.
    """
    random = Random(seed)
    producer = KafkaProducer(bootstrap_servers=service.broker, linger_ms=5)
    delayed: list[tuple[int, int]] = []
    futures = []
    for row in range(first, first + count):
        key = f"r{row}".encode()
        poison = b"{" if random.random() < 0.01 else None
        futures.append(producer.send(service.topic("instances"), value=poison or instance(row), key=key))
        if random.random() < 0.8:
            delayed.append((row + random.randrange(0, 400), row))
        for due, labelled in [entry for entry in delayed if entry[0] <= row]:
            delayed.remove((due, labelled))
            futures.extend(
                producer.send(service.topic("labels"), value=truth(labelled), key=f"r{labelled}".encode())
                for _ in range(2 if random.random() < 0.02 else 1)
            )
    producer.flush(timeout=120)
    for future in futures:
        future.get(timeout=1)
    producer.close(timeout=5)
    return count


def assert_each_handled_once(service: Service, count: int) -> None:
    """Assert that each instance has either one answer or one dead letter."""
    answers = [(each["source"]["partition"], each["source"]["offset"]) for each in service.predictions()]
    dead = [dict(record.headers) for record in service.read("dead_letters")]
    poison = [
        (int(headers["streamlearn.partition"]), int(headers["streamlearn.offset"]))
        for headers in dead
        if headers["streamlearn.topic"] == service.topic("instances").encode()
    ]
    given = [(record.partition, record.offset) for record in service.read("instances")]
    assert len(given) == count
    assert sorted(answers + poison) == sorted(given), f"not each exactly once\n{service.logs()}"


def kill_repeatedly(service: Service, workers: Workers, kills: int) -> None:
    """Kill a worker in mid-stream, and compare all outputs with those of one uninterrupted run."""
    more = [*PARTITIONS, "engine.batch_instances=150"]
    service.make_topics(labels=True, more=more)
    count = produce(service, 6_000, seed=11)
    random = Random(12)
    answered = service.follow("predictions")
    for _ in range(kills):
        process = workers.start(*service.settings(labels=True, more=more))
        goal = answered.count() + random.randrange(1, 400)
        service.wait("answers before the kill", lambda goal=goal: answered.count() >= goal)
        os.kill(process, signal.SIGKILL)
        assert workers.wait(process) == -signal.SIGKILL, workers.log()
        assert 0 < answered.count() < 0.98 * count, "the kill did not happen in mid-stream"
    last = workers.start("--stop-at-end", *service.settings(labels=True, more=more))
    assert workers.wait(last, 120) == 0, workers.log()
    assert_each_handled_once(service, count)
    assert_equals_an_uninterrupted_run(service, settings_of(service, labels=True, more=more))


def test_killed_four_times_with_partitions_and_late_labels_it_equals_one_uninterrupted_run(
    service: Service, workers: Workers
) -> None:
    kill_repeatedly(service, workers, kills=4)


@pytest.mark.slow
def test_killed_ten_times_with_partitions_and_late_labels_it_equals_one_uninterrupted_run(
    service: Service, workers: Workers
) -> None:
    kill_repeatedly(service, workers, kills=10)
