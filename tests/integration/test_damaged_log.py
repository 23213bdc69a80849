"""Records that were damaged on disk: the worker stops and names them, or skips them as configured."""

from __future__ import annotations

import json
import os
import shutil
import struct
from pathlib import Path

import pytest
from kafka import KafkaProducer

from streamlearn.errors import StopError
from streamlearn.kafka import stalled_partitions
from streamlearn.kafka.range_reader import KafkaRangeReader
from streamlearn.source.base import TopicPartition
from tests.integration.conftest import Broker
from tests.integration.reference import settings_of
from tests.integration.service import Service
from tests.integration.test_client_rules import Member, until
from tests.integration.test_faults import instance


def produce_batch(service: Service, values: list[bytes], *, aborted: bool = False) -> None:
    """Send values as one batch in a transaction, which is followed by a marker."""
    producer = KafkaProducer(
        bootstrap_servers=service.broker, linger_ms=1_000, transactional_id=f"{service.name}-producer"
    )
    producer.init_transactions()
    producer.begin_transaction()
    futures = [producer.send(service.topic("instances"), value=value, partition=0) for value in values]
    producer.flush(timeout=120)
    for future in futures:
        future.get(timeout=1)
    if aborted:
        producer.abort_transaction()
    else:
        producer.commit_transaction()
    producer.close(timeout=5)


def damage(log: Path, value: bytes) -> None:
    """Change a byte of a value in the broker's log."""
    content = log.read_bytes()
    (start,) = [position for position in range(len(content)) if content.startswith(value, position)]
    with log.open("r+b") as file:
        file.seek(start)
        file.write(b"?")


def test_a_record_that_fails_its_checksum_stops_by_name_or_is_passed_over_and_journalled(
    service: Service, broker_process: Broker
) -> None:
    more = ["engine.batch_instances=10"]
    service.make_topics(more=more)
    produce_batch(service, [instance(row) for row in range(30)])
    produce_batch(service, [b'{"id": "aborted", "x": {}}'], aborted=True)
    produce_batch(service, [b'{"id": "bad0", "x": {}}', b'{"id": "bad1", "x": {}}'])
    produce_batch(service, [instance(row) for row in range(30, 60)])
    # 0 to 29 and a marker, an aborted record and its marker, the damaged ones at 33 and 34 and a marker, the others.
    (log,) = broker_process.folder.glob(f"data/{service.topic('instances')}-0/*.log")
    damage(log, b'{"id": "bad1"')
    topic = service.topic("instances")
    stopped = service.start("--stop-at-end", more=more)
    assert stopped.wait(timeout=60) == 1
    assert f"{topic}[0] cannot be read at offset 33: " in service.log_of("w0")
    assert "engine.on_offset_lost" in service.log_of("w0")
    skipping = [*more, "engine.on_offset_lost=earliest"]
    assert service.start("--stop-at-end", more=skipping).wait(timeout=60) == 0, service.logs()
    answered = [each["source"]["offset"] for each in service.predictions()]
    assert answered == [*range(30), *range(36, 66)]
    dead = [dict(record.headers) for record in service.read("dead_letters")]
    assert [(each["streamlearn.offset"], each["streamlearn.reason"]) for each in dead] == [
        (b"33", b"corrupt_record"),
        (b"34", b"corrupt_record"),
    ]
    journal = [json.loads(record.value) for record in service.read_topic(f"{service.name}-journal")]
    lost = [tuple(each) for record in journal if record["type"] == "control" for each in record["lost"]]
    assert [(at, to) for _, _, at, to in lost][-1] == (34, 35)
    assert max(to for *_, to in lost) - min(at for _, _, at, _ in lost) <= 5
    shutil.rmtree(service.snapshots)
    assert service.start("--stop-at-end", worker="w1", more=skipping).wait(timeout=60) == 0, service.logs()
    assert "restored at" in service.log_of("w1"), "the journal, which has the skipped offsets, gives the same model"
    assert len(service.read("dead_letters")) == 2
    assert len(service.predictions()) == 60


def damage_length(log: Path, first_offset: int) -> None:
    """Change the length of the batch that begins at an offset in the broker's log."""
    with log.open("r+b") as file:
        offset, start = -1, 0
        # A batch is an offset of 8 bytes, a length of 4 bytes, and as many bytes.
        while offset != first_offset:
            start = file.tell()
            offset, length = struct.unpack(">qi", file.read(12))
            file.seek(length, os.SEEK_CUR)
        file.seek(start + 8)
        file.write(struct.pack(">i", 1 << 24))


def test_a_batch_whose_length_is_damaged_stops_a_reader_and_a_source_by_name(
    service: Service, broker_process: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From there on the broker returns nothing, and no error."""
    service.make_topics()
    for first in (0, 10, 20):
        produce_batch(service, [instance(row) for row in range(first, first + 10)])
    topic = service.topic("instances")
    (log,) = broker_process.folder.glob(f"data/{topic}-0/*.log")
    damage_length(log, 11)
    monkeypatch.setattr(stalled_partitions, "STALLED_SECONDS", 0.2)
    settings = settings_of(service, labels=False)
    records = KafkaRangeReader(settings, TopicPartition(topic, 0), 0)
    try:
        with pytest.raises(
            StopError, match=rf"{topic}\[0\] cannot be read again at offset 11: the broker has records up"
        ):
            records.read_to(33)
    finally:
        records.close()
    member = Member(settings)
    read: list[int] = []
    try:
        with pytest.raises(
            StopError, match=rf"{topic}\[0\] cannot be read at offset 11: the broker has records up to 33"
        ):
            until(lambda: bool(read.extend(record.offset for record in member.poll())))
    finally:
        member.source.close(leave=True)
    assert read == list(range(10))
