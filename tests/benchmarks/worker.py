"""A broker for a benchmark, settings of a new group, and the process of a worker."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from streamlearn.settings.settings import Settings
from streamlearn.telemetry.metrics import PREFIX
from tests.integration.brokers import Broker

BATCH = 5_000
WAIT_SECONDS = 120.0
SLICE_SECONDS = 0.05
TICKS = os.sysconf("SC_CLK_TCK")
"""Units of processor time per second."""


@contextlib.contextmanager
def broker(bootstrap: str | None) -> Iterator[str]:
    """Yield ``bootstrap``, or the address of a broker that runs as long as the context."""
    if bootstrap is not None:
        yield bootstrap
        return
    with tempfile.TemporaryDirectory() as folder:
        own = Broker(Path(folder))
        done = own.start()
        if done.returncode != 0:
            raise RuntimeError(f"the broker did not start: {done.stderr}")
        try:
            yield own.address
        finally:
            own.stop()


def settings_for(bootstrap: str, instances: str, folder: str, labels: str = "") -> Settings:
    """Return settings of a new group that reads the topic ``instances``."""
    name = f"bench-{uuid.uuid4().hex[:8]}"
    roles = ("predictions", "events", "metrics", "dead_letters")
    topics = {"instances": instances, "labels": labels, "create": True, **{role: f"{name}-{role}" for role in roles}}
    return Settings.model_validate(
        {
            "kafka": {"bootstrap_servers": bootstrap, "group_id": name},
            "worker": {"name": "w0"},
            "topics": topics,
            "snapshot": {"location": folder},
            "engine": {"batch_instances": BATCH},
        }
    )


class Worker:
    """The process of a worker.

    Parameters
    ----------
    settings:
        Brokers, group, topics and location of snapshots.
    folder:
        Folder of its log.
    name:
        The setting ``worker.name``.
    options:
        More settings, each ``section.key=value``.
    """

    def __init__(self, settings: Settings, folder: Path, name: str = "w0", options: Sequence[str] = ()) -> None:
        self.name = name
        self._log = folder / f"{name}-{uuid.uuid4().hex[:8]}.log"
        values = {
            "kafka.bootstrap_servers": settings.kafka.bootstrap_servers,
            "kafka.group_id": settings.kafka.group_id,
            "worker.name": name,
            "snapshot.location": settings.snapshot.location,
            "engine.batch_instances": settings.engine.batch_instances,
            "http.port": 0,
        }
        for role in ("instances", "labels", "predictions", "events", "metrics", "dead_letters"):
            values[f"topics.{role}"] = getattr(settings.topics, role)
        assigned = [*(f"{key}={value}" for key, value in values.items()), *options]
        arguments = [part for value in assigned for part in ("--set", value)]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "streamlearn", "run", *arguments], stdout=log, stderr=subprocess.STDOUT
            )

    def check(self) -> None:
        """Raise `RuntimeError` with the end of the log if the process has ended."""
        if self.process.poll() is not None:
            raise RuntimeError(f"worker {self.name} ended:\n{self._log.read_text(errors='replace')[-3000:]}")

    def get(self, path: str) -> str:
        """Return the response of the worker's HTTP server to a path; empty before the server runs."""
        self.check()
        found = re.search(r"metrics and health at (\S+)", self._log.read_text(errors="replace"))
        if found is None:
            return ""
        try:
            with urllib.request.urlopen(found[1] + path, timeout=5) as response:
                return response.read().decode()
        except OSError:
            return ""

    def gauge(self, name: str) -> float:
        """Return the value of a gauge; NaN before the server runs."""
        found = re.search(rf"^{PREFIX}_{name} (\S+)$", self.get("/metrics"), re.MULTILINE)
        return float(found[1]) if found else float("nan")

    def resident_bytes(self) -> int:
        """Return the resident bytes of the process."""
        found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{self.process.pid}/status").read_text())
        return int(found[1]) * 1024 if found else 0

    def cpu_seconds(self) -> float:
        """Return the processor time of the process so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def kill(self) -> None:
        """Kill the process with SIGKILL."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """Stop the process with SIGTERM, and wait until it has ended."""
        self.process.terminate()
        self.process.wait(timeout=WAIT_SECONDS)


def wait(what: str, condition: Callable[[], bool]) -> None:
    """Wait until a condition holds; raise `TimeoutError` after `WAIT_SECONDS`."""
    deadline = time.monotonic() + WAIT_SECONDS
    pause = threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {WAIT_SECONDS:.0f} s: {what}")
        pause.wait(SLICE_SECONDS)
