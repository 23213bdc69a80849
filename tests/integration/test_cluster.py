"""Three brokers that are killed, stopped, slow and restarted under load.

Each instance is answered once, and the outputs equal those of one uninterrupted run.
"""

from __future__ import annotations

import json
import signal
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from kafka import KafkaAdminClient
from kafka.structs import TopicPartition

from tests.faults.workers import Starter
from tests.integration.brokers import Broker, start_brokers
from tests.integration.cluster import REPLICAS, Cluster, append_to_leader
from tests.integration.reference import assert_equals_an_uninterrupted_run, settings_of
from tests.integration.service import AnyWorker, Service
from tests.integration.test_faults import assert_each_handled_once, produce

pytestmark = pytest.mark.timeout(600)
MORE = [*REPLICAS, "engine.batch_instances=40", "kafka.session_timeout_ms=10000"]
COUNT = 4_000


@pytest.fixture(scope="module")
def brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """Start three brokers."""
    made = start_brokers(tmp_path_factory.mktemp("cluster"), nodes=3)
    yield made
    made.discard()


@pytest.fixture
def service(brokers: Broker, starter: Starter, tmp_path: Path) -> Iterator[Service]:
    made = Service(brokers.address, f"c{uuid.uuid4().hex[:8]}", tmp_path, starter)
    yield made
    made.kill_all()


@pytest.fixture
def cluster(brokers: Broker, service: Service) -> Iterator[Cluster]:
    """Create the service's topics on the cluster, of which all nodes run."""
    made = Cluster(brokers, service)
    # A test before may have left one killed.
    assert brokers.start().returncode == 0
    service.make_topics(labels=True, more=MORE)
    yield made
    for process in service.running():
        process.send_signal(signal.SIGCONT)
    for node in range(1, brokers.nodes + 1):
        brokers.resume(node)


def topics_of(service: Service) -> list[str]:
    roles = ("instances", "labels", "predictions", "dead_letters")
    return [*(service.topic(role) for role in roles), f"{service.name}-journal"]


def finish_and_compare(service: Service, process: AnyWorker, count: int) -> None:
    """Wait for all answers, stop the worker, and compare with one uninterrupted run."""
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
    assert_each_handled_once(service, count)
    assert_equals_an_uninterrupted_run(service, settings_of(service, labels=True, more=MORE))


def kill_in_transactions(service: Service, cluster: Cluster, choices: Sequence[Callable[[], int]]) -> None:
    """Kill one broker after the other while the worker's transaction is open; each is chosen at that moment."""
    count = produce(service, 500, seed=31)
    answered = service.follow("predictions")
    process = service.start(labels=True, more=MORE)
    service.wait("the first answers", lambda: answered.count() >= 100)
    for choose in choices:
        node = choose()
        count += produce(service, 2_000, seed=count, first=count)
        cluster.freeze_in_transaction(process, f"{service.name}-topic", answered.count)
        here = answered.count()
        assert here < count - 300, "the kill did not happen in mid-stream"
        cluster.brokers.kill(node)
        process.send_signal(signal.SIGCONT)
        service.wait("answers with two brokers", lambda here=here: answered.count() >= here + 200, seconds=90)
        assert process.poll() is None, service.logs()
        cluster.restore(*topics_of(service))
    finish_and_compare(service, process, count)


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
def test_a_follower_that_lags_delays_nothing_and_may_lead_later(service: Service, cluster: Cluster) -> None:
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
    finish_and_compare(service, process, COUNT)


@pytest.mark.cluster
def test_brokers_restarted_one_after_the_other(service: Service, cluster: Cluster) -> None:
    answered = service.follow("predictions")
    process = service.start(labels=True, more=MORE)
    count = 0
    for node in (1, 2, 3):
        count += produce(service, 1_500, seed=33 + node, first=count)
        here = answered.count()
        service.wait("answers before the restart", lambda here=here: answered.count() >= here + 200, seconds=90)
        assert answered.count() < count - 300, "the restart did not happen in mid-stream"
        assert cluster.brokers.stop(node).returncode == 0
        cluster.restore(*topics_of(service))
        assert process.poll() is None, service.logs()
    finish_and_compare(service, process, count)


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
    finish_and_compare(service, process, COUNT)


def test_a_log_cut_off_below_what_was_read_stops_by_name_also_after_a_restart(
    service: Service, cluster: Cluster
) -> None:
    """A follower that was away becomes leader by unclean election, and lacks records that the model has learnt from."""
    leader, follower = 1, 2
    more = [*MORE, f"topics.instances={service.name}-cut", "topics.labels="]
    partition = TopicPartition(f"{service.name}-cut", 0)

    def create(admin: KafkaAdminClient) -> None:
        configs = {"min.insync.replicas": "1", "unclean.leader.election.enable": "true", "cleanup.policy": "delete"}
        wanted = {partition.topic: {"assignments": {0: [leader, follower]}, "configs": configs}}
        admin.create_topics(wanted, timeout_ms=10_000, wait_for_metadata=True)

    cluster.ask(create)

    def values(first: int, count: int) -> list[bytes]:
        return [json.dumps({"id": f"{n}", "x": {"f": n % 5}, "y": ["a"]}).encode() for n in range(first, first + count)]

    append_to_leader(cluster.brokers, leader, partition, values(0, 100))
    process = service.start(more=more)
    service.wait("the first answers", lambda: len(service.read("predictions")) == 100)
    cluster.brokers.kill(follower)
    service.wait("the follower to be left out", lambda: cluster.describe(partition.topic)[0]["isr_nodes"] == [leader])
    append_to_leader(cluster.brokers, leader, partition, values(100, 50))
    service.wait("answers of what only the leader has", lambda: len(service.read("predictions")) == 150, seconds=90)
    assert service.committed([partition])[partition][0] == 150
    cluster.brokers.kill(leader)
    assert cluster.brokers.start(node=follower).returncode == 0
    cluster.elect_unclean(partition)
    assert process.wait(timeout=120) == 1, service.logs()
    assert f"{partition.topic}[0] was cut off at 100" in service.log_of("w0")
    # New records fill the log beyond the old position: only the leader epoch shows that they are different ones.
    append_to_leader(cluster.brokers, follower, partition, values(900, 80))
    again = service.start(more=more)
    assert again.wait(timeout=120) == 1, service.logs()
    assert service.log_of("w0").count(f"{partition.topic}[0] was cut off at 100") >= 2
    assert len(service.read("predictions")) == 150
