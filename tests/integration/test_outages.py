"""The only broker is stopped or killed and started again at random moments under load, with a stand-by.

No worker ends, each instance is answered once, and the outputs equal those of one uninterrupted run.
"""

from __future__ import annotations

import re
import signal
import threading
import time
import urllib.error
import urllib.request
from random import Random

import pytest

from tests.campaign.answers import check_answers, unanswered
from tests.campaign.feed import Feed
from tests.integration.brokers import Broker
from tests.integration.reference import assert_equals_an_uninterrupted_run, settings_of
from tests.integration.service import Service

MORE = [
    "topics.partitions=2",
    "engine.batch_instances=100",
    "kafka.session_timeout_ms=4000",
    "labels.pending_count=5000",
    "labels.orphan_seconds=30",
    "limits.bad_share=0.9",
    "kafka.unready_after_seconds=3",
    "http.enabled=true",
    "http.port=0",
]
LONGEST_OUTAGE_SECONDS = 12.0


def get(service: Service, worker: str, path: str) -> tuple[int, str]:
    """Return the status and the text of a page of a worker."""
    (address,) = re.findall(r"metrics and health at (http://\S+)", service.log_of(worker))
    try:
        with urllib.request.urlopen(address + path, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def shows_the_outage(service: Service, worker: str) -> bool:
    """Return whether a worker is not ready, says why, and claims to know no lag."""
    status, text = get(service, worker, "/readyz")
    metrics = get(service, worker, "/metrics")[1]
    silent = re.search(r"^streamlearn_broker_silent_seconds (\S+)$", metrics, re.MULTILINE)
    return (
        status == 503
        and f"waiting for a broker of {service.broker}, none has answered for" in text
        and get(service, worker, "/healthz") == (200, "ok")
        and re.search(r"^streamlearn_(stand_by_)?lag_\w+ ", metrics, re.MULTILINE) is None
        and silent is not None
        and float(silent[1]) > 3
    )


def restart_under_load(service: Service, broker: Broker, restarts: int, seed: int) -> None:
    """Restart the broker, and check what the workers did."""
    draw = Random(seed)
    service.make_topics(labels=True, more=MORE)
    processes = {name: service.start(worker=name, labels=True, more=MORE) for name in ("w0", "w1")}
    service.wait("an active worker and a stand-by", lambda: set(service.assigned()) == {"w0", "w1"}, seconds=180)
    answered = service.follow("predictions")
    feed = Feed(service.broker, service.topic("instances"), service.topic("labels"), rate=100.0, seed=seed)
    feed.start()
    try:
        for restart in range(restarts):
            goal = answered.count() + draw.randrange(1, 250)
            service.wait(f"answers before restart {restart}", lambda goal=goal: answered.count() >= goal, seconds=90)
            end = draw.choice((broker.stop, broker.kill))
            # Every third outage is long, beyond the session of a member of the group.
            outage = draw.uniform(6.0, LONGEST_OUTAGE_SECONDS) if restart % 3 == 1 else draw.uniform(0.0, 2.0)
            end()
            began = time.monotonic()
            if restart == 1:
                for worker in processes:
                    service.wait(
                        f"{worker} to show the outage", lambda worker=worker: shows_the_outage(service, worker)
                    )
            threading.Event().wait(max(0.0, began + outage - time.monotonic()))
            started = broker.start()
            assert started.returncode == 0, started.stderr
            ended = {name: process.returncode for name, process in processes.items() if process.poll() is not None}
            assert not ended, f"ended after restart {restart}: {ended}\n{service.logs()}"
        goal = answered.count() + 50
        service.wait("answers after the last restart", lambda: answered.count() >= goal, seconds=90)
    finally:
        feed.stop()
    service.wait("every instance to be answered", lambda: unanswered(service) == 0, seconds=120)
    for worker, process in processes.items():
        assert process.poll() is None, service.logs()
        service.wait("readiness", lambda worker=worker: get(service, worker, "/readyz")[0] == 200)
        metrics = get(service, worker, "/metrics")[1]
        failures = re.findall(r"^streamlearn_failures_total{of=\"\w+\"} (\S+)$", metrics, re.MULTILINE)
        assert sum(map(float, failures)) > 0, "the outages are counted"
    for process in processes.values():
        process.send_signal(signal.SIGTERM)
    assert [process.wait(timeout=60) for process in processes.values()] == [0, 0], service.logs()
    counts = check_answers(service)
    assert counts.answered > restarts
    assert_equals_an_uninterrupted_run(service, settings_of(service, labels=True, more=MORE))


@pytest.mark.timeout(600)
def test_two_restarts_of_the_only_broker_under_load(service: Service, broker_process: Broker) -> None:
    restart_under_load(service, broker_process, restarts=2, seed=16)


@pytest.mark.slow
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("seed", [1])
def test_twenty_restarts_of_the_only_broker_under_load(service: Service, broker_process: Broker, seed: int) -> None:
    restart_under_load(service, broker_process, restarts=20, seed=seed)
