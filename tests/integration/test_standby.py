"""A warm stand-by on a broker: it follows the active worker's model, takes over after a SIGKILL, and stays active."""

from __future__ import annotations

import re
import signal
import time
import urllib.request

import pytest

from streamlearn.kafka.admin.consumer_group import describe_group
from tests.integration.reference import assert_equals_an_uninterrupted_run, settings_of
from tests.integration.service import Service
from tests.integration.test_faults import assert_each_handled_once, produce

MORE = [
    "topics.partitions=3",
    "engine.batch_instances=100",
    "kafka.session_timeout_ms=2000",
    "snapshot.interval_seconds=600",
    "http.enabled=true",
    "http.port=0",
]


def read_page(service: Service, worker: str, path: str) -> str:
    """Return a page of a worker's newest process; empty while it serves none."""
    addresses = re.findall(r"metrics and health at (http://\S+)", service.log_of(worker))
    if not addresses:
        return ""
    try:
        with urllib.request.urlopen(addresses[-1] + path, timeout=5) as answer:
            return answer.read().decode()
    except OSError:
        return ""


def gauges(service: Service, worker: str) -> tuple[float, float]:
    """Return a worker's metrics of sequence and chain; zeros while it serves none."""
    text = read_page(service, worker, "/metrics")
    found = [re.search(rf"^streamlearn_{name} (\S+)$", text, re.MULTILINE) for name in ("sequence", "chain")]
    sequence, chain = (0.0 if match is None else float(match[1]) for match in found)
    return sequence, chain


def test_a_stand_by_takes_over_and_stays_active(service: Service) -> None:
    service.make_topics(labels=True, more=MORE)
    answered = service.follow("predictions")
    first = service.start(worker="w0", labels=True, more=MORE)
    service.wait("one to hold all", lambda: service.assigned() == {"w0": [0, 1, 2]})
    second = service.start(worker="w1", labels=True, more=MORE)
    service.wait("one to stand by", lambda: service.assigned() == {"w0": [0, 1, 2], "w1": []})
    service.wait("it to say so", lambda: read_page(service, "w1", "/readyz") == "stand-by, nothing to follow yet")
    service.wait("the other to be active", lambda: read_page(service, "w0", "/readyz") == "active")
    count = produce(service, 600, seed=41)
    service.wait("answers", lambda: answered.count() >= 500)
    service.wait(
        "both to hold the same model",
        lambda: gauges(service, "w0") == gauges(service, "w1") != (0.0, 0.0),
    )
    readiness = read_page(service, "w1", "/readyz")
    assert re.match(r"stand-by, warm: at sequence \d+, chain [0-9a-f]{24}, \d+ batches", readiness)
    count += produce(service, 1_000, seed=42)
    goal = answered.count() + 200
    service.wait("answers before the kill", lambda: answered.count() >= goal)
    first.send_signal(signal.SIGKILL)
    first.wait()
    service.wait("the takeover", lambda: read_page(service, "w1", "/readyz") == "active")
    assert "taken over warm" in service.log_of("w1")
    third = service.start(worker="w0", labels=True, more=MORE)
    service.wait("the first to come back and stand by", lambda: service.assigned() == {"w0": [], "w1": [0, 1, 2]})
    count += produce(service, 300, seed=43)

    def all_handled() -> bool:
        poison = [record for record in service.read("dead_letters") if record.value == b"{"]
        return answered.count() + len(poison) >= count

    service.wait("every instance", all_handled)
    second.send_signal(signal.SIGTERM)
    assert second.wait(timeout=60) == 0, service.logs()
    service.wait("the takeover of a worker that stops", lambda: read_page(service, "w0", "/readyz") == "active")
    assert "taken over warm" in service.log_of("w0")
    third.send_signal(signal.SIGTERM)
    assert third.wait(timeout=60) == 0, service.logs()
    assert_each_handled_once(service, count)
    assert_equals_an_uninterrupted_run(service, settings_of(service, labels=True, more=MORE))


@pytest.mark.slow
def test_a_stand_by_that_is_stopped_has_left_the_group_or_says_so(service: Service) -> None:
    more = [*MORE, "kafka.session_timeout_ms=60000"]
    service.make_topics(labels=True, more=more)
    service.start(worker="w0", labels=True, more=more)
    service.wait("one to hold all", lambda: service.assigned() == {"w0": [0, 1, 2]})
    produce(service, 100, seed=44)
    second = service.start(worker="w1", labels=True, more=more)
    service.wait("one to stand by", lambda: service.assigned() == {"w0": [0, 1, 2], "w1": []})
    service.wait("it to follow", lambda: read_page(service, "w1", "/readyz").startswith("stand-by, warm"))
    second.send_signal(signal.SIGTERM)
    begun = time.monotonic()
    assert second.wait(timeout=60) == 0, service.logs()
    assert time.monotonic() < begun + 2.5
    has_said = "the worker did not leave group" in service.log_of("w1")
    assert ("w1" in describe_members(service)) == has_said, service.log_of("w1")


def describe_members(service: Service) -> set[str]:
    settings = settings_of(service, labels=True, more=MORE)
    return {member.instance for member in describe_group(settings).members}
