"""The environment of a campaign: brokers, workers that are restarted when they end, a small disk for snapshots."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tests.campaign.network import Network
from tests.campaign.operator import Operator
from tests.campaign.releases import NEXT, THIS, Releases
from tests.integration.brokers import Broker
from tests.integration.service import Service

DISK_BYTES = 32 << 20
SESSION_MS = 2_000
RESTART_SECONDS = 0.3
TURN_SECONDS = 0.05
"""Pause between two looks at the workers."""
BROKER_START_SECONDS = 120.0
_RESIDENT = re.compile(r"^VmRSS:\s+(\d+) kB", re.MULTILINE)


@dataclass
class Worker:
    """A worker: its name stays the same while its processes end and are restarted.

    ``armed`` is the fault point of the next process, as `tests.faults.points.arm` takes it, and ``release`` its
    release; ``running`` is that of the current or last process. ``codes`` are those with which processes have ended.
    """

    name: str
    process: int | None = None
    release: str = THIS
    running: str = THIS
    codes: list[int] = field(default_factory=list)
    restart_at: float = 0.0
    armed: str = ""
    paused: bool = False


class SetAside(NamedTuple):
    """A snapshot: where it was, and its copy."""

    path: Path
    copy: Path


class World:
    """Brokers, topics and workers of a campaign.

    Parameters
    ----------
    folder:
        Folder of all data and logs.
    nodes, workers:
        Number of brokers and of workers.
    scope:
        The setting ``engine.scope``.
    say:
        Function that prints a line.
    upgrades:
        Whether the workers are replaced by those of other releases.

    Attributes
    ----------
    held:
        Names of the workers that are not started again for now.
    corrupted:
        Names of the snapshots that a fault has changed.
    set_aside:
        A snapshot that this release has left, for the way back.
    operator:
        Replaces the releases of the workers.
    ends:
        Number of processes that ended, by exit code or signal.
    resident_bytes:
        Maximum memory of a worker so far.
    complete:
        Set while all brokers run.
    disk:
        Whether the snapshots are on their own small disk, which needs the right to mount one.
    """

    def __init__(
        self, folder: Path, nodes: int, workers: int, scope: str, say: Callable[[str], None], *, upgrades: bool = False
    ) -> None:
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
        self.workers = [Worker(f"w{number}") for number in range(workers)]
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
        self.disk = _mount_disk(self.service.snapshots)
        self.service.make_topics(labels=True, more=self.more)
        self.network = Network([worker.name for worker in self.workers], self.broker.address.split(","))
        self.releases = Releases(folder, self.service.settings(labels=True, more=self.more), has_others=upgrades)
        self.held: set[str] = set()
        self.corrupted: set[str] = set()
        self.set_aside: SetAside | None = None
        self.operator = Operator(self)

    @property
    def release(self) -> str:
        """The release of all workers; this one when they are of different ones."""
        return NEXT if all(worker.release == NEXT for worker in self.workers) else THIS

    def settings(self, name: str) -> list[str]:
        """Return the arguments of a worker, which connects to the brokers through the proxies that faults cut."""
        more = [*self.more, f"kafka.bootstrap_servers={self.network.bootstrap(name)}"]
        return self.service.settings(labels=True, worker=name, more=more)

    def start(self, worker: Worker, *arguments: str) -> None:
        """Start a process of a worker."""
        worker.running = worker.release
        processes = self.releases.workers(worker.running)
        worker.process = processes.start(*arguments, *self.settings(worker.name), armed=worker.armed)
        worker.armed, worker.paused = "", False

    def run(self, release: str, worker: Worker, command: Sequence[str]) -> int:
        """Run a command of a release as a worker to its end, and return its exit code."""
        processes = self.releases.workers(release)
        return processes.wait(processes.start(*self.settings(worker.name), command=command))

    def signal(self, worker: Worker, number: signal.Signals) -> bool:
        """Send a signal to a worker's process; return whether it has one."""
        if worker.process is None:
            return False
        os.kill(worker.process, number)
        return True

    def supervise(self) -> None:
        """Restart the workers that have ended, as an orchestrator would, and measure the memory of the others."""
        for worker in self.workers:
            if worker.process is None:
                if time.monotonic() >= worker.restart_at and worker.name not in self.held:
                    self.start(worker)
                continue
            state, resident = _read_status(worker.process)
            self.resident_bytes = max(self.resident_bytes, resident)
            if state != "Z":
                continue
            code = self.releases.workers(worker.running).wait(worker.process)
            worker.codes.append(code)
            worker.process = None
            worker.restart_at = time.monotonic() + RESTART_SECONDS
            end = "killed" if code == -signal.SIGKILL else f"ended with {code}"
            self.ends[end] += 1
            if code != -signal.SIGKILL:
                self.say(f"{worker.name} {end}: {self.last_error()}")

    def last_error(self) -> str:
        """Return the last one-line error message in the workers' log."""
        lines = [line for line in self.releases.log()[-4_000:].splitlines() if line.startswith("streamlearn:")]
        return lines[-1][:300] if lines else ""

    def finish(self, seconds: float) -> None:
        """Stop all workers, then run them until they have caught up and end by themselves.

        Raises
        ------
        AssertionError
            When a broker is still down, or a worker ends with an error.
        """
        assert self.complete.wait(BROKER_START_SECONDS), "a broker did not start again"
        for worker in self.workers:
            self.network.restore(worker.name)
        while self.operator.is_busy:
            self.supervise()
            time.sleep(TURN_SECONDS)
        self.operator.finish()
        for worker in self.workers:
            self.signal(worker, signal.SIGCONT)
            self.signal(worker, signal.SIGTERM)
        for worker in self.workers:
            if worker.process is not None:
                code = self.releases.workers(worker.running).wait(worker.process, 60)
                self.ends[f"terminated: {code}"] += 1
                worker.process = None
        last_workers = self.workers if self.scope == "partition" else self.workers[:1]
        processes = self.releases.workers(self.release)
        last = [processes.start("--stop-at-end", "--leave", *self.settings(worker.name)) for worker in last_workers]
        codes = [processes.wait(process, seconds) for process in last]
        if any(codes):
            raise AssertionError(f"the last run ended with {codes}\n{self.releases.log()[-3000:]}")

    def close(self) -> None:
        """Stop the workers and the brokers, and unmount the disk."""
        with contextlib.suppress(Exception):
            self.releases.close()
        self.network.close()
        self.service.kill_all()
        self.broker.stop()
        if self.disk:
            subprocess.run(["umount", str(self.service.snapshots)], check=False)


def _mount_disk(folder: Path) -> bool:
    """Mount a small disk in memory if this process has the right to; return whether it did."""
    if os.geteuid() != 0:
        return False
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _read_status(process: int) -> tuple[str, int]:
    """Return the state of a process, one letter, and its resident bytes."""
    status = Path(f"/proc/{process}/status").read_text()
    found = _RESIDENT.search(status)
    state = status.partition("State:\t")[2][:1]
    return state, int(found[1]) * 1024 if found else 0
