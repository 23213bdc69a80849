"""Starts brokers with the script that users run: one, or a cluster."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.environment import is_required

SCRIPT = Path(__file__).parents[2] / "deploy" / "kafka" / "broker"
PORTS_PER_NODE = 6
NODE_PORT_STEP = 10
PORTS = (10_000, 32_000)
# The quick compiler alone: a broker lives for minutes here, and the processor is the tests'.
JAVA = {"JDK_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1 -XX:-UsePerfData"}
PROPERTIES = """
# A broker that starts again after a kill is let in once its session is over, 9 s by default.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
# How often the transactions that are overdue are looked for, 10 s by default.
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
"""


def _free_port(nodes: int) -> int:
    """Return a first port such that every port that the script uses is free.

    It lies below the ports that the operating system gives to outgoing connections, one of which could otherwise take
    the port of a broker that is stopped for a moment.
    """
    offsets = [NODE_PORT_STEP * node + listener for node in range(nodes) for listener in range(PORTS_PER_NODE)]
    while True:
        port = random.randrange(*PORTS)
        with contextlib.ExitStack() as taken:
            try:
                for offset in offsets:
                    taken.enter_context(socket.socket()).bind(("127.0.0.1", port + offset))
            except OSError:
                continue
            return port


class Broker:
    """The broker, or the cluster, of a test; its nodes can be stopped and started again, and keep their data.

    Parameters
    ----------
    folder:
        Folder of data and logs.
    nodes:
        Number of brokers; they are numbered from 1.
    """

    def __init__(self, folder: Path, nodes: int = 1) -> None:
        self.folder = folder
        self.nodes = nodes
        self._port = _free_port(nodes)
        self._arguments = ["--port", str(self._port), "--folder", str(folder), "--nodes", str(nodes)]

    @property
    def address(self) -> str:
        """The plain listeners of all nodes, comma-separated."""
        return ",".join(f"127.0.0.1:{self.port(node)}" for node in range(1, self.nodes + 1))

    def port(self, node: int = 1) -> int:
        """Return the port of a node's plain listener; the controller and the secure listeners have the next ones."""
        return self._port + NODE_PORT_STEP * (node - 1)

    def start(self, *arguments: str, node: int | None = None) -> subprocess.CompletedProcess[str]:
        return self._call("start", *arguments, node=node)

    def stop(self, node: int | None = None) -> subprocess.CompletedProcess[str]:
        return self._call("stop", node=node)

    def signal(self, number: int, node: int = 1) -> None:
        """Send a signal to a node."""
        folder = self.folder if self.nodes == 1 else self.folder / f"node-{node}"
        os.kill(int((folder / "broker.pid").read_text()), number)

    def pause(self, node: int = 1) -> None:
        """Freeze a node: its connections stay open, but it answers nothing."""
        self.signal(signal.SIGSTOP, node)

    def resume(self, node: int = 1) -> None:
        """Let a frozen node continue; do nothing when it has ended."""
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            self.signal(signal.SIGCONT, node)

    def kill(self, node: int = 1) -> None:
        """End a node as a power cut would, except that what the operating system has buffered is not lost."""
        self.signal(signal.SIGKILL, node)
        while self._call("status", node=node).returncode == 0:
            pass

    def discard(self) -> None:
        """End all nodes, whose data nobody will read, without waiting for an orderly stop."""
        for node in range(1, self.nodes + 1):
            with contextlib.suppress(ProcessLookupError, FileNotFoundError):
                self.signal(signal.SIGKILL, node)

    def _call(self, action: str, *arguments: str, node: int | None = None) -> subprocess.CompletedProcess[str]:
        chosen = [] if node is None else ["--node", str(node)]
        return subprocess.run(
            [SCRIPT, action, *self._arguments, *arguments, *chosen],
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
            env=os.environ | JAVA,
        )


def start_brokers(
    folder: Path,
    *arguments: str,
    nodes: int = 1,
    properties: Callable[[int], str] = lambda port: "",
) -> Broker:
    """Start brokers; skip the test where their requirements are missing, unless the environment forbids skipping.

    Parameters
    ----------
    properties:
        Returns further lines for every node's server.properties, given the first node's port.
    """
    missing = [name for name in ("java", "mvn", "openssl") if shutil.which(name) is None]
    required = is_required("STREAMLEARN_REQUIRE_BROKER")
    advice = (
        "the broker tests need Java 17, Maven and OpenSSL "
        "(Debian: apt-get install openjdk-17-jre-headless maven openssl)"
    )
    if missing and not required:
        pytest.skip(f"{' and '.join(missing)} missing: {advice}")
    broker = Broker(folder, nodes)
    folder.mkdir(exist_ok=True)
    given = folder / "given.properties"
    given.write_text(PROPERTIES + properties(broker.port()), encoding="utf-8")
    done = broker.start("--properties", str(given), *arguments)
    if done.returncode == 4 and not required:
        pytest.skip(f"{done.stderr.strip()}: {advice}")
    if done.returncode != 0:
        pytest.fail(f"the broker did not start: {done.stderr}")
    return broker
