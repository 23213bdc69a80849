"""A real broker for the tests that need one: Apache Kafka, started once per test run by the script that users run."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.workers import Starter, Workers
from tests.integration.brokers import Broker, start_brokers
from tests.integration.service import Service


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.broker)


@pytest.fixture(scope="session")
def broker_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """Start the broker."""
    broker = start_brokers(tmp_path_factory.mktemp("broker"), "--secure")
    yield broker
    broker.discard()


@pytest.fixture
def broker(broker_process: Broker) -> str:
    """Return the broker's address."""
    return broker_process.address


@pytest.fixture(scope="session")
def starter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Starter]:
    """Start the process that forks workers."""
    made = Starter([], tmp_path_factory.mktemp("starter") / "log")
    yield made
    made.close()


@pytest.fixture
def service(broker: str, starter: Starter, tmp_path: Path) -> Iterator[Service]:
    """Create a service with its own topics and group; kill its workers at the end."""
    made = Service(broker, f"t{uuid.uuid4().hex[:8]}", tmp_path, starter)
    yield made
    made.kill_all()


@pytest.fixture
def workers(starter: Starter, tmp_path: Path) -> Iterator[Workers]:
    """Create workers that write to one log."""
    made = Workers(starter, tmp_path / "workers.log")
    yield made
    made.close()
