"""A worker whose network fails for longer than its session, and then works again."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from tests.faults.workers import Workers
from tests.integration.proxy import Proxy
from tests.integration.reference import assert_equals_an_uninterrupted_run, settings_of
from tests.integration.service import Service
from tests.integration.test_faults import assert_each_handled_once, produce

COUNT = 500
MORE = ["topics.partitions=2", "kafka.session_timeout_ms=3000", "engine.batch_instances=8"]


@pytest.fixture
def proxy(broker: str) -> Iterator[Proxy]:
    made = Proxy(broker)
    yield made
    made.close()


@pytest.mark.parametrize("how", ["cut", "silent"])
def test_a_worker_that_is_cut_off_is_replaced_and_stands_by_when_it_comes_back(
    service: Service, workers: Workers, proxy: Proxy, how: str
) -> None:
    service.make_topics(labels=True, more=MORE)
    count = produce(service, COUNT, seed=51)
    answered = service.follow("predictions")
    through = [*MORE, f"kafka.bootstrap_servers={proxy.address}"]
    first = workers.start(*service.settings(labels=True, more=through))
    service.wait("the first answers", lambda: answered.count() >= 50)
    second = workers.start(*service.settings(labels=True, worker="w1", more=MORE))
    service.wait("the second to stand by", lambda: service.assigned().get("w1") == [])
    count += produce(service, COUNT, seed=52, first=count)
    (proxy.cut if how == "cut" else proxy.silence)()
    assert answered.count() < count - 300, "the fault did not happen in mid-stream"
    service.wait("the second to take over", lambda: service.assigned().get("w1") == [0, 1])
    bad = sum(record.value == b"{" for record in service.read("instances"))
    service.wait("answers by the second", lambda: answered.count() >= count - bad, seconds=90)
    proxy.restore()
    service.wait("the first to come back", lambda: service.assigned().get("w0") == [], seconds=90)
    for process in (first, second):
        os.kill(process, signal.SIGTERM)
        assert workers.wait(process) == 0, workers.log()[-3000:]
    assert_each_handled_once(service, count)
    assert_equals_an_uninterrupted_run(service, settings_of(service, labels=True, more=MORE))
