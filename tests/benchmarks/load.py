# pyright: reportAttributeAccessIssue=false, reportCallIssue=false, reportArgumentType=false
"""A worker under load for a long time: sustained, in a burst, behind a backlog, and idle. Run as a command:

    python -m tests.benchmarks.load [--minutes 20] [--burst-minutes 2] [--backlog 10000000] [--bootstrap H:P]

The limit is measured first: instances a second, with their truths on a topic of their own, from a backlog. Then 80 %
of it for minutes, with truths that come ``--label-delay`` seconds later; then three times the limit, and how long it
takes to catch up; then a backlog. Latency is from handing an instance to the producer to its answer in a read_committed
consumer.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import uuid
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from kafka import KafkaConsumer, KafkaProducer
from kafka.structs import TopicPartition

from streamlearn.check.topics import prepare_topics
from streamlearn.settings.model import Settings
from streamlearn.telemetry.registry import PREFIX
from tests.benchmarks.end_to_end import broker, records, settings_for

POOL = 20_000
IDLE_SECONDS = 20.0
SAMPLE_SECONDS = 2.0
_ID = re.compile(rb'"id":"(\d+)"')


class Feed:
    """Sends instances at a rate, and each one's truth some seconds later; knows when each was sent."""

    def __init__(self, bootstrap: str, settings: Settings) -> None:
        self._producer = KafkaProducer(bootstrap_servers=bootstrap, linger_ms=2, batch_size=256 << 10, acks="all")
        self._topics = settings.topics
        self._pool = [_parts(value) for value in records(POOL)]
        self._due: deque[tuple[float, int]] = deque()
        self.sent: list[float] = []

    def send(self, rate: float | None, count: int, delay_seconds: float) -> float:
        """Send so many instances, as fast as it goes without a rate; return the rate that was reached."""
        begun = time.perf_counter()
        pause = threading.Event()
        for place in range(count):
            if rate is not None and (ahead := begun + place / rate - time.perf_counter()) > 0:
                pause.wait(ahead)
            number = len(self.sent)
            before, after, _ = self._pool[number % POOL]
            now = time.perf_counter()
            self.sent.append(now)
            self._producer.send(self._topics.instances, value=b"%s%010d%s" % (before, number, after), partition=0)
            self._due.append((now + delay_seconds, number))
            self._tell(now)
        self._producer.flush(timeout=60)
        return count / (time.perf_counter() - begun)

    def _tell(self, now: float) -> None:
        while self._due and self._due[0][0] <= now:
            _, number = self._due.popleft()
            truth = b'{"id":"%010d","y":%s}' % (number, self._pool[number % POOL][2])
            self._producer.send(self._topics.labels, value=truth, partition=0)

    def finish(self) -> None:
        """Send the truths that are left."""
        self._tell(float("inf"))
        self._producer.flush(timeout=60)

    def close(self) -> None:
        self._producer.close(timeout=10)


def _parts(value: bytes) -> tuple[bytes, bytes, bytes]:
    """Return what stands before and behind an instance's id, without its truth, and the truth."""
    record = json.loads(value)
    before, _, after = value.partition(record["id"].encode())
    features, _, _ = after.partition(b',"y":')
    return before, features + b"}", json.dumps(record["y"]).encode()


class Answers:
    """Reads the committed answers in a thread, and notes when each came."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._consumer = KafkaConsumer(
            bootstrap_servers=bootstrap,
            isolation_level="read_committed",
            enable_auto_commit=False,
            fetch_max_wait_ms=20,
        )
        partition = TopicPartition(topic, 0)
        self._consumer.assign([partition])
        self._consumer.seek_to_beginning(partition)
        self._stop = threading.Event()
        self.came: dict[int, float] = {}
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        while not self._stop.is_set():
            for polled in self._consumer.poll(timeout_ms=50).values():
                now = time.perf_counter()
                for record in polled:
                    found = _ID.search(record.value)
                    assert found is not None
                    self.came[int(found[1])] = now
        self._consumer.close(autocommit=False, timeout_ms=5_000)

    def close(self) -> None:
        self._stop.set()
        self._thread.join()


class Worker:
    """A worker's process, looked at from outside."""

    def __init__(self, settings: Settings, bootstrap: str) -> None:
        options = [f"topics.{role}={topic}" for role, topic in settings.topics.model_dump().items() if topic]
        options = [option for option in options if not option.endswith(("True", "False"))]
        options += [f"kafka.bootstrap_servers={bootstrap}", f"kafka.group_id={settings.kafka.group_id}"]
        options += [f"snapshot.location={settings.snapshot.location}", "log.level=info", "worker.name=w0"]
        arguments = [part for option in options for part in ("--set", option)]
        self._log = Path(settings.snapshot.location, f"worker-{uuid.uuid4().hex[:8]}.log")
        with self._log.open("w") as log:
            command = [sys.executable, "-m", "streamlearn", "run", *arguments]
            self.process = subprocess.Popen(command, stderr=log, stdout=log)
        self._url = ""

    def metric(self, name: str) -> float:
        """Return a gauge; NaN before the endpoint answers."""
        if not self._url:
            found = re.search(r"metrics and health at (\S+)", self._log.read_text())
            if found is None:
                return float("nan")
            self._url = found[1]
        try:
            with urllib.request.urlopen(f"{self._url}/metrics", timeout=5) as answer:
                text = answer.read().decode()
        except OSError:
            return float("nan")
        found = re.search(rf"^{PREFIX}_{name} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else float("nan")

    def resident_bytes(self) -> int:
        found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{self.process.pid}/status").read_text())
        return int(found[1]) * 1024 if found else 0

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=120)


