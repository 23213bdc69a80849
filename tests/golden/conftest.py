"""The report of a golden run: how far each measure lies from its figure."""

from __future__ import annotations

from typing import Any

import pytest

DEVIATIONS = pytest.StashKey[dict[str, dict[str, float]]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[DEVIATIONS] = {}


@pytest.fixture
def deviations(request: pytest.FixtureRequest) -> dict[str, dict[str, float]]:
    """Where a test notes how far a stream's measures lie from their figures."""
    return request.config.stash.setdefault(DEVIATIONS, {})


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    found = config.stash.get(DEVIATIONS, {})
    if not found:
        return
    terminalreporter.section("measured less golden figure")
    names = list(next(iter(found.values())))
    terminalreporter.line(f"{'':13}" + "".join(f"{name:>19}" for name in names))
    for stream, of_stream in found.items():
        terminalreporter.line(f"{stream:13}" + "".join(f"{of_stream[name]:+19.6f}" for name in names))
