"""Options of the test run."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the long tests as well, and the short ones more often")
    parser.addoption("--fuzz", type=float, default=0, metavar="MINUTES", help="fuzz each reader of bytes for so long")
    parser.addoption("--golden", action="store_true", help="hold the learner to its golden figures on the real streams")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--slow"):
        return
    skip = pytest.mark.skip(reason="takes long; run with --slow")
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(skip)
