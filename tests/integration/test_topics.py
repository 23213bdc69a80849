"""``streamlearn topics`` and the start-up: what is wrong with the topics, by name."""

from __future__ import annotations

import subprocess
import sys

import pytest
from kafka import KafkaAdminClient

from streamlearn.errors import RetryableError, TopicError
from streamlearn.kafka.admin.topics import FoundTopic, Topics, prepare_topics
from streamlearn.settings.loading import load_settings
from streamlearn.settings.settings import Settings
from tests.integration.reference import settings_of
from tests.integration.service import Service


def make(service: Service, **topics: dict[str, object]) -> None:
    """Make topics by role, each with its partitions and settings."""
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


def problems(settings: Settings) -> list[str]:
    topics = Topics(settings)
    try:
        return topics.problems(topics.found())
    finally:
        topics.close()


def test_missing_topics_are_named_with_their_settings(service: Service) -> None:
    settings = settings_of(service, labels=True)
    found = problems(settings)
    assert len(found) == 7
    for role in ("instances", "labels", "predictions", "events", "metrics", "dead_letters", "journal"):
        assert any(f"(topics.{role}) does not exist" in problem for problem in found), role
    with pytest.raises(TopicError, match="does not exist"):
        prepare_topics(settings)


def test_wrong_counts_compaction_and_retention_are_named(service: Service) -> None:
    settings = settings_of(service, labels=True)
    make(
        service,
        instances={"partitions": 3, "cleanup_policy": "compact"},
        labels={"partitions": 2},
        predictions={},
        events={},
        metrics={},
        dead_letters={"cleanup_policy": "compact"},
        journal={"retention_ms": 1_000},
    )
    found = problems(settings)
    assert len(found) == 3
    assert "cleanup.policy=compact" in found[0]
    assert service.topic("instances") in found[0]
    assert f"{service.topic('labels')} has 2 partitions and {service.topic('instances')} 3" in found[1]
    assert f"{service.topic('journal')} keeps records for 1000 ms" in found[2]


def test_scope_partition_needs_a_journal_partition_for_each(service: Service) -> None:
    make(service, instances={"partitions": 3}, predictions={}, events={}, metrics={}, dead_letters={}, journal={})
    assert problems(settings_of(service, labels=False)) == []
    (found,) = problems(settings_of(service, labels=False, more=["engine.scope=partition"]))
    assert "engine.scope = partition needs 3" in found


def test_only_the_journal_is_made_unless_told(service: Service) -> None:
    make(service, instances={"partitions": 2, "retention_ms": 5_000_000}, predictions={}, events={}, metrics={})
    settings = settings_of(service, labels=False)
    with pytest.raises(TopicError, match=r"dead-letters \(topics\.dead_letters\) does not exist"):
        prepare_topics(settings)
    topics = Topics(settings)
    journal = topics.found()[service.topic("journal")]
    topics.close()
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


def test_no_broker_is_said_plainly() -> None:
    settings = Settings.model_validate({"kafka": {"bootstrap_servers": "127.0.0.1:1"}})
    with pytest.raises(RetryableError, match=r"no broker answers at 127\.0\.0\.1:1"):
        Topics(settings)


def test_a_broker_that_has_not_heard_of_a_new_topic_is_asked_again(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, FoundTopic]] = []
    real = Topics.found

    def found(self: Topics) -> dict[str, FoundTopic]:
        # What the cluster's other brokers know at first; after a creation the client waits for one of them.
        asked.append(real(self) if len(asked) != 1 else asked[0])
        return asked[-1]

    monkeypatch.setattr(Topics, "found", found)
    arguments = service.settings(labels=True)
    prepare_topics(load_settings(None, [*arguments[1::2], "topics.create=true"], {}).settings)
    assert [len(each) for each in asked] == [0, 0, 7]