class Sample(NamedTuple):
    """What a worker held at a moment."""

    seconds: float
    resident_bytes: int
    lag_records: float


def _sampled(worker: Worker, done: Callable[[], bool]) -> list[Sample]:
    begun = time.perf_counter()
    samples = []
    pause = threading.Event()
    while not done():
        if worker.process.poll() is not None:
            raise RuntimeError(f"the worker ended with {worker.process.returncode}")
        samples.append(Sample(time.perf_counter() - begun, worker.resident_bytes(), worker.metric("lag_records")))
        pause.wait(SAMPLE_SECONDS)
    return samples


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


def main() -> None:
    """Measure, and print a line for each figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bootstrap", help="a running broker; else one is started")
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--burst-minutes", type=float, default=2.0)
    parser.add_argument("--backlog", type=int, default=10_000_000)
    parser.add_argument("--label-delay", type=float, default=120.0, help="seconds from an instance to its truth")
    options = parser.parse_args()
    with broker(options.bootstrap) as bootstrap, tempfile.TemporaryDirectory() as folder:
        made = settings_for(bootstrap, f"load-{uuid.uuid4().hex[:8]}", folder)
        topics = made.topics.model_copy(update={"labels": f"{made.topics.instances}-labels"})
        settings = made.model_copy(update={"topics": topics})
        prepare_topics(settings)
        feed = Feed(bootstrap, settings)
        limit = _from_a_backlog(feed, settings, bootstrap, 60_000)
        _say(f"limit, from a backlog of 60,000: {limit:,.0f} instances/s with their truths")
        answers, worker = Answers(bootstrap, topics.predictions), Worker(settings, bootstrap)
        try:
            _idle(worker)
            _sustained(feed, answers, worker, 0.8 * limit, options.minutes, options.label_delay)
            _burst(feed, answers, worker, 3 * limit, options.burst_minutes, options.label_delay)
        finally:
            worker.stop()
            answers.close()
        rate = _from_a_backlog(feed, settings, bootstrap, options.backlog)
        _say(f"backlog of {options.backlog:,}: {rate:,.0f} instances/s, {rate / limit:.2f} of the limit")
        feed.close()


def _from_a_backlog(feed: Feed, settings: Settings, bootstrap: str, count: int) -> float:
    """Return how many instances a second a worker answers and learns that finds so many waiting."""
    first = len(feed.sent)
    feed.send(None, count, 0.0)
    feed.finish()
    answers = Answers(bootstrap, settings.topics.predictions)
    worker = Worker(settings, bootstrap)
    last = len(feed.sent) - 1
    _sampled(worker, lambda: last in answers.came)
    worker.stop()
    answers.close()
    moments = sorted(moment for number, moment in answers.came.items() if number >= first)
    # The first batches come while the worker's process is still loading.
    skipped = len(moments) // 5
    return (len(moments) - skipped) / (moments[-1] - moments[skipped])


def _idle(worker: Worker) -> None:
    _sampled(worker, lambda: worker.metric("lag_records") == 0)
    pause = threading.Event()
    pause.wait(SAMPLE_SECONDS)
    before = worker.cpu_seconds()
    pause.wait(IDLE_SECONDS)
    _say(f"idle: {(worker.cpu_seconds() - before) / IDLE_SECONDS:.1%} of a core")


def _sustained(feed: Feed, answers: Answers, worker: Worker, rate: float, minutes: float, delay_seconds: float) -> None:
    first = len(feed.sent)
    thread = threading.Thread(target=feed.send, args=(rate, int(rate * minutes * 60), delay_seconds))
    thread.start()
    samples = _sampled(worker, lambda: not thread.is_alive())
    last = len(feed.sent) - 1
    _sampled(worker, lambda: last in answers.came)
    times = np.array([answers.came[number] - feed.sent[number] for number in range(first, last + 1)])
    p50, p99 = np.percentile(times, [50, 99]) * 1000
    half = len(samples) // 2
    memory = [max(sample.resident_bytes for sample in part) / 2**20 for part in (samples[:half], samples[half:])]
    lag = [np.nanmax([sample.lag_records for sample in part]) for part in (samples[:half], samples[half:])]
    _say(
        f"sustained, {rate:,.0f}/s for {minutes:g} min, truths {delay_seconds:g} s late: "
        f"p50 {p50:.0f} ms, p99 {p99:.0f} ms"
    )
    _say(f"  memory in the first half {memory[0]:.0f} MiB, in the second {memory[1]:.0f} MiB")
    _say(f"  most records behind in the first half {lag[0]:,.0f}, in the second {lag[1]:,.0f}")


def _burst(feed: Feed, answers: Answers, worker: Worker, rate: float, minutes: float, delay_seconds: float) -> None:
    reached: list[float] = []
    thread = threading.Thread(target=lambda: reached.append(feed.send(rate, int(rate * minutes * 60), delay_seconds)))
    thread.start()
    samples = _sampled(worker, lambda: not thread.is_alive())
    last = len(feed.sent) - 1
    after = _sampled(worker, lambda: last in answers.came)
    lag = np.nanmax([sample.lag_records for sample in [*samples, *after]])
    seconds = max(moment for moment in answers.came.values()) - feed.sent[last]
    _say(
        f"burst of {reached[0]:,.0f}/s for {minutes:g} min (asked {rate:,.0f}): lag up to {lag:,.0f} records, "
        f"caught up {seconds:.0f} s after it; answered {len(answers.came):,} of {len(feed.sent):,}"
    )


if __name__ == "__main__":
    main()
