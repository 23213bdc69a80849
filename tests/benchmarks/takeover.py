# pyright: reportAttributeAccessIssue=false, reportCallIssue=false, reportArgumentType=false
"""The gap in predictions when the active worker is killed, with a warm stand-by and with a cold one. Run as a command:

    python -m tests.benchmarks.takeover [--bootstrap H:P] [--rate N] [--seconds N] [--kills N] [--session-timeout-ms N]

Without ``--bootstrap`` it starts a broker of its own by ``deploy/kafka/broker``. Two workers share a group; instances
come at a steady rate. After ``--seconds`` the active worker gets a SIGKILL and, after the takeover, is started again,
to stand by. The gap is the longest silence around the kill between two arrivals of answers at a read_committed
consumer. Beside it stands what the client alone cannot do without: the session timeout.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

from kafka import KafkaConsumer, KafkaProducer

from streamlearn.check.topics import prepare_topics
from streamlearn.settings.model import Settings
from tests.benchmarks.end_to_end import broker, records, settings_for

SLICE_SECONDS = 0.01
WAIT_SECONDS = 120.0


class Feed:
    """Sends instances at a steady rate from a thread of its own."""

    def __init__(self, bootstrap: str, topic: str, rate: int) -> None:
        self._producer = KafkaProducer(bootstrap_servers=bootstrap, linger_ms=5, batch_size=256 << 10)
        self._topic = topic
        self._rate = rate
        self._values = list(records(min(20 * rate, 50_000)))
        self._ended = threading.Event()
        self.sent = 0
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        begun = time.monotonic()
        while not self._ended.wait(SLICE_SECONDS):
            due = int((time.monotonic() - begun) * self._rate)
            for number in range(self.sent, due):
                self._producer.send(self._topic, value=self._values[number % len(self._values)], partition=0)
            self.sent = due

    def close(self) -> None:
        """Send no more."""
        self._ended.set()
        self._thread.join()
        self._producer.close(timeout=30)


class Answers:
    """Notes when answers arrive, from a thread of its own."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._consumer = KafkaConsumer(
            topic,
            bootstrap_servers=bootstrap,
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=50,
            max_partition_fetch_bytes=8 << 20,
            max_poll_records=20_000,
        )
        self._ended = threading.Event()
        self.arrivals: list[float] = []
        self.count = 0
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._ended.is_set():
            polled = self._consumer.poll(timeout_ms=50)
            if polled:
                self.arrivals.append(time.monotonic())
                self.count += sum(len(records) for records in polled.values())

    def gap(self, moment: float) -> float:
        """Return the longest silence, in seconds, from a second before a moment on."""
        around = [at for at in self.arrivals if at > moment - 1.0]
        return max((later - earlier for earlier, later in itertools.pairwise(around)), default=0.0)

    def close(self) -> None:
        """Note no more."""
        self._ended.set()
        self._thread.join()
        self._consumer.close(autocommit=False, timeout_ms=5_000)


class Worker:
    """A worker as a process."""

    def __init__(self, settings: Settings, name: str, options: Sequence[str], folder: Path) -> None:
        self.name = name
        self._log = folder / f"{name}-{uuid.uuid4().hex[:4]}.log"
        values = [f"topics.{role}={topic}" for role, topic in settings.topics.model_dump().items() if topic]
        values = [value for value in values if not value.startswith(("topics.partitions", "topics.replication"))]
        values += [f"kafka.{key}={getattr(settings.kafka, key)}" for key in ("bootstrap_servers", "group_id")]
        values += [f"worker.name={name}", f"snapshot.location={settings.snapshot.location}", "http.port=0", *options]
        arguments = [part for value in values for part in ("--set", value)]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "streamlearn", "run", *arguments],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ,
            )

    def shows(self, path: str) -> str:
        """Return what the worker serves; empty while it does not."""
        if self.process.poll() is not None:
            raise RuntimeError(f"worker {self.name} ended:\n{self._log.read_text()[-3000:]}")
        _, found, rest = self._log.read_text().partition("metrics and health at ")
        if not found:
            return ""
        try:
            with urllib.request.urlopen(rest.split()[0] + path, timeout=5) as answer:
                return answer.read().decode()
        except OSError:
            return ""

    def gauge(self, name: str) -> float:
        """Return a gauge's value."""
        lines = [line for line in self.shows("/metrics").splitlines() if line.startswith(f"streamlearn_{name} ")]
        return float(lines[0].split()[1]) if lines else 0.0


