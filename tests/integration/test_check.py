"""``streamlearn check`` beyond connections: clocks, retention, storage, and topics that a run would create."""

from __future__ import annotations

import time
from pathlib import Path

from kafka import KafkaAdminClient, KafkaProducer
from kafka.structs import TopicPartition

from streamlearn.check.faults import find_faults, find_warnings
from tests.integration.reference import settings_of
from tests.integration.service import Service
from tests.integration.test_topics import create


def test_topics_that_a_run_would_create_are_no_fault_and_are_not_created(service: Service) -> None:
    settings = settings_of(service, labels=False, more=["topics.create=true"])
    assert find_faults(settings) == []
    assert len(find_faults(settings_of(service, labels=False))) == 6
    (fault,) = find_faults(settings_of(service, labels=False, more=["topics.create=true", "topics.replication=5"]))
    assert fault.startswith("cannot create ")
    assert "eplication" in fault


def test_faults_of_clock_retention_and_storage_are_named(service: Service, tmp_path: Path) -> None:
    create(
        service,
        instances={"retention_ms": 30_000},
        predictions={},
        events={},
        metrics={},
        dead_letters={},
        journal={"retention_ms": 600_000},
    )
    file = tmp_path / "file"
    file.write_text("")
    more = ["snapshot.interval_seconds=60", f"snapshot.location={file}"]
    short, storage = find_faults(settings_of(service, labels=False, more=more))
    assert "(topics.instances) keeps records for 30000 ms (retention.ms), snapshots are 60000 ms apart" in short
    assert str(file) in storage
    assert "snapshot.location" in storage
    producer = KafkaProducer(bootstrap_servers=service.broker)
    ahead = int((time.time() + 1_000) * 1_000)
    producer.send(service.topic("instances"), value=b"{}", timestamp_ms=ahead).get(timeout=60)
    producer.close(timeout=5)
    (clock,) = find_faults(settings_of(service, labels=False, more=["snapshot.interval_seconds=10"]))
    assert f"{service.topic('instances')}[0] has a record stamped " in clock
    assert "after this machine's clock" in clock


def test_what_run_would_refuse_of_the_model_is_a_fault(service: Service) -> None:
    service.make_topics()
    producer = KafkaProducer(bootstrap_servers=service.broker)

    def produce(count: int) -> None:
        for _ in range(count):
            producer.send(service.topic("instances"), value=b'{"x": {"a": 1}}', partition=0)
        producer.flush(timeout=120)

    produce(5)
    service.command("run", "--stop-at-end", *service.settings())
    settings = settings_of(service, labels=False)
    assert find_faults(settings) == []
    (fixed,) = find_faults(settings_of(service, labels=False, more=["learner.seed=3"]))
    assert fixed.startswith("learner.seed is 3, but the model in the journal began with 0")
    produce(5)
    producer.close(timeout=5)
    admin = KafkaAdminClient(bootstrap_servers=service.broker)
    admin.delete_records({TopicPartition(service.topic("instances"), 0): 8})
    admin.close()
    (lost,) = find_faults(settings)
    assert f"{service.topic('instances')}[0] has the offsets [8, 10), but the next one to read is 5" in lost
    assert find_faults(settings_of(service, labels=False, more=["engine.on_offset_lost=earliest"])) == []


def test_records_without_timestamps_are_a_warning(service: Service) -> None:
    service.make_topics(labels=True)
    settings = settings_of(service, labels=True)
    producer = KafkaProducer(bootstrap_servers=service.broker)
    for role, timestamps in (("instances", [None, -1, -1]), ("labels", [None])):
        for timestamp in timestamps:
            producer.send(service.topic(role), value=b"{}", timestamp_ms=timestamp).get(timeout=60)
    producer.close(timeout=5)
    (warning,) = find_warnings(settings)
    assert warning.startswith(f"2 of the last 3 records of {service.topic('instances')} have no timestamp (-1): ")
    assert "LogAppendTime" in warning
    assert find_faults(settings) == []
