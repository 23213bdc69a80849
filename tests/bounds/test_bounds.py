"""A process with limited memory survives adversarial records; ``--adversarial RECORDS`` sends more of them."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

DEFAULT_RECORDS = 12_000


@pytest.mark.timeout(7_200)
def test_adversarial_records_stay_within_the_memory_limit(request: pytest.FixtureRequest) -> None:
    count = request.config.getoption("--adversarial") or DEFAULT_RECORDS
    done = subprocess.run(
        [sys.executable, "-m", "tests.bounds", "--records", str(count)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr[-4_000:]
    found = json.loads(done.stdout)
    assert found["records"] == count
    # These bounds are reached, so it is they that limit the memory.
    for name in ("labels", "features", "orphan_bytes"):
        assert found["most"][name] >= 0.95 * found["bounds"][name], name
    assert found["dropped"]["features_full"] > 0
    assert found["dead_letters"]["unknown_instance"] > 0
    assert found["resident_bytes"] < found["allowed_bytes"]
