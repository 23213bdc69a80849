# pyright: reportAttributeAccessIssue=false, reportCallIssue=false, reportArgumentType=false
"""Records per second through a broker, compared with a plain echo by the client; and latency. Run as a command:

    python -m tests.benchmarks.end_to_end [--bootstrap H:P] [--records N] [--runs N] [--profile]

Without ``--bootstrap`` it starts its own broker with ``deploy/kafka/broker``. The engine and the echo consume and
produce in transactions of at most 5,000 records with the same client settings. They run alternately, and their medians
are compared. A run lasts from the first records polled to the last commit. Latency is the time from handing an instance
to the producer until a read_committed consumer receives its answer, at 1,000 instances per second.
"""

from __future__ import annotations

import argparse
import contextlib
import cProfile
import gc
import pstats
import statistics
import tempfile
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.structs import OffsetAndMetadata, TopicPartition

from streamlearn.cli.worker import GC_THRESHOLD_OBJECTS
from streamlearn.engine.loop.engine import Engine
from streamlearn.engine.observer import NullObserver
from streamlearn.kafka.admin.topics import prepare_topics
from streamlearn.kafka.sink import PRODUCER_OPTIONS, KafkaSink
from streamlearn.kafka.source import KafkaSource
from streamlearn.kafka.topic_limits import LARGEST_BATCH_BYTES
from streamlearn.model.warm_up import warm_up
from streamlearn.settings.settings import Settings
from streamlearn.source import base
from tests.benchmarks.figures import Figure, add_history_option, keep
from tests.benchmarks.traffic import Answers, Feed, records
from tests.benchmarks.worker import BATCH, WAIT_SECONDS, Worker, broker, settings_for


class _TimedSource(KafkaSource):
    """Records the time of the first records."""

    first: float | None = None

    def poll(self, timeout_seconds: float, limit: int) -> Mapping[base.TopicPartition, list[base.RawRecord]]:
        polled = super().poll(timeout_seconds, limit)
        if self.first is None and polled:
            self.first = time.perf_counter()
        return polled


class _TimedCommits(NullObserver):
    """Counts the commits and records the time of the last one."""

    last = 0.0
    commits = 0

    def on_committed(self, tasks: Any, batch_seconds: float, commit_seconds: float) -> None:
        self.last = time.perf_counter()
        self.commits += 1


def run_engine(bootstrap: str, instances: str, count: int, profile: cProfile.Profile | None = None) -> float:
    """Return the records per second that the engine answers and learns."""
    with tempfile.TemporaryDirectory() as folder:
        settings = settings_for(bootstrap, instances, folder)
        prepare_topics(settings)
        source, commits = _TimedSource(settings), _TimedCommits()
        engine = Engine(settings, source, KafkaSink(settings), observer=commits)
        with profile or contextlib.nullcontext():
            engine.run(stop_at_end=True, leave=True)
        assert source.first is not None
        return count / (commits.last - source.first)


def run_echo(bootstrap: str, instances: str, count: int) -> float:
    """Return the records per second that the client alone consumes and produces, in transactions."""
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
    producer = KafkaProducer(
        bootstrap_servers=bootstrap,
        **PRODUCER_OPTIONS,
        batch_size=LARGEST_BATCH_BYTES,
        max_request_size=4 * LARGEST_BATCH_BYTES,
        transactional_id=output,
    )
    producer.init_transactions()
    consumer.partitions_for_topic(instances)
    first, done, last = None, 0, 0.0
    buffered: list[Any] = []
    while done < count:
        for polled in consumer.poll(timeout_ms=100, max_records=BATCH - len(buffered)).values():
            first = first or time.perf_counter()
            buffered.extend(polled)
        if len(buffered) < min(BATCH, count - done):
            continue
        producer.begin_transaction()
        futures = [
            producer.send(output, value=record.value, key=record.key, partition=record.partition) for record in buffered
        ]
        producer.flush(timeout=9)
        for future in futures:
            if future.failed():
                raise future.exception
        ends = {TopicPartition(instances, 0): OffsetAndMetadata(buffered[-1].offset + 1, "", -1)}
        producer.send_offsets_to_transaction(ends, consumer.group_metadata())
        producer.commit_transaction()
        last = time.perf_counter()
        done += len(buffered)
        buffered = []
    consumer.close(autocommit=False, timeout_ms=5_000)
    producer.close(timeout=5)
    assert first is not None
    return count / (last - first)


def measure_latency(bootstrap: str, seconds: int, rate: int = 1_000) -> np.ndarray:
    """Return the milliseconds from sending each instance to receiving its committed answer."""
    with tempfile.TemporaryDirectory() as folder:
        settings = settings_for(bootstrap, f"bench-live-{uuid.uuid4().hex[:8]}", folder)
        prepare_topics(settings)
        feed, answers, worker = Feed(settings), Answers(settings), Worker(settings, Path(folder))
        try:
            # The first answer shows that the worker is active; one second of traffic warms it up.
            for count in (1, rate):
                feed.send(rate, count)
                _await(worker, answers, len(feed.sent) - 1)
            first = len(feed.sent)
            feed.send(rate, rate * seconds)
            last = len(feed.sent) - 1
            _await(worker, answers, last)
            worker.stop()
            return answers.latencies_ms(feed.sent, first, last)
        finally:
            answers.close()


def _await(worker: Worker, answers: Answers, number: int) -> None:
    if not answers.wait(number, WAIT_SECONDS):
        worker.check()
        raise TimeoutError(f"instance {number} has no answer after {WAIT_SECONDS:.0f} s")


def main() -> None:
    """Measure, print a line per figure, and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bootstrap", help="address of a running broker (by default one is started)")
    parser.add_argument("--records", type=int, default=60_000, help="records per run (%(default)s)")
    parser.add_argument("--runs", type=int, default=5, help="runs of each loop (%(default)s)")
    parser.add_argument("--seconds", type=int, default=20, help="length of the latency run; 0: none (%(default)s)")
    parser.add_argument("--profile", action="store_true", help="profile one run of the engine")
    add_history_option(parser)
    options = parser.parse_args()
    figures: dict[str, Figure] = {}
    gc.set_threshold(GC_THRESHOLD_OBJECTS, 50, 100)
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
        ours_median, echo_median = statistics.median(ours), statistics.median(echo)
        print(  # noqa: T201
            f"median of {options.runs}: echo {echo_median:,.0f}/s, streamlearn {ours_median:,.0f}/s, "
            f"ratio {ours_median / echo_median:.2f}"
        )
        figures["throughput/streamlearn"] = Figure(ours_median, "records/s", "higher")
        figures["throughput/echo"] = Figure(echo_median, "records/s", "neither")
        figures["throughput/ratio to echo"] = Figure(ours_median / echo_median, "", "higher")
        if options.profile:
            profile = cProfile.Profile()
            run_engine(bootstrap, instances, options.records, profile)
            pstats.Stats(profile).sort_stats("tottime").print_stats(30)
        if options.seconds:
            times = measure_latency(bootstrap, options.seconds)
            p50, p99 = np.percentile(times, [50, 99])
            print(f"latency at 1,000/s over {times.size:,}: p50 {p50:.0f} ms, p99 {p99:.0f} ms")  # noqa: T201
            figures["latency at 1,000 per second/p50"] = Figure(float(p50), "ms", "lower")
            figures["latency at 1,000 per second/p99"] = Figure(float(p99), "ms", "lower")
    keep("end_to_end", figures, options)


if __name__ == "__main__":
    main()
