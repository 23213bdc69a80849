"""A process with little memory takes whatever it is sent; more of it by ``--adversarial RECORDS``."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

FEW = 12_000


@pytest.mark.timeout(7_200)
def test_adversarial_records_stay_inside_the_memory_that_there_is(request: pytest.FixtureRequest) -> None:
    count = request.config.getoption("--adversarial") or FEW
    done = subprocess.run(
        [sys.executable, "-m", "tests.bounds", "--records", str(count)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr[-4_000:]
    found = json.loads(done.stdout)
    assert found["records"] == count
    # Every bound was reached, so that each was what kept the process inside.
    for name in ("labels", "features", "orphan_bytes"):
        assert found["most"][name] >= 0.95 * found["bounds"][name], name
    assert found["dropped"]["features_full"] > 0
    assert found["dead_letters"]["unknown_instance"] > 0
    assert found["resident_bytes"] < found["allowed_bytes"]
