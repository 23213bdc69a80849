"""``streamlearn topics`` and the start of a worker name everything that is wrong with the topics."""

from __future__ import annotations

import subprocess
import sys

import pytest
from kafka import KafkaAdminClient

from streamlearn.errors import RetryableError, TopicError
from streamlearn.kafka.admin.topics import TopicAdmin, TopicDescription, prepare_topics
from streamlearn.settings.loading import load_settings
from streamlearn.settings.settings import Settings
from tests.integration.reference import settings_of
from tests.integration.service import Service


def create(service: Service, **topics: dict[str, object]) -> None:
    """Create topics by role, each with its partitions and settings."""
    admin = KafkaAdminClient(bootstrap_servers=service.broker)
    wanted = {
        service.topic(role): {
            "num_partitions": options.pop("partitions", 1),
            "replication_factor": 1,
            "configs": {key.replace("_", "."): str(value) for key, value in options.items()},
        }
        for role, options in topics.items()
    }
    admin.create_topics(wanted, timeout_ms=10_000, wait_for_metadata=True)
    admin.close()


def find_problems(settings: Settings) -> list[str]:
    admin = TopicAdmin(settings)
    try:
        return admin.find_problems(admin.describe())
    finally:
        admin.close()


def test_missing_topics_are_named_with_their_settings(service: Service) -> None:
    settings = settings_of(service, labels=True)
    found = find_problems(settings)
    assert len(found) == 7
    for role in ("instances", "labels", "predictions", "events", "metrics", "dead_letters", "journal"):
        assert any(f"(topics.{role}) does not exist" in problem for problem in found), role
    with pytest.raises(TopicError, match="does not exist"):
        prepare_topics(settings)


def test_wrong_counts_compaction_and_retention_are_named(service: Service) -> None:
    settings = settings_of(service, labels=True, more=["engine.scope=partition"])
    create(
        service,
        instances={"partitions": 3, "cleanup_policy": "compact"},
        labels={"partitions": 2},
        predictions={},
        events={},
        metrics={},
        dead_letters={"cleanup_policy": "compact"},
        journal={"partitions": 3, "retention_ms": 1_000},
    )
    found = find_problems(settings)
    assert len(found) == 3
    assert "cleanup.policy=compact" in found[0]
    assert service.topic("instances") in found[0]
    assert f"{service.topic('labels')} has 2 partitions and {service.topic('instances')} 3" in found[1]
    assert f"{service.topic('journal')} keeps records for 1000 ms" in found[2]
    of_the_topic = find_problems(settings_of(service, labels=True))
    assert of_the_topic == [found[0], found[2]], "one model for the topic finds a label's instance in any partition"


def test_scope_partition_needs_a_journal_partition_for_each(service: Service) -> None:
    create(service, instances={"partitions": 3}, predictions={}, events={}, metrics={}, dead_letters={}, journal={})
    assert find_problems(settings_of(service, labels=False)) == []
    (found,) = find_problems(settings_of(service, labels=False, more=["engine.scope=partition"]))
    assert "engine.scope = partition needs 3" in found


def test_only_the_journal_is_created_by_default(service: Service) -> None:
    create(service, instances={"partitions": 2, "retention_ms": 5_000_000}, predictions={}, events={}, metrics={})
    settings = settings_of(service, labels=False)
    with pytest.raises(TopicError, match=r"dead-letters \(topics\.dead_letters\) does not exist"):
        prepare_topics(settings)
    admin = TopicAdmin(settings)
    journal = admin.describe()[service.topic("journal")]
    admin.close()
    assert (journal.partitions, journal.configs["retention.ms"]) == (2, "5000000")
    prepare_topics(settings_of(service, labels=False, more=["topics.create=true"]))


def test_check_ends_with_status_2_and_a_line_for_each_fault(service: Service) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "streamlearn", "topics", "check", *service.settings()],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 6


def test_an_unreachable_broker_is_named() -> None:
    settings = Settings.model_validate({"kafka": {"bootstrap_servers": "127.0.0.1:1"}})
    with pytest.raises(RetryableError, match=r"no broker answers at 127\.0\.0\.1:1"):
        TopicAdmin(settings)


def test_topics_are_described_again_until_the_brokers_know_a_new_one(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[dict[str, TopicDescription]] = []
    describe = TopicAdmin.describe

    def describe_late(self: TopicAdmin) -> dict[str, TopicDescription]:
        # A broker may not know a new topic yet: after a creation the client waits for one broker only.
        answers.append(describe(self) if len(answers) != 1 else answers[0])
        return answers[-1]

    monkeypatch.setattr(TopicAdmin, "describe", describe_late)
    arguments = service.settings(labels=True)
    prepare_topics(load_settings(None, [*arguments[1::2], "topics.create=true"], {}).settings)
    assert [len(answer) for answer in answers] == [0, 0, 7]
