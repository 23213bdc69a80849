# pyright: reportAttributeAccessIssue=false, reportCallIssue=false, reportArgumentType=false
"""Sends instances and their truths at a rate, and records when committed answers arrive."""

from __future__ import annotations

import itertools
import json
import random
import re
import threading
import time
from collections.abc import Iterator

import numpy as np
from confluent_kafka import KafkaError, Message, Producer
from kafka import KafkaConsumer
from kafka.structs import TopicPartition

from streamlearn.settings.settings import Settings

FEATURES, LABELS, TRUE_LABELS, RECORD_BYTES = 40, 20, 3, 630
POOL = 20_000
FLUSH_SECONDS = 60
BUFFER_FULL_SECONDS = 0.01
_ID = re.compile(rb'"id":"(\d+)"')


def records(count: int, seed: int = 1) -> Iterator[bytes]:
    """Yield records of 630 bytes with 40 features; of 20 labels, those of the 3 largest features are true."""
    draw = random.Random(seed)
    for number in range(count):
        values = [draw.randrange(1, 10_000) for _ in range(FEATURES)]
        features = ",".join(f'"f{feature:02d}":0.{value:04d}' for feature, value in enumerate(values))
        largest = sorted(range(LABELS), key=lambda label: -values[label])[:TRUE_LABELS]
        labels = ",".join(f'"l{label:02d}"' for label in largest)
        record = f'{{"id":"{number:010d}","x":{{{features}}},"y":[{labels}]'
        yield f"{record:<{RECORD_BYTES - 1}}}}".encode()


class Feed:
    """Sends instances at a rate and records when each was sent.

    With a labels topic, each truth follows on it some instances later; without one it comes with its instance. The
    producer is the client in C, which leaves more of a small machine's processors to the workers that are measured.

    Parameters
    ----------
    settings:
        Settings of the workers, with the brokers and topics.
    truths_behind:
        Instances between an instance and its truth on the labels topic.
    """

    def __init__(self, settings: Settings, truths_behind: int = 0) -> None:
        self._producer = Producer(
            {
                "bootstrap.servers": settings.kafka.bootstrap_servers,
                "linger.ms": 2,
                "batch.size": 256 << 10,
                "enable.idempotence": True,
                "delivery.report.only.error": True,
            }
        )
        self._failed: list[str] = []
        self._topics = settings.topics
        self._pool = [_split(value) for value in records(POOL)]
        self._truths_behind = truths_behind
        self._ended = threading.Event()
        self.sent: list[float] = []

    def send(self, rate: float | None = None, count: int | None = None) -> float:
        """Send ``count`` instances (default: until `end`) at ``rate`` (default: unlimited); return the rate reached."""
        begun, first = time.perf_counter(), len(self.sent)
        for index in itertools.count() if count is None else range(count):
            pause = 0.0 if rate is None else begun + index / rate - time.perf_counter()
            if self._ended.wait(pause) if pause > 0 else self._ended.is_set():
                break
            number = len(self.sent)
            self._send_instance(number)
            if self._topics.labels and number >= self._truths_behind:
                self._send_truth(number - self._truths_behind)
        left = self._producer.flush(FLUSH_SECONDS)
        if left or self._failed:
            raise RuntimeError(f"{left} records not sent after {FLUSH_SECONDS} s; failed: {self._failed[:3]}")
        return (len(self.sent) - first) / (time.perf_counter() - begun)

    def _send_instance(self, number: int) -> None:
        before, after, truth = self._pool[number % POOL]
        self.sent.append(time.perf_counter())
        if self._topics.labels:
            value = b"%s%010d%s}" % (before, number, after)
        else:
            value = b'%s%010d%s,"y":%s}' % (before, number, after, truth)
        self._produce(self._topics.instances, value)

    def _send_truth(self, number: int) -> None:
        truth = b'{"id":"%010d","y":%s}' % (number, self._pool[number % POOL][2])
        self._produce(self._topics.labels, truth)

    def _produce(self, topic: str, value: bytes) -> None:
        while True:
            try:
                self._producer.produce(topic, value, partition=0, on_delivery=self._note_failure)
                self._producer.poll(0)
                return
            except BufferError:
                self._producer.poll(BUFFER_FULL_SECONDS)

    def _note_failure(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._failed.append(f"{message.topic()}: {error}")

    def end(self) -> None:
        """Make `send` return."""
        self._ended.set()


def _split(value: bytes) -> tuple[bytes, bytes, bytes]:
    """Return a record's text before the id, its text between id and truth, and the truth."""
    record = json.loads(value)
    before, _, after = value.partition(record["id"].encode())
    features, _, _ = after.partition(b',"y":')
    return before, features, json.dumps(record["y"]).encode()


class Answers:
    """Reads the committed answers in its own thread, and records when each arrives."""

    def __init__(self, settings: Settings) -> None:
        self._consumer = KafkaConsumer(
            bootstrap_servers=settings.kafka.bootstrap_servers,
            isolation_level="read_committed",
            enable_auto_commit=False,
            fetch_max_wait_ms=20,
            max_partition_fetch_bytes=8 << 20,
            max_poll_records=20_000,
        )
        partition = TopicPartition(settings.topics.predictions, 0)
        self._consumer.assign([partition])
        self._consumer.seek_to_beginning(partition)
        self._ended = threading.Event()
        self._more = threading.Condition()
        self.received: dict[int, float] = {}
        self.arrivals: list[float] = []
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        while not self._ended.is_set():
            for polled in self._consumer.poll(timeout_ms=50).values():
                now = time.perf_counter()
                numbers = [int(found[1]) for record in polled if (found := _ID.search(record.value)) is not None]
                with self._more:
                    self.received.update(dict.fromkeys(numbers, now))
                    self.arrivals.append(now)
                    self._more.notify_all()
        self._consumer.close(autocommit=False, timeout_ms=5_000)

    def wait(self, number: int, seconds: float) -> bool:
        """Wait until an instance is answered; return whether it is."""
        with self._more:
            return self._more.wait_for(lambda: number in self.received, seconds)

    def wait_beyond(self, moment: float, seconds: float) -> bool:
        """Wait until answers arrive after a moment; return whether they have."""
        with self._more:
            return self._more.wait_for(lambda: bool(self.arrivals) and self.arrivals[-1] > moment, seconds)

    def latencies_ms(self, sent: list[float], first: int, last: int) -> np.ndarray:
        """Return the milliseconds from sending each instance, from ``first`` to ``last``, to receiving its answer."""
        return np.array([self.received[number] - sent[number] for number in range(first, last + 1)]) * 1000

    def gap(self, moment: float) -> float:
        """Return the longest time between two arrivals, in seconds, from one second before a moment on."""
        around = [arrival for arrival in self.arrivals if arrival > moment - 1.0]
        return max((later - earlier for earlier, later in itertools.pairwise(around)), default=0.0)

    def close(self) -> None:
        """Stop reading."""
        self._ended.set()
        self._thread.join()
