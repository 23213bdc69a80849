"""Three brokers that are killed, stopped, slow and restarted under load: each instance answered once, as by one
uninterrupted run."""

from __future__ import annotations

import json
import signal
import subprocess
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from kafka import KafkaAdminClient
from kafka.structs import TopicPartition

from tests.integration.brokers import Broker, started
from tests.integration.cluster import REPLICAS, Cluster, append_alone
from tests.integration.reference import assert_equals_an_uninterrupted_run, settings_of
from tests.integration.service import Service
from tests.integration.test_faults import answered_once, produce

pytestmark = pytest.mark.timeout(600)
MORE = [*REPLICAS, "engine.batch_instances=40", "kafka.session_timeout_ms=10000"]
COUNT = 4_000


@pytest.fixture(scope="module")
def brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """Start three brokers."""
    made = started(tmp_path_factory.mktemp("cluster"), nodes=3)
    yield made
    made.stop()


@pytest.fixture
def service(brokers: Broker, tmp_path: Path) -> Iterator[Service]:
    made = Service(brokers.address, f"c{uuid.uuid4().hex[:8]}", tmp_path)
    yield made
    made.kill_all()


@pytest.fixture
def cluster(brokers: Broker, service: Service) -> Iterator[Cluster]:
    """The cluster with the service's topics; all nodes run before and after."""
    made = Cluster(brokers, service)
    service.make_topics(labels=True, more=MORE)
    yield made
    for process in service.running():
        process.send_signal(signal.SIGCONT)
    for node in range(1, brokers.nodes + 1):
        brokers.resume(node)
    assert brokers.start().returncode == 0


def topics_of(service: Service) -> list[str]:
    roles = ("instances", "labels", "predictions", "dead_letters")
    return [*(service.topic(role) for role in roles), f"{service.name}-journal"]


def end_well(service: Service, process: subprocess.Popen[bytes], count: int) -> None:
    """Wait for every answer, end the worker, and compare with one uninterrupted run."""
    poison = service.follow("dead_letters")
    answered = service.follow("predictions")
    given = [record.value for record in service.read("instances")]
    bad = sum(value == b"{" for value in given)
    service.wait(
        "every instance to be answered",
        lambda: process.poll() is not None or (answered.count() >= count - bad and poison.count() >= bad),
        seconds=180,
    )
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=90) == 0, service.logs()
    answered_once(service, count)
    assert_equals_an_uninterrupted_run(service, settings_of(service, labels=True, more=MORE))


def kill_in_transactions(service: Service, cluster: Cluster, choices: Sequence[Callable[[], int]]) -> None:
    """Kill one broker after the other while the worker's transaction is open, the choice made at the moment."""
    count = produce(service, 500, seed=31)
    answered = service.follow("predictions")
    process = service.start(labels=True, more=MORE)
    service.wait("the first answers", lambda: answered.count() >= 100)
    for choose in choices:
        node = choose()
        count += produce(service, 2_000, seed=count, first=count)
        cluster.stop_in_transaction(process, f"{service.name}-topic", answered.count)
        here = answered.count()
        assert here < count - 300, "the kill must fall in mid-stream"
        cluster.brokers.kill(node)
        process.send_signal(signal.SIGCONT)
        service.wait("answers with two brokers", lambda here=here: answered.count() >= here + 200, seconds=90)
        assert process.poll() is None, service.logs()
        cluster.restore(*topics_of(service))
    end_well(service, process, count)


def test_the_leader_of_the_answers_killed_in_mid_transaction(service: Service, cluster: Cluster) -> None:
    kill_in_transactions(service, cluster, [lambda: cluster.leader(service.topic("predictions"), 1)])


@pytest.mark.cluster
def test_coordinator_and_leader_of_the_journal_killed_in_mid_transaction(service: Service, cluster: Cluster) -> None:
    kill_in_transactions(
        service,
        cluster,
        [
            lambda: cluster.coordinator(f"{service.name}-topic"),
            lambda: cluster.leader(f"{service.name}-journal"),
        ],
    )


