"""Options and markers of the test run."""

from __future__ import annotations

import pytest
from hypothesis import settings


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="also run the long tests, and repeat some short ones")
    parser.addoption("--random-examples", action="store_true", help="let Hypothesis draw other examples in each run")
    parser.addoption("--fuzz", type=float, default=0, metavar="MINUTES", help="fuzz each target for MINUTES")
    parser.addoption(
        "--adversarial", type=int, default=0, metavar="RECORDS", help="records of the test of memory bounds"
    )
    parser.addoption("--golden", action="store_true", help="compare golden figures on the real streams")
    parser.addoption("--cluster", action="store_true", help="run workers against three brokers that fail in turn")
    parser.addoption("--network", action="store_true", help="run workers under network faults")
    parser.addoption("--big-snapshots", action="store_true", help="measure snapshots of a 1 GB state")


def pytest_configure(config: pytest.Config) -> None:
    # The default run must not fail by chance; --random-examples explores further examples.
    settings.register_profile("same examples", derandomize=True, deadline=None, database=None)
    settings.register_profile("random examples", deadline=None, print_blob=True)
    settings.load_profile("random examples" if config.getoption("--random-examples") else "same examples")


TIERS = {
    "slow": "takes long",
    "cluster": "needs three brokers",
    "network": "needs toxiproxy",
    "big-snapshots": "takes minutes and 3 GB of memory",
}
"""Markers of tests that run only with the option of the same name, and why."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for tier, why in TIERS.items():
        if config.getoption(f"--{tier}"):
            continue
        skip = pytest.mark.skip(reason=f"{why}; run with --{tier}")
        for item in items:
            if item.get_closest_marker(tier.replace("-", "_")) is not None:
                item.add_marker(skip)
