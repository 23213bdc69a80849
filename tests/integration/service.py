"""The command line as a user runs it against a broker, and independent readers of its output."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.errors import CoordinatorNotAvailableError
from kafka.structs import TopicPartition

from streamlearn.kafka.admin.topics import prepare_topics
from streamlearn.settings.loading import load_settings
from tests.faults.workers import Starter, Worker

AnyWorker = Worker | subprocess.Popen[bytes]
QUICK_RECONNECT_MS = 500
"""Longest pause of a client of a test before it connects again; the client's own is 30 s after a long outage."""
ASK_SECONDS = 0.02
TOPICS = ("instances", "labels", "predictions", "events", "metrics", "dead_letters")


class Follower:
    """Counts the committed records of a topic as they come; cheap enough to catch a worker in mid-stream."""

    def __init__(self, broker: str, topic: str) -> None:
        self._consumer = KafkaConsumer(
            bootstrap_servers=broker,
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=20,
            reconnect_backoff_max_ms=QUICK_RECONNECT_MS,
        )
        self._consumer.assign(
            [TopicPartition(topic, number) for number in sorted(self._consumer.partitions_for_topic(topic))]
        )
        self._count = 0

    def count(self) -> int:
        """Return the number of records so far."""
        while polled := self._consumer.poll(timeout_ms=20):
            self._count += sum(len(records) for records in polled.values())
        return self._count

    def close(self) -> None:
        self._consumer.close()


