"""Options and markers of the test run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

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


LONG_FILES = (
    "unit/numerics/test_no_foreign_math.py",
    "integration/test_upgrade.py",
    "integration/test_cluster.py",
    "integration/test_main_job.py",
    "unit/kernels/test_compiler.py",
    "integration/test_outages.py",
    "unit/learner/ihomer/test_hierarchy.py",
    "integration/test_rollback.py",
    "docs/test_commands.py",
    "integration/test_cut_off.py",
    "unit/kernels/test_parallel_compile.py",
    "integration/test_fault_points.py",
    "contract/test_river_checks.py",
    "integration/test_security.py",
    "unit/learner/decode/test_learned_pool.py",
    "integration/test_client_rules.py",
    "integration/test_zombies.py",
    "integration/test_faults.py",
    "integration/test_standby.py",
    "integration/test_topic_limits.py",
    "integration/test_unknown_outcome.py",
    "integration/test_group.py",
    "integration/test_long_restore.py",
    "integration/test_damaged_log.py",
    "integration/test_first_process.py",
    "contract/test_threads.py",
)
"""Files of more than ten seconds, which run first: a long one that begins last would leave the other process idle.

Those that compute and those that wait for a broker take turns, so that the two processes rarely compute both.
"""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    places = {Path(__file__).parent / name: place for place, name in enumerate(LONG_FILES)}
    items.sort(key=lambda item: places.get(item.path, len(places)))
    for tier, why in TIERS.items():
        if config.getoption(f"--{tier}"):
            continue
        skip = pytest.mark.skip(reason=f"{why}; run with --{tier}")
        for item in items:
            if item.get_closest_marker(tier.replace("-", "_")) is not None:
                item.add_marker(skip)


def run_folder(factory: pytest.TempPathFactory) -> Path:
    """Return a folder that all processes of a test run share."""
    folder = factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


def pytest_collection_finish(session: pytest.Session) -> None:
    """Before a run on an empty cache that examines a cold start, make the cold start: its kernels serve all tests.

    Beside other load this takes minutes, so it is no fixture: the first test has no time for it.
    """
    if session.config.option.collectonly or not any("cold_start" in _fixtures(item) for item in session.items):
        return
    from tests.unit.kernels.cold_start import cache_is_cold, shared_cold_start

    if cache_is_cold():
        # pytest gives a hook no other way to the folder that the fixture tmp_path_factory uses.
        shared_cold_start(run_folder(session.config._tmp_path_factory))  # type: ignore[attr-defined]


def _fixtures(item: pytest.Item) -> Sequence[str]:
    return item.fixturenames if isinstance(item, pytest.Function) else ()
