"""A real broker for the tests that need one: Apache Kafka, by the script that people use, one for each test run."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.environment import is_required
from tests.faults.workers import Workers
from tests.integration.service import Service

SCRIPT = Path(__file__).parents[2] / "deploy" / "kafka" / "broker"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.broker)


def _free_pair() -> int:
    """Return a port that is free together with the next one, which the controller takes."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port


class Broker:
    """The broker of the test run; it may be stopped and started again, and keeps its data."""

    def __init__(self, port: int, folder: Path) -> None:
        self.address = f"127.0.0.1:{port}"
        self._folder = folder
        self._where = ["--port", str(port), "--folder", str(folder)]

    def start(self) -> subprocess.CompletedProcess[str]:
        return self._call("start")

    def stop(self) -> subprocess.CompletedProcess[str]:
        return self._call("stop")

    def kill(self) -> None:
        """End the broker as a power cut would, but for what the operating system has not written yet."""
        process = int((self._folder / "broker.pid").read_text())
        os.kill(process, signal.SIGKILL)
        while self._call("status").returncode == 0:
            pass

    def _call(self, action: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([SCRIPT, action, *self._where], capture_output=True, text=True, check=False, timeout=240)


@pytest.fixture(scope="session")
def broker_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """Start the broker."""
    missing = [name for name in ("java", "mvn") if shutil.which(name) is None]
    required = is_required("STREAMLEARN_REQUIRE_BROKER")
    advice = "the broker tests need Java 17 and Maven (Debian: apt-get install openjdk-17-jre-headless maven)"
    if missing and not required:
        pytest.skip(f"{' and '.join(missing)} missing: {advice}")
    broker = Broker(_free_pair(), tmp_path_factory.mktemp("broker"))
    started = broker.start()
    if started.returncode == 4 and not required:
        pytest.skip(f"{started.stderr.strip()}: {advice}")
    if started.returncode != 0:
        pytest.fail(f"the broker did not start: {started.stderr}")
    yield broker
    broker.stop()


@pytest.fixture
def broker(broker_process: Broker) -> str:
    """Return the broker's address."""
    return broker_process.address


@pytest.fixture
def service(broker: str, tmp_path: Path) -> Iterator[Service]:
    """A service with topics and a group of its own; its workers are killed at the end."""
    made = Service(broker, f"t{uuid.uuid4().hex[:8]}", tmp_path)
    yield made
    made.kill_all()


@pytest.fixture
def workers(service: Service, tmp_path: Path) -> Iterator[Workers]:
    """Workers that start at once, with everything loaded for the service's settings."""
    made = Workers(service.settings(), tmp_path / "workers.log")
    yield made
    made.close()
