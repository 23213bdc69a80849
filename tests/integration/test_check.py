"""``streamlearn check`` beyond connections: clocks, retention, storage, and topics that a run would create."""

from __future__ import annotations

import time
from pathlib import Path

from kafka import KafkaProducer

from streamlearn.check.faults import find_faults
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
    producer.send(service.topic("instances"), value=b"{}", timestamp_ms=ahead).get(timeout=20)
    producer.close(timeout=5)
    (clock,) = find_faults(settings_of(service, labels=False, more=["snapshot.interval_seconds=10"]))
    assert f"{service.topic('instances')}[0] has a record stamped " in clock
    assert "after this machine's clock" in clock
