# pyright: reportAttributeAccessIssue=false, reportCallIssue=false, reportArgumentType=false
"""Records per second through a broker, beside the client's own echo of the same bytes; and latency. Run as a command:

    python -m tests.benchmarks.end_to_end [--bootstrap H:P] [--records N] [--runs N] [--profile]

Without ``--bootstrap`` it starts a broker of its own by ``deploy/kafka/broker``. Both loops consume and produce in
transactions of at most 5,000 records with the same client settings, in turn, and the medians are compared. Time counts
from the first records polled to the last commit. Latency is from handing an instance to a producer to seeing its answer
as a read_committed consumer, at 1,000 instances a second.
"""

from __future__ import annotations

import argparse
import contextlib
import cProfile
import gc
import json
import pstats
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.structs import OffsetAndMetadata, TopicPartition

from streamlearn.check.topics import prepare_topics
from streamlearn.cli.worker import COLLECT_AFTER_OBJECTS
from streamlearn.engine.engine import Engine
from streamlearn.engine.instruments import NoInstruments
from streamlearn.settings.model import Settings
from streamlearn.sink.kafka import PRODUCER_OPTIONS, KafkaSink
from streamlearn.source import base
from streamlearn.source.kafka import KafkaSource
from streamlearn.warm_up import warm_up

SCRIPT = Path(__file__).parents[2] / "deploy" / "kafka" / "broker"
FEATURES, LABELS, TRUE_LABELS, RECORD_BYTES = 40, 20, 3, 630
BATCH = 5_000


def records(count: int, seed: int = 1) -> Iterator[bytes]:
    """Return records of 630 bytes: 40 features, of 20 labels the 3 whose features are largest."""
    draw = random.Random(seed)
    for number in range(count):
        values = [draw.randrange(1, 10_000) for _ in range(FEATURES)]
        features = ",".join(f'"f{place:02d}":0.{value:04d}' for place, value in enumerate(values))
        largest = sorted(range(LABELS), key=lambda label: -values[label])[:TRUE_LABELS]
        labels = ",".join(f'"l{label:02d}"' for label in largest)
        record = f'{{"id":"{number:010d}","x":{{{features}}},"y":[{labels}]'
        yield f"{record:<{RECORD_BYTES - 1}}}}".encode()


@contextlib.contextmanager
def broker(bootstrap: str | None) -> Iterator[str]:
    """Give the address of a broker, started here unless one is named."""
    if bootstrap is not None:
        yield bootstrap
        return
    with tempfile.TemporaryDirectory() as folder:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        where = ["--port", str(port), "--folder", folder]
        subprocess.run([SCRIPT, "start", *where], check=True, stdout=subprocess.DEVNULL)
        try:
            yield f"127.0.0.1:{port}"
        finally:
            subprocess.run([SCRIPT, "stop", *where], check=False, stdout=subprocess.DEVNULL)


def settings_for(bootstrap: str, instances: str, folder: str) -> Settings:
    """Return a configuration of a new group over a topic of instances."""
    name = f"bench-{uuid.uuid4().hex[:8]}"
    roles = ("predictions", "events", "metrics", "dead_letters")
    return Settings.model_validate(
        {
            "kafka": {"bootstrap_servers": bootstrap, "group_id": name},
            "worker": {"name": "w0"},
            "topics": {"instances": instances, "create": True, **{role: f"{name}-{role}" for role in roles}},
            "snapshot": {"location": folder},
            "engine": {"batch_instances": BATCH},
        }
    )


class _TimedSource(KafkaSource):
    """Notes when the first records came."""

    first: float | None = None

    def poll(self, timeout_seconds: float, limit: int) -> Mapping[base.TopicPartition, list[base.RawRecord]]:
        polled = super().poll(timeout_seconds, limit)
        if self.first is None and polled:
            self.first = time.perf_counter()
        return polled


class _TimedCommits(NoInstruments):
    """Notes the last commit."""

    last = 0.0
    commits = 0

    def committed(self, tasks: Any, batch_seconds: float, commit_seconds: float) -> None:
        self.last = time.perf_counter()
        self.commits += 1


def run_engine(bootstrap: str, instances: str, count: int, profile: cProfile.Profile | None = None) -> float:
    """Return how many records a second the engine answers and learns."""
    with tempfile.TemporaryDirectory() as folder:
        settings = settings_for(bootstrap, instances, folder)
        prepare_topics(settings)
        source, commits = _TimedSource(settings), _TimedCommits()
        engine = Engine(settings, source, KafkaSink(settings), instruments=commits)
        with profile or contextlib.nullcontext():
            engine.run(stop_at_end=True, leave=True)
        assert source.first is not None
        return count / (commits.last - source.first)


def run_echo(bootstrap: str, instances: str, count: int) -> float:
    """Return how many records a second the client alone consumes and produces, in transactions."""
    output = f"bench-echo-{uuid.uuid4().hex[:8]}"
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    admin.create_topics({output: {"num_partitions": 1, "replication_factor": 1}}, timeout_ms=10_000)
    admin.close()
    consumer = KafkaConsumer(
        instances,
        bootstrap_servers=bootstrap,
        group_id=output,
        metrics_enabled=False,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        fetch_max_wait_ms=50,
        max_partition_fetch_bytes=8 << 20,
        max_poll_records=BATCH,
    )
    producer = KafkaProducer(bootstrap_servers=bootstrap, **PRODUCER_OPTIONS, transactional_id=output)
    producer.init_transactions()
    consumer.partitions_for_topic(instances)
    first, done, last = None, 0, 0.0
    gathered: list[Any] = []
    while done < count:
        for polled in consumer.poll(timeout_ms=100, max_records=BATCH - len(gathered)).values():
            first = first or time.perf_counter()
            gathered.extend(polled)
        if len(gathered) < min(BATCH, count - done):
            continue
        producer.begin_transaction()
        futures = [
            producer.send(output, value=record.value, key=record.key, partition=record.partition) for record in gathered
        ]
        producer.flush(timeout=9)
        for future in futures:
            if future.failed():
                raise future.exception
        ends = {TopicPartition(instances, 0): OffsetAndMetadata(gathered[-1].offset + 1, "", -1)}
        producer.send_offsets_to_transaction(ends, consumer.group_metadata())
        producer.commit_transaction()
        last = time.perf_counter()
        done += len(gathered)
        gathered = []
    consumer.close(autocommit=False, timeout_ms=5_000)
    producer.close(timeout=5)
    assert first is not None
    return count / (last - first)


