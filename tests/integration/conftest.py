"""A real broker for the tests that need one: Apache Kafka, started once per test run by the script that users run."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamlearn import warm_up
from tests.faults.workers import Starter, Workers
from tests.integration.brokers import Broker, start_brokers
from tests.integration.service import Service
from tests.second_release import Release, build_other_model, build_same_model, share_kernels


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


@pytest.fixture(scope="session")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the compiled kernels of second releases."""
    warm_up("fast")
    return tmp_path_factory.mktemp("kernels")


@pytest.fixture(scope="session")
def next_starter(tmp_path_factory: pytest.TempPathFactory, kernels: Path) -> Iterator[Starter]:
    """Start the process that forks workers of the next model version."""
    yield from _start(build_other_model(tmp_path_factory.mktemp("next")), kernels)


@pytest.fixture(scope="session")
def same_starter(tmp_path_factory: pytest.TempPathFactory, kernels: Path) -> Iterator[Starter]:
    """Start the process that forks workers of another release of the same model version."""
    yield from _start(build_same_model(tmp_path_factory.mktemp("same")), kernels)


def _start(release: Release, kernels: Path) -> Iterator[Starter]:
    share_kernels(release, kernels)
    made = release.start(kernels, release.folder / "log")
    yield made
    made.close()


@pytest.fixture
def next_workers(next_starter: Starter, tmp_path: Path) -> Iterator[Workers]:
    """Create workers of the next model version, which write to one log."""
    made = Workers(next_starter, tmp_path / "next-workers.log")
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