class Service:
    """The topics, the group and the workers of one test.

    Parameters
    ----------
    broker:
        Address of the broker.
    name:
        Prefix of every topic, and name of the group.
    folder:
        Folder of snapshots and logs.
    starter:
        Forks the workers; without it each has an interpreter of its own.
    """

    def __init__(self, broker: str, name: str, folder: Path, starter: Starter | None = None) -> None:
        self.broker = broker
        self.name = name
        self._folder = folder
        self._starter = starter
        self._workers: list[AnyWorker] = []
        self._followers: list[Follower] = []
        self._pause = threading.Event()

    def topic(self, role: str) -> str:
        return f"{self.name}-{role.replace('_', '-')}"

    def settings(self, *, labels: bool = False, worker: str = "w0", more: Sequence[str] = ()) -> list[str]:
        values = {
            "kafka.bootstrap_servers": self.broker,
            "kafka.group_id": self.name,
            "worker.name": worker,
            "snapshot.location": str(self.snapshots),
            "snapshot.interval_seconds": "1",
            "http.enabled": "false",
            **{f"topics.{role}": self.topic(role) for role in TOPICS},
        }
        if not labels:
            values["topics.labels"] = ""
        arguments = []
        for text in [*(f"{name}={value}" for name, value in values.items()), *more]:
            arguments += ["--set", text]
        return arguments

    def command(self, *arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, and assert that it succeeds."""
        done = subprocess.run(
            [sys.executable, "-m", "streamlearn", *arguments],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert done.returncode == 0, f"{arguments} ended with {done.returncode}: {done.stdout}{done.stderr}"
        return done

    def create_topics(self, **options: Any) -> None:
        self.command("topics", "create", *self.settings(**options))
        self.command("topics", "check", *self.settings(**options))

    def make_topics(self, **options: Any) -> None:
        """Create the topics without a command."""
        arguments = self.settings(**options)
        prepare_topics(load_settings(None, [*arguments[1::2], "topics.create=true"], {}).settings)

    def start(
        self,
        *arguments: str,
        worker: str = "w0",
        own: bool = False,
        starter: Starter | None = None,
        armed: str = "",
        **options: Any,
    ) -> AnyWorker:
        """Start a worker; with ``own``, in an interpreter of its own, as a user does.

        ``starter`` forks it in place of the service's own, and ``armed`` is the point at which it kills itself.
        """
        log = self._folder / f"{self.name}-{worker}-{len(self._workers)}.log"
        command = ["run", *arguments, *self.settings(worker=worker, **options)]
        starter = starter or self._starter
        if starter is not None and not own:
            process = Worker(starter, command, log, armed)
        else:
            with log.open("wb") as output:
                process = subprocess.Popen(
                    [sys.executable, "-m", "streamlearn", *command], stdout=output, stderr=subprocess.STDOUT
                )
        self._workers.append(process)
        return process

    def running(self) -> list[AnyWorker]:
        """Return the workers that have not ended."""
        return [process for process in self._workers if process.poll() is None]

    def log_of(self, worker: str) -> str:
        """Return the logs of all processes of a worker, in order."""
        paths = sorted(self._folder.glob(f"{self.name}-{worker}-*.log"))
        return "".join(path.read_text(errors="replace") for path in paths)

    @property
    def snapshots(self) -> Path:
        """The folder of the snapshots."""
        return self._folder / f"{self.name}-snapshots"

    def kill_all(self) -> None:
        for process in self._workers:
            if process.poll() is None:
                process.kill()
            process.wait()
        for follower in self._followers:
            follower.close()

    def logs(self) -> str:
        return "\n".join(path.read_text(errors="replace")[-3000:] for path in sorted(self._folder.glob("*.log")))

    def produce_raw(self, role: str, values: Sequence[bytes | None]) -> None:
        producer = KafkaProducer(bootstrap_servers=self.broker, linger_ms=5)
        futures = [producer.send(self.topic(role), value=value, key=b"" if value is None else None) for value in values]
        producer.flush(timeout=120)
        for future in futures:
            future.get(timeout=1)
        producer.close(timeout=5)

    def partitions(self, topic: str) -> int:
        consumer = KafkaConsumer(bootstrap_servers=self.broker)
        try:
            return len(consumer.partitions_for_topic(topic))
        finally:
            consumer.close()

    def committed(self, partitions: Sequence[tuple[str, int]]) -> dict[tuple[str, int], tuple[int, str]]:
        """Return the group's committed offsets and their metadata."""
        admin = KafkaAdminClient(bootstrap_servers=self.broker)
        try:
            offsets = admin.list_group_offsets(self.name)[self.name]
        finally:
            admin.close()
        found = {(key.topic, key.partition): (entry.offset, entry.metadata) for key, entry in offsets.items()}
        return {partition: found[tuple(partition)] for partition in partitions}

    def read(self, role: str) -> list[Any]:
        """Return all committed records of a role's topic."""
        return self.read_topic(self.topic(role))

    def read_topic(self, topic: str, *, committed: bool = True) -> list[Any]:
        """Return all records of a topic, or the committed ones, with a consumer outside of the group."""
        consumer = KafkaConsumer(
            bootstrap_servers=self.broker,
            isolation_level="read_committed" if committed else "read_uncommitted",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )
        try:
            partitions = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic))]
            consumer.assign(partitions)
            consumer.seek_to_beginning(*partitions)
            ends = consumer.end_offsets(partitions)
            records: list[Any] = []
            while any(consumer.position(partition) < ends[partition] for partition in partitions):
                for polled in consumer.poll(timeout_ms=200).values():
                    records.extend(polled)
            return records
        finally:
            consumer.close()

    def follow(self, role: str) -> Follower:
        """Return a counter of a role's committed records."""
        follower = Follower(self.broker, self.topic(role))
        self._followers.append(follower)
        return follower

    def assigned(self) -> dict[str, list[int]]:
        """Return the partitions of the instances that each worker of the group holds; empty while it rebalances."""
        admin = KafkaAdminClient(bootstrap_servers=self.broker)
        try:
            group = admin.describe_groups([self.name])[self.name]
        except CoordinatorNotAvailableError:
            # A broker that has just started first creates the offsets topic.
            return {}
        finally:
            admin.close()
        if group["group_state"] != "Stable":
            return {}
        return {
            member["group_instance_id"]: sorted(
                number
                for topic in member["member_assignment"]["assigned_partitions"]
                if topic["topic"] == self.topic("instances")
                for number in topic["partitions"]
            )
            for member in group["members"]
        }

    def predictions(self) -> list[dict[str, Any]]:
        return [json.loads(record.value) for record in self.read("predictions")]

    def wait(self, what: str, condition: Callable[[], bool], seconds: float = 120) -> None:
        """Wait until a condition holds; fail with the workers' logs when it does not."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"not within {seconds} s: {what}\n{self.logs()}"
            # Most conditions ask the brokers; without a pause that would take the processor from the workers.
            self._pause.wait(ASK_SECONDS)