def latency(bootstrap: str, seconds: int, rate: int = 1_000) -> np.ndarray:
    """Return the milliseconds from handing each instance over to seeing its committed answer."""
    instances = f"bench-live-{uuid.uuid4().hex[:8]}"
    with tempfile.TemporaryDirectory() as folder:
        settings = settings_for(bootstrap, instances, folder)
        prepare_topics(settings)
        consumer = KafkaConsumer(
            settings.topics.predictions,
            bootstrap_servers=bootstrap,
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=50,
        )
        options = [f"topics.{role}={getattr(settings.topics, role)}" for role in type(settings.topics).model_fields]
        options = [option for option in options if not option.endswith("=")]
        options += [f"kafka.bootstrap_servers={bootstrap}", f"kafka.group_id={settings.kafka.group_id}"]
        options += [f"snapshot.location={folder}", "http.enabled=false", "log.level=warning"]
        arguments = [part for option in options for part in ("--set", option)]
        worker = subprocess.Popen([sys.executable, "-m", "streamlearn", "run", *arguments])
        count = rate * seconds
        sent: dict[str, float] = {}
        ended = threading.Event()

        def feed() -> None:
            producer = KafkaProducer(bootstrap_servers=bootstrap, linger_ms=0, acks="all")
            begun = time.perf_counter()
            for number, value in enumerate(records(count + rate)):
                ahead = begun + number / rate - time.perf_counter()
                if ahead > 0 and ended.wait(ahead):
                    break
                sent[f"{number:010d}"] = time.perf_counter()
                producer.send(instances, value=value, partition=0)
            producer.close(timeout=10)

        warm = KafkaProducer(bootstrap_servers=bootstrap)
        warm.send(instances, value=next(records(1)).replace(b'"id":"0000000000"', b'"id":"warm-up-00"')).get(timeout=10)
        warm.close(timeout=5)
        feeder: threading.Thread | None = None
        seen: dict[str, float] = {}
        while len(seen) < count + rate and worker.poll() is None:
            for polled in consumer.poll(timeout_ms=100).values():
                arrived = time.perf_counter()
                seen.update((json.loads(record.value)["id"], arrived) for record in polled)
            if feeder is None and seen:
                feeder = threading.Thread(target=feed)
                feeder.start()
                seen.clear()
        ended.set()
        worker.terminate()
        worker.wait(timeout=30)
        if feeder is not None:
            feeder.join()
        consumer.close(autocommit=False, timeout_ms=5_000)
        # The first second is the run-up.
        late = [f"{number:010d}" for number in range(rate, count + rate)]
        return np.array([(seen[name] - sent[name]) * 1000 for name in late])


def main() -> None:
    """Measure, and print a line for each figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bootstrap", help="a running broker; else one is started")
    parser.add_argument("--records", type=int, default=60_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=20, help="of the latency run; 0: none")
    parser.add_argument("--profile", action="store_true", help="show where a run of the engine spends its time")
    options = parser.parse_args()
    gc.set_threshold(COLLECT_AFTER_OBJECTS, 50, 100)
    with broker(options.bootstrap) as bootstrap:
        warm_up(Settings())
        instances = f"bench-instances-{uuid.uuid4().hex[:8]}"
        admin = KafkaAdminClient(bootstrap_servers=bootstrap)
        admin.create_topics({instances: {"num_partitions": 1, "replication_factor": 1}}, timeout_ms=10_000)
        admin.close()
        producer = KafkaProducer(bootstrap_servers=bootstrap, linger_ms=5, batch_size=512 << 10)
        futures = [producer.send(instances, value=value, partition=0) for value in records(options.records)]
        producer.close(timeout=60)
        for future in futures:
            future.get(timeout=1)
        ours, echo = [], []
        for _ in range(options.runs):
            echo.append(run_echo(bootstrap, instances, options.records))
            ours.append(run_engine(bootstrap, instances, options.records))
            print(f"echo {echo[-1]:8,.0f}/s   streamlearn {ours[-1]:8,.0f}/s", flush=True)  # noqa: T201
        middle, theirs = statistics.median(ours), statistics.median(echo)
        print(  # noqa: T201
            f"median of {options.runs}: echo {theirs:,.0f}/s, streamlearn {middle:,.0f}/s, ratio {middle / theirs:.2f}"
        )
        if options.profile:
            profile = cProfile.Profile()
            run_engine(bootstrap, instances, options.records, profile)
            pstats.Stats(profile).sort_stats("tottime").print_stats(30)
        if options.seconds:
            times = latency(bootstrap, options.seconds)
            p50, p99 = np.percentile(times, [50, 99])
            print(f"latency at 1,000/s over {times.size:,}: p50 {p50:.0f} ms, p99 {p99:.0f} ms")  # noqa: T201


if __name__ == "__main__":
    main()
