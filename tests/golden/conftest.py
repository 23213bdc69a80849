"""Report of a golden run: the difference of each measure from its golden figure."""

from __future__ import annotations

from typing import Any

import pytest

DEVIATIONS = pytest.StashKey[dict[str, dict[str, float]]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[DEVIATIONS] = {}


@pytest.fixture
def deviations(request: pytest.FixtureRequest) -> dict[str, dict[str, float]]:
    """The differences of measures from golden figures, per stream, for the report at the end."""
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
