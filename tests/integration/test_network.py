"""A worker whose connection to the broker is slow, narrow, reset, half-open or cut.

Each instance is answered once, and the outputs equal those of one uninterrupted run.
"""

from __future__ import annotations

import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.brokers import Broker, start_brokers
from tests.integration.reference import assert_equals_an_uninterrupted_run, settings_of
from tests.integration.service import AnyWorker, Follower, Service
from tests.integration.test_faults import assert_each_handled_once, produce
from tests.integration.toxiproxy import Toxiproxy, program

pytestmark = [pytest.mark.network, pytest.mark.timeout(600)]
UPSTREAM, PROXY = 4, 5
SESSION_SECONDS = 3
MORE = ["topics.partitions=3", "engine.batch_instances=30", f"kafka.session_timeout_ms={SESSION_SECONDS * 1000}"]
COUNT = 1_500


@pytest.fixture(scope="module")
def proxied_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Broker, Toxiproxy]]:
    """Start a broker with another listener, which it advertises on the proxy's port."""
    program()
    folder = tmp_path_factory.mktemp("network")

    def listeners(port: int) -> str:
        plain, controller = f"PLAINTEXT://127.0.0.1:{port}", f"CONTROLLER://127.0.0.1:{port + 1}"
        return (
            f"listeners={plain},{controller},PROXIED://127.0.0.1:{port + UPSTREAM}\n"
            f"advertised.listeners={plain},PROXIED://127.0.0.1:{port + PROXY}\n"
            "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:PLAINTEXT\n"
        )

    broker = start_brokers(folder / "broker", properties=listeners)
    proxy = Toxiproxy(broker.port() + PROXY, broker.port() + UPSTREAM, folder / "toxiproxy.log")
    yield broker, proxy
    proxy.close()
    broker.discard()


@pytest.fixture
def proxy(proxied_broker: tuple[Broker, Toxiproxy]) -> Toxiproxy:
    return proxied_broker[1]


@pytest.fixture
def service(proxied_broker: tuple[Broker, Toxiproxy], tmp_path: Path) -> Iterator[Service]:
    """Create a service whose tests do not read through the proxy."""
    made = Service(proxied_broker[0].address, f"n{uuid.uuid4().hex[:8]}", tmp_path)
    made.make_topics(labels=True, more=MORE)
    yield made
    made.kill_all()


@pytest.fixture
def through(proxied_broker: tuple[Broker, Toxiproxy]) -> list[str]:
    """Return the settings of a worker that connects through the proxy."""
    return [*MORE, f"kafka.bootstrap_servers=127.0.0.1:{proxied_broker[0].port() + PROXY}"]


def wait_for_answers(service: Service, process: AnyWorker, answered: Follower, more: int) -> None:
    goal = answered.count() + more
    service.wait("more answers", lambda: answered.count() >= goal, seconds=120)
    assert process.poll() is None, service.logs()


def finish_and_compare(service: Service, process: AnyWorker, answered: Follower, count: int) -> None:
    dead = service.follow("dead_letters")
    bad = sum(record.value == b"{" for record in service.read("instances"))
    service.wait(
        "every instance to be answered",
        lambda: process.poll() is not None or (answered.count() >= count - bad and dead.count() >= bad),
        seconds=180,
    )
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=90) == 0, service.logs()
    assert_each_handled_once(service, count)
    assert_equals_an_uninterrupted_run(service, settings_of(service, labels=True, more=MORE))


def test_latency_and_low_bandwidth(service: Service, proxy: Toxiproxy, through: list[str]) -> None:
    produce(service, COUNT, seed=41)
    answered = service.follow("predictions")
    process = service.start(labels=True, more=through)
    wait_for_answers(service, process, answered, 100)
    with proxy.toxic("latency", latency=150, jitter=100):
        wait_for_answers(service, process, answered, 100)
    with proxy.toxic("bandwidth", rate=40):
        wait_for_answers(service, process, answered, 300)
    finish_and_compare(service, process, answered, COUNT)


def test_connections_that_are_reset_repeatedly(service: Service, proxy: Toxiproxy, through: list[str]) -> None:
    produce(service, COUNT, seed=42)
    answered = service.follow("predictions")
    process = service.start(labels=True, more=through)
    for _ in range(4):
        wait_for_answers(service, process, answered, 100)
        failures = service.log_of("w0").count("trying again")
        with proxy.toxic("reset_peer", timeout=0):
            service.wait("a failure", lambda failures=failures: service.log_of("w0").count("trying again") > failures)
    finish_and_compare(service, process, answered, COUNT)


def test_half_open_connections(service: Service, proxy: Toxiproxy, through: list[str]) -> None:
    """Requests arrive, responses do not, and no connection is closed."""
    produce(service, COUNT, seed=43)
    answered = service.follow("predictions")
    process = service.start(labels=True, more=through)
    wait_for_answers(service, process, answered, 200)
    with proxy.toxic("timeout", "downstream", timeout=0):
        service.wait("the worker to notice", lambda: "trying again" in service.log_of("w0"), seconds=90)
    service.wait("answers, or the end of the worker", lambda: ended_or_more(process, answered, 300), seconds=150)
    if process.poll() is not None:
        # The watchdog ends the process when a call does not return; its supervisor would start it again.
        assert "giving up" in service.log_of("w0"), service.logs()
        process = service.start(labels=True, more=through)
    finish_and_compare(service, process, answered, COUNT)


def ended_or_more(process: AnyWorker, answered: Follower, goal: int) -> bool:
    return process.poll() is not None or answered.count() >= goal


def test_a_cut_longer_than_the_session_lets_another_worker_take_over(
    service: Service, proxy: Toxiproxy, through: list[str]
) -> None:
    produce(service, COUNT, seed=44)
    answered = service.follow("predictions")
    first = service.start(labels=True, more=through)
    wait_for_answers(service, first, answered, 200)
    second = service.start(worker="w1", labels=True, more=MORE)
    service.wait("the second to stand by", lambda: service.assigned().get("w1") == [], seconds=90)
    count = COUNT + produce(service, 500, seed=45, first=COUNT)
    with proxy.cut():
        service.wait("the second to take over", lambda: service.assigned().get("w1") == [0, 1, 2], seconds=90)
        wait_for_answers(service, second, answered, 100)
    count += produce(service, 200, seed=46, first=count)
    service.wait("the first to come back", lambda: service.assigned().get("w0") == [], seconds=120)
    first.send_signal(signal.SIGTERM)
    assert first.wait(timeout=90) == 0, service.logs()
    finish_and_compare(service, second, answered, count)
