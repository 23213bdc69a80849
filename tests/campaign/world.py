"""What a campaign runs on: brokers, workers that are started again whenever they end, a small disk for snapshots."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.campaign.network import Network
from tests.faults.workers import Workers
from tests.integration.brokers import Broker
from tests.integration.service import Service

DISK_BYTES = 32 << 20
SESSION_MS = 2_000
RESTART_SECONDS = 0.3
AWAY_SECONDS = 120.0
_RESIDENT = re.compile(r"^VmRSS:\s+(\d+) kB", re.MULTILINE)


@dataclass
class Worker:
    """A worker's place: its name stays, its processes come and go."""

    name: str
    process: int | None = None
    restart_at: float = 0.0
    armed: str = ""
    stopped: bool = False


class World:
    """Brokers, topics and workers.

    Parameters
    ----------
    folder:
        Holds everything.
    nodes, workers:
        How many there are.
    scope:
        ``engine.scope``.
    say:
        Gets a line of text for everything that happens.

    Attributes
    ----------
    ends:
        How often a worker's process ended, by what it ended with.
    resident_bytes:
        The most that a worker has held.
    complete:
        Is set while no fault has taken a broker away.
    disk:
        Whether the snapshots lie on a small disk of their own, which takes the right to mount one.
    """

    def __init__(self, folder: Path, nodes: int, workers: int, scope: str, say: Callable[[str], None]) -> None:
        self.say = say
        self.scope = scope
        self.broker = Broker(folder / "brokers", nodes)
        self.ends: Counter[str] = Counter()
        self.complete = threading.Event()
        self.complete.set()
        self.resident_bytes = 0
        done = self.broker.start()
        if done.returncode:
            raise RuntimeError(f"the brokers did not start: {done.stderr}")
        self.service = Service(self.broker.address, "campaign", folder)
        self.places = [Worker(f"w{number}") for number in range(workers)]
        self.more = [
            "topics.partitions=3",
            f"engine.scope={scope}",
            f"kafka.session_timeout_ms={SESSION_MS}",
            "engine.batch_instances=200",
            "labels.pending_count=5000",
            "labels.orphan_count=200",
            "labels.orphan_seconds=30",
            "limits.bad_share=0.9",
        ]
        self.service.snapshots.mkdir()
        self.disk = _mounted(self.service.snapshots)
        self.service.make_topics(labels=True, more=self.more)
        self.network = Network([place.name for place in self.places], self.broker.address.split(","))
        self._workers = Workers(self.service.settings(labels=True, more=self.more), folder / "workers.log")

    def settings(self, worker: str) -> list[str]:
        """Return a worker's arguments; it reaches the brokers by the network that faults cut."""
        more = [*self.more, f"kafka.bootstrap_servers={self.network.bootstrap(worker)}"]
        return self.service.settings(labels=True, worker=worker, more=more)

    def start(self, place: Worker, *arguments: str) -> None:
        """Start a worker's process."""
        place.process = self._workers.start(*arguments, *self.settings(place.name), armed=place.armed)
        place.armed, place.stopped = "", False

    def signal(self, place: Worker, number: signal.Signals) -> bool:
        """Send a signal to a worker's process; return whether it had one."""
        if place.process is None:
            return False
        os.kill(place.process, number)
        return True

    def supervise(self) -> None:
        """Start again what has ended, as an orchestrator would, and look at what each holds."""
        for place in self.places:
            if place.process is None:
                if time.monotonic() >= place.restart_at:
                    self.start(place)
                continue
            state, resident = _looked_at(place.process)
            self.resident_bytes = max(self.resident_bytes, resident)
            if state != "Z":
                continue
            code = self._workers.wait(place.process)
            place.process = None
            place.restart_at = time.monotonic() + RESTART_SECONDS
            told = "killed" if code == -signal.SIGKILL else f"ended with {code}"
            self.ends[told] += 1
            if code != -signal.SIGKILL:
                self.say(f"{place.name} {told}: {self.last_error()}")

    def last_error(self) -> str:
        """Return what the workers said last that was no more than a line."""
        lines = [line for line in self._workers.log()[-4_000:].splitlines() if line.startswith("streamlearn:")]
        return lines[-1][:300] if lines else ""

    def finish(self, seconds: float) -> None:
        """End all workers, then let them apply what is left and end by themselves.

        Raises
        ------
        AssertionError
            When that does not succeed.
        """
        assert self.complete.wait(AWAY_SECONDS), "a broker has not come back"
        for place in self.places:
            self.network.mend(place.name)
            self.signal(place, signal.SIGCONT)
            self.signal(place, signal.SIGTERM)
        for place in self.places:
            if place.process is not None:
                self.ends[f"asked to stop: {self._workers.wait(place.process, 60)}"] += 1
                place.process = None
        last = self.places if self.scope == "partition" else self.places[:1]
        processes = [self._workers.start("--stop-at-end", "--leave", *self.settings(place.name)) for place in last]
        codes = [self._workers.wait(process, seconds) for process in processes]
        if any(codes):
            raise AssertionError(f"the last run ended with {codes}\n{self._workers.log()[-3000:]}")

    def close(self) -> None:
        """End everything."""
        with contextlib.suppress(Exception):
            self._workers.close()
        self.network.close()
        self.service.kill_all()
        self.broker.stop()
        if self.disk:
            subprocess.run(["umount", str(self.service.snapshots)], check=False)


def _mounted(folder: Path) -> bool:
    """Mount a small disk in memory where this process may; return whether it has."""
    if os.geteuid() != 0:
        return False
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _looked_at(process: int) -> tuple[str, int]:
    """Return the letter of a process's state and the bytes that it holds in memory."""
    status = Path(f"/proc/{process}/status").read_text()
    found = _RESIDENT.search(status)
    state = status.partition("State:\t")[2][:1]
    return state, int(found[1]) * 1024 if found else 0
