"""A broker of a benchmark's own, settings of a new group, and a worker's process, looked at from outside."""

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
"""Units of processor time in a second."""


@contextlib.contextmanager
def broker(bootstrap: str | None) -> Iterator[str]:
    """Give the address of a broker, started here unless one is named."""
    if bootstrap is not None:
        yield bootstrap
        return
    with tempfile.TemporaryDirectory() as folder:
        own = Broker(Path(folder))
        started = own.start()
        if started.returncode != 0:
            raise RuntimeError(f"no broker could be started: {started.stderr}")
        try:
            yield own.address
        finally:
            own.stop()


def settings_for(bootstrap: str, instances: str, folder: str, labels: str = "") -> Settings:
    """Return a configuration of a new group over a topic of instances."""
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
    """A worker's process.

    Parameters
    ----------
    settings:
        Its brokers, group, topics and snapshots.
    name:
        Its ``worker.name``.
    options:
        More settings, ``section.key=value``.
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
        """Raise `RuntimeError` with the end of its log when it has ended."""
        if self.process.poll() is not None:
            raise RuntimeError(f"worker {self.name} ended:\n{self._log.read_text(errors='replace')[-3000:]}")

    def shows(self, path: str) -> str:
        """Return what the worker serves; empty while it does not."""
        self.check()
        found = re.search(r"metrics and health at (\S+)", self._log.read_text(errors="replace"))
        if found is None:
            return ""
        try:
            with urllib.request.urlopen(found[1] + path, timeout=5) as answer:
                return answer.read().decode()
        except OSError:
            return ""

    def gauge(self, name: str) -> float:
        """Return a gauge; NaN before the endpoint answers."""
        found = re.search(rf"^{PREFIX}_{name} (\S+)$", self.shows("/metrics"), re.MULTILINE)
        return float(found[1]) if found else float("nan")

    def resident_bytes(self) -> int:
        """Return the bytes that it holds in memory."""
        found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{self.process.pid}/status").read_text())
        return int(found[1]) * 1024 if found else 0

    def cpu_seconds(self) -> float:
        """Return the processor time that it has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def kill(self) -> None:
        """End it by SIGKILL."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """Let it end as it does when asked to."""
        self.process.terminate()
        self.process.wait(timeout=WAIT_SECONDS)


def wait(what: str, condition: Callable[[], bool]) -> None:
    """Wait until a condition holds; raises `TimeoutError` after two minutes."""
    deadline = time.monotonic() + WAIT_SECONDS
    pause = threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {WAIT_SECONDS:.0f} s: {what}")
        pause.wait(SLICE_SECONDS)
