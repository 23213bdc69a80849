"""Records of a campaign: instances with and without truth, late labels, poison, duplicates, aborted transactions."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import Counter
from random import Random

from kafka import KafkaProducer
from kafka import errors as kafka_errors

from tests.integration.service import QUICK_RECONNECT_MS

POISON = (
    b"{",
    b"\xff\xfe",
    b"[]",
    b'{"x": {"f": "1e"',
    b'{"x": 7}',
    b'{"x": {"f": NaN}}',
    b'{"x": {"f": [1]}}',
    b'{"id": "' + b"i" * 300 + b'", "x": {}}',
    b"",
)
MAXIMUM_DELAY = 600
"""Maximum number of instances between an instance and its label record."""


def make_instance(row: int, draw: Random, truth: list[str] | None) -> bytes:
    """Return an instance whose features determine most of its labels."""
    kind = row % 7
    record: dict[str, object] = {"id": f"r{row}", "x": {f"k{kind}": 1, f"w{row % 4}": draw.random(), "n": row % 10}}
    if truth is not None:
        record["y"] = truth
    return json.dumps(record).encode()


def make_truth(row: int, draw: Random) -> list[str]:
    """Return the label set of a row; what a label depends on changes every 5,000 rows."""
    names = [f"a{row % 7}", f"b{(row // 5_000 + row) % 4}"]
    if draw.random() < 0.02:
        names.append(f"rare{draw.randrange(40)}")
    return names


class Feed:
    """Sends records until it is stopped; counts them by kind.

    Parameters
    ----------
    bootstrap:
        Addresses of the brokers, not through the proxies that faults cut.
    instances, labels:
        Names of the topics.
    rate:
        Instances per second.
    seed:
        Determines the records.
    """

    def __init__(self, bootstrap: str, instances: str, labels: str, rate: float, seed: int) -> None:
        self.sent: Counter[str] = Counter()
        self._bootstrap = bootstrap
        self._instances, self._labels = instances, labels
        self._rate = rate
        self._draw = Random(seed)
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._send, name="feed"),
            threading.Thread(target=self._send_aborted, args=(Random(seed + 1),), name="aborted transactions"),
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop, and wait until the producers have flushed."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _send(self) -> None:
        # An idempotent producer that has failed once may write nothing more; a record that is written twice only adds
        # to the duplicates.
        producer = KafkaProducer(
            bootstrap_servers=self._bootstrap,
            linger_ms=5,
            acks="all",
            max_block_ms=60_000,
            reconnect_backoff_max_ms=QUICK_RECONNECT_MS,
            enable_idempotence=False,
        )
        draw = self._draw
        due: list[tuple[int, int, list[str]]] = []
        begun = time.monotonic()
        row = 0
        while not self._stop.wait(max(0.0, begun + row / self._rate - time.monotonic())):
            key = f"r{row}".encode()
            truth = make_truth(row, draw)
            kind = draw.random()
            try:
                if kind < 0.01:
                    producer.send(self._instances, value=draw.choice(POISON), key=key)
                    self.sent["poison"] += 1
                elif kind < 0.5:
                    producer.send(self._instances, value=make_instance(row, draw, truth), key=key)
                    self.sent["instances with truth"] += 1
                else:
                    producer.send(self._instances, value=make_instance(row, draw, None), key=key)
                    self.sent["instances without"] += 1
                    if draw.random() < 0.85:
                        due.append((row + draw.randrange(MAXIMUM_DELAY), row, truth))
                if draw.random() < 0.005:
                    producer.send(self._instances, value=make_instance(row, draw, truth), key=key)
                    self.sent["duplicate instances"] += 1
                ready = [each for each in due if each[0] <= row]
                due = [each for each in due if each[0] > row]
                for _, labelled, names in ready:
                    self._label(producer, labelled, names)
            except kafka_errors.KafkaError:
                # No broker was available for max.block.ms; records in the buffer are sent when one is.
                self.sent["refused by the producer"] += 1
            row += 1
        for _, labelled, names in due:
            self._label(producer, labelled, names)
        with contextlib.suppress(kafka_errors.KafkaError):
            producer.flush(timeout=60)
            producer.close(timeout=10)

    def _label(self, producer: KafkaProducer, row: int, names: list[str]) -> None:
        draw = self._draw
        kind = draw.random()
        truths: list[object]
        if kind < 0.02:
            truths = ["poison"]
        elif kind < 0.10:
            truths = [{names[0]: True}, names]
        elif kind < 0.14:
            truths = [names, names]
        elif kind < 0.17:
            truths = [names, [*names, "corrected"]]
        else:
            truths = [names]
        identity = f"unknown{row}" if draw.random() < 0.02 else f"r{row}"
        for truth in truths:
            value = json.dumps({"id": identity, "y": truth}).encode()
            producer.send(self._labels, value=value, key=f"r{row}".encode())
            self.sent["labels"] += 1

    def _send_aborted(self, draw: Random) -> None:
        """Send transactions and abort them: none of their records may be answered."""
        while not self._stop.wait(draw.uniform(1.0, 4.0)):
            with contextlib.suppress(kafka_errors.KafkaError, AssertionError):
                producer = KafkaProducer(
                    bootstrap_servers=self._bootstrap,
                    transactional_id=f"{self._instances}-aborted",
                    transaction_timeout_ms=5_000,
                    max_block_ms=5_000,
                    request_timeout_ms=4_000,
                    delivery_timeout_ms=5_000,
                )
                try:
                    producer.init_transactions()
                    producer.begin_transaction()
                    for number in range(draw.randrange(1, 20)):
                        producer.send(self._instances, value=make_instance(number, draw, ["never"]), key=b"aborted")
                    producer.flush(timeout=5)
                    producer.abort_transaction()
                    self.sent["aborted transactions"] += 1
                finally:
                    producer.close(timeout=5)
