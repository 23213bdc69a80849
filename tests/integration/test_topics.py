"""``streamlearn topics`` and the start of a worker name everything that is wrong with the topics."""

from __future__ import annotations

import subprocess
import sys

import pytest
from kafka import KafkaAdminClient

from streamlearn.engine.loop.engine import Engine
from streamlearn.errors import RetryableError, TopicError
from streamlearn.kafka.admin.topics import TopicAdmin, TopicDescription, prepare_topics
from streamlearn.kafka.client_options import lookup_options
from streamlearn.kafka.sink import KafkaSink
from streamlearn.kafka.source import KafkaSource
from streamlearn.settings.loading import load_settings
from streamlearn.settings.names import check_topic_name
from streamlearn.settings.settings import Settings
from streamlearn.snapshot.store import SnapshotStore
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


def test_names_are_refused_by_the_settings_exactly_when_the_brokers_refuse_them(service: Service) -> None:
    admin = KafkaAdminClient(bootstrap_servers=service.broker)
    names = ["pre dictions", "a/b", "a" * 249, "a" * 250, "..", ".", "...", "\u00e4", "a\nb", "a:b", "A-z_0.9", "~"]
    refused = set()
    for name in names:
        wanted = {name: {"num_partitions": 1, "replication_factor": 1}}
        (topic,) = admin.create_topics(wanted, validate_only=True, raise_errors=False)["topics"]
        if topic["error_code"]:
            refused.add(name)
    admin.close()
    assert len(refused) > 5
    for name in names:
        if name in refused:
            with pytest.raises(ValueError, match="topic"):
                check_topic_name(name)
        else:
            check_topic_name(name)


def test_a_group_of_any_name_has_a_journal_and_commits(service: Service) -> None:
    more = ["kafka.group_id=team/tagging 1 \u00e4", "worker.name=w 0/\u00e4", "topics.journal="]
    service.make_topics(more=more)
    settings = settings_of(service, labels=False, more=more)
    assert find_problems(settings) == []
    service.produce_raw("instances", [b'{"x": {"a": 1}, "y": ["news"]}'] * 3)
    store = SnapshotStore(settings.snapshot.location)
    Engine(settings, KafkaSource(settings), KafkaSink(settings), store).run(stop_at_end=True)
    assert len(service.read("predictions")) == 3
    assert len(service.read_topic(settings.journal_topic)) >= 2
    assert [entry.group for entry in store.list()] == [settings.kafka.group_id]


def test_a_topic_that_the_brokers_refuse_to_describe_is_not_taken_as_one_that_exists(service: Service) -> None:
    settings = settings_of(service, labels=False)
    # The settings refuse such a name; here it stands for whatever else the brokers may refuse.
    topics = settings.topics.model_copy(update={"predictions": "pre dictions"})
    with pytest.raises(TopicError, match="do not describe topic pre dictions: InvalidTopicError"):
        find_problems(settings.model_copy(update={"topics": topics}))


def test_a_topic_that_the_brokers_refuse_to_create_is_named_with_their_reason(service: Service) -> None:
    other = f"{service.name}.other"
    admin = KafkaAdminClient(bootstrap_servers=service.broker)
    admin.create_topics({other: {"num_partitions": 1, "replication_factor": 1}}, wait_for_metadata=True)
    admin.close()
    more = ["topics.create=true", f"topics.events={other.replace('.', '_')}"]
    with pytest.raises(TopicError, match=rf"cannot create {service.name}_other: .*collides with .*{other}"):
        prepare_topics(settings_of(service, labels=False, more=more))


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


def test_an_unreachable_broker_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    # Not the 10 s of a worker.
    monkeypatch.setattr(
        "streamlearn.kafka.admin.topics.lookup_options",
        lambda settings: lookup_options(settings) | {"bootstrap_timeout_ms": 500},
    )
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