def wait(what: str, condition: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {WAIT_SECONDS:.0f} s: {what}")
        time.sleep(0.05)


class Pair:
    """Two workers of a group, one active, and the traffic that they answer."""

    def __init__(self, bootstrap: str, standby: str, options: argparse.Namespace, folder: Path) -> None:
        self._session_seconds = options.session_timeout_ms / 1000
        self._folder = folder
        name = f"bench-takeover-{uuid.uuid4().hex[:8]}"
        self._settings = settings_for(bootstrap, name, str(folder / "snapshots"))
        prepare_topics(self._settings)
        timeout = f"kafka.session_timeout_ms={options.session_timeout_ms}"
        self._options = [f"engine.standby={standby}", timeout, *options.set]
        self._workers = [self._start("w0")]
        self._await_active(self.active)
        self._workers.append(self._start("w1"))
        self._await_stand_by()
        self.answers = Answers(bootstrap, self._settings.topics.predictions)
        self.feed = Feed(bootstrap, self._settings.topics.instances, options.rate)

    @property
    def active(self) -> Worker:
        """The active one."""
        return self._workers[0]

    @property
    def other(self) -> Worker:
        """The one that stands by."""
        return self._workers[1]

    def _start(self, name: str) -> Worker:
        return Worker(self._settings, name, self._options, self._folder)

    def _await_active(self, worker: Worker) -> None:
        wait("an active worker", lambda: worker.shows("/readyz") == "active")

    def _await_stand_by(self) -> None:
        wait("a stand-by", lambda: self.other.shows("/readyz").startswith("stand-by"))

    def kill(self) -> float:
        """Kill the active worker, start it again once the other is active; return the gap in seconds."""
        killed = time.monotonic()
        self.active.process.kill()
        self.active.process.wait()
        self._await_active(self.other)
        wait("answers", lambda: self.answers.arrivals[-1] > killed + self._session_seconds)
        gap = self.answers.gap(killed)
        killed_one = self._workers.pop(0)
        self._workers.append(self._start(killed_one.name))
        self._await_stand_by()
        return gap

    def close(self) -> None:
        """End the traffic and the workers."""
        self.feed.close()
        self.answers.close()
        for worker in self._workers:
            worker.process.kill()
            worker.process.wait()


def run(bootstrap: str, standby: str, options: argparse.Namespace) -> dict[str, object]:
    """Kill active workers one after the other; return the gaps."""
    session = options.session_timeout_ms / 1000
    gaps = []
    with tempfile.TemporaryDirectory() as folder:
        pair = Pair(bootstrap, standby, options, Path(folder))
        try:
            for _ in range(options.kills):
                time.sleep(options.seconds)
                lag = pair.other.gauge("stand_by_lag_batches")
                sent, behind = pair.feed.sent, pair.feed.sent - pair.answers.count
                gap = pair.kill()
                gaps.append(gap)
                print(  # noqa: T201
                    f"  {standby}: gap {gap:.2f} s, {gap - session:+.2f} s beside the session timeout; {sent:,} sent, "
                    f"{behind:,} unanswered at the kill, stand-by {lag:.0f} batches behind",
                    flush=True,
                )
        finally:
            pair.close()
    return {
        "standby": standby,
        "rate": options.rate,
        "session_timeout_s": session,
        "gaps_s": [round(gap, 2) for gap in gaps],
        "worst_beyond_timeout_s": round(max(gaps) - session, 2),
    }


def main() -> None:
    """Measure, and print a line for each kill and one for each kind of stand-by."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bootstrap", help="a running broker; else one is started")
    parser.add_argument("--rate", type=int, default=1_000, help="instances a second")
    parser.add_argument("--seconds", type=float, default=20, help="of traffic before each kill")
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--session-timeout-ms", type=int, default=6_000)
    parser.add_argument("--standby", choices=("warm", "cold", "both"), default="both")
    parser.add_argument("--set", action="append", default=[], help="a setting of the workers; may be repeated")
    options = parser.parse_args()
    kinds = ("warm", "cold") if options.standby == "both" else (options.standby,)
    with broker(options.bootstrap) as bootstrap:
        for standby in kinds:
            print(json.dumps(run(bootstrap, standby, options)), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
