"""Topics that are compressed, by their producers or by the broker: read, written, and read back by a restore."""

from __future__ import annotations

import shutil
import struct

import pytest
from confluent_kafka import Producer

from streamlearn.engine.loop.engine import Engine
from streamlearn.kafka.sink import KafkaSink
from streamlearn.kafka.source import KafkaSource
from streamlearn.snapshot.store import SnapshotStore
from tests.integration.brokers import Broker
from tests.integration.reference import assert_equals_an_uninterrupted_run, settings_of
from tests.integration.service import Service
from tests.integration.test_faults import assert_each_handled_once, instance, truth
from tests.integration.test_topics import create

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
"""By the number that a batch carries in its attributes."""
COUNT = 60
_LENGTH, _ATTRIBUTES, _HEADER_BYTES = 8, 21, 12


def stored_codecs(broker: Broker, topic: str) -> set[str]:
    """Return the codecs of the data batches in the broker's log of partition 0, without those of markers."""
    (segment,) = broker.folder.glob(f"**/{topic}-0/*0.log")
    log, codecs, position = segment.read_bytes(), set(), 0
    while position + _HEADER_BYTES < len(log):
        (attributes,) = struct.unpack_from(">h", log, position + _ATTRIBUTES)
        if not attributes & 0x20:
            codecs.add(CODECS[attributes & 0x07])
        position += _HEADER_BYTES + struct.unpack_from(">i", log, position + _LENGTH)[0]
    return codecs


def produce(service: Service, role: str, values: list[bytes], codec: str) -> None:
    """Write records with another client than ours, compressed."""
    producer = Producer({"bootstrap.servers": service.broker, "compression.type": codec, "linger.ms": 50})
    for value in values:
        producer.produce(service.topic(role), value)
    assert producer.flush(30) == 0


def run(service: Service, *more: str) -> None:
    settings = settings_of(service, labels=True, more=more)
    store = SnapshotStore(settings.snapshot.location)
    Engine(settings, KafkaSource(settings), KafkaSink(settings), store).run(stop_at_end=True)


@pytest.mark.parametrize("codec", CODECS[1:])
def test_a_model_learns_from_compressed_topics_and_is_restored_from_a_compressed_journal(
    service: Service, broker_process: Broker, codec: str
) -> None:
    compressed = {"compression_type": codec}
    create(
        service,
        instances=dict(compressed),
        labels={},
        predictions={},
        events={},
        metrics={},
        dead_letters=dict(compressed),
        journal=dict(compressed),
    )
    half = COUNT // 2
    service.produce_raw("instances", [instance(row) for row in range(half)])
    produce(service, "labels", [truth(row) for row in range(half)], codec)
    # The broker compresses the journal.
    run(service)
    assert stored_codecs(broker_process, service.topic("predictions")) == {"none"}
    shutil.rmtree(service.snapshots)
    # We compress, and the model is restored from the journal alone.
    produce(service, "instances", [*(instance(row) for row in range(half, COUNT)), b"{" * 200], codec)
    produce(service, "labels", [truth(row) for row in range(half, COUNT)], codec)
    run(service, f"kafka.compression={codec}")
    for role in ("instances", "labels", "dead_letters", "journal"):
        assert stored_codecs(broker_process, service.topic(role)) == {codec}, role
    assert codec in stored_codecs(broker_process, service.topic("predictions"))
    assert_each_handled_once(service, COUNT + 1)
    assert len({each["model"]["lineage"] for each in service.predictions()}) == 1, "the second run began a new model"
    assert_equals_an_uninterrupted_run(service, settings_of(service, labels=True))