@pytest.mark.cluster
def test_a_follower_that_lags_holds_nothing_up_and_may_lead_later(service: Service, cluster: Cluster) -> None:
    produce(service, COUNT, seed=32)
    answered = service.follow("predictions")
    process = service.start(labels=True, more=MORE)
    service.wait("answers", lambda: answered.count() >= 200)
    leader = cluster.leader(service.topic("predictions"))
    lagging = next(node for node in (1, 2, 3) if node != leader)
    cluster.brokers.pause(lagging)
    here = answered.count()
    service.wait("answers while a follower lags", lambda: answered.count() >= here + 600, seconds=90)
    cluster.brokers.resume(lagging)
    service.wait("the follower to catch up", lambda: cluster.in_sync(*topics_of(service)), seconds=90)
    cluster.brokers.kill(leader)
    here = answered.count()
    service.wait("answers without the leader", lambda: answered.count() >= here + 200, seconds=90)
    cluster.restore(*topics_of(service))
    end_well(service, process, COUNT)


@pytest.mark.cluster
def test_brokers_restarted_one_after_the_other(service: Service, cluster: Cluster) -> None:
    answered = service.follow("predictions")
    process = service.start(labels=True, more=MORE)
    count = 0
    for node in (1, 2, 3):
        count += produce(service, 1_500, seed=33 + node, first=count)
        here = answered.count()
        service.wait("answers before the restart", lambda here=here: answered.count() >= here + 200, seconds=90)
        assert answered.count() < count - 300, "the restart must fall in mid-stream"
        assert cluster.brokers.stop(node).returncode == 0
        cluster.restore(*topics_of(service))
        assert process.poll() is None, service.logs()
    end_well(service, process, count)


@pytest.mark.cluster
def test_two_of_three_killed_at_once_then_started_again(service: Service, cluster: Cluster) -> None:
    produce(service, COUNT, seed=34)
    answered = service.follow("predictions")
    process = service.start(labels=True, more=MORE)
    service.wait("answers before the kill", lambda: answered.count() >= 500)
    keeps = cluster.leader(service.topic("labels"))
    for node in {1, 2, 3} - {keeps}:
        cluster.brokers.signal(signal.SIGKILL, node)
    service.wait("the worker to notice", lambda: "trying again" in service.log_of("w0"), seconds=60)
    assert process.poll() is None, service.logs()
    cluster.restore(*topics_of(service))
    end_well(service, process, COUNT)


def test_a_log_cut_off_below_what_was_read_stops_by_name_also_after_a_restart(
    service: Service, cluster: Cluster
) -> None:
    """A follower that was away becomes leader (unclean election) and lacks what the model has learnt from."""
    leader, follower = 1, 2
    more = [*MORE, f"topics.instances={service.name}-cut", "topics.labels="]
    place = TopicPartition(f"{service.name}-cut", 0)

    def create(admin: KafkaAdminClient) -> None:
        configs = {"min.insync.replicas": "1", "unclean.leader.election.enable": "true", "cleanup.policy": "delete"}
        wanted = {place.topic: {"assignments": {0: [leader, follower]}, "configs": configs}}
        admin.create_topics(wanted, timeout_ms=10_000, wait_for_metadata=True)

    cluster.ask(create)

    def values(first: int, count: int) -> list[bytes]:
        return [json.dumps({"id": f"{n}", "x": {"f": n % 5}, "y": ["a"]}).encode() for n in range(first, first + count)]

    append_alone(cluster.brokers, leader, place, values(0, 100))
    process = service.start(more=more)
    service.wait("the first answers", lambda: len(service.read("predictions")) == 100)
    cluster.brokers.kill(follower)
    service.wait("the follower to be left out", lambda: cluster.described(place.topic)[0]["isr_nodes"] == [leader])
    append_alone(cluster.brokers, leader, place, values(100, 50))
    service.wait("answers of what only the leader has", lambda: len(service.read("predictions")) == 150, seconds=90)
    assert service.committed([place])[place][0] == 150
    cluster.brokers.kill(leader)
    assert cluster.brokers.start(node=follower).returncode == 0
    cluster.elect_unclean(place)
    assert process.wait(timeout=120) == 1, service.logs()
    assert f"{place.topic}[0] was cut off at 100" in service.log_of("w0")
    # New records fill the log beyond the old position: only the epoch tells that they are others.
    append_alone(cluster.brokers, follower, place, values(900, 80))
    again = service.start(more=more)
    assert again.wait(timeout=120) == 1, service.logs()
    assert service.log_of("w0").count(f"{place.topic}[0] was cut off at 100") >= 2
    assert len(service.read("predictions")) == 150
