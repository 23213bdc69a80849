"""Workers that start together with the real learner: one compiles, all agree, and nothing is left to compile later."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

WORKER = """
import json, sys
from streamlearn.arithmetic import kernel_cache
from streamlearn.arithmetic.compile import cache_statistics
from streamlearn.settings.model import Settings
from streamlearn.stream_model import StreamModel
from tests.unit.arithmetic.machine_code import example_model

print("imported", flush=True)
sys.stdin.readline()
steps = []
StreamModel(Settings()).warm_up(steps.append)
warm = cache_statistics()
later = []
kernel_cache.observers.append(later.append)
example = example_model()
print(json.dumps({
    "hash": example.state_hash(), "compiled": warm.compiled, "loaded": warm.loaded, "later": later, "steps": steps,
}))
"""

PART_WORKER = """
import json, sys
from streamlearn.arithmetic import kernel_cache
from streamlearn.arithmetic.compile import cache_statistics, compile_under_lock
from streamlearn.encoder.row import Encoder
from streamlearn.state.arrays import state_hash

hashes = []

def warm():
    encoder = Encoder(64)
    encoded = encoder.encode([{"a": 0.5, "b": row % 3, "c": "red"} for row in range(50)], observe=True)
    hashes.append(state_hash({**encoder.arrays(), "values": encoded.values, "weights": encoded.rarity_weighted}))

print("imported", flush=True)
sys.stdin.readline()
compile_under_lock(warm)
warm_done = cache_statistics()
later = []
kernel_cache.observers.append(later.append)
warm()
print(json.dumps({
    "hash": hashes[0], "again": hashes[1], "compiled": warm_done.compiled, "loaded": warm_done.loaded, "later": later,
}))
"""


def start(folder: Path, program: str = WORKER) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
        env={**os.environ, "STREAMLEARN_CACHE_DIR": str(folder)},
    )


def finished(worker: subprocess.Popen[str]) -> dict:
    output, errors = worker.communicate()
    assert worker.returncode == 0, errors
    return json.loads(output.splitlines()[-1])


def four_together(folder: Path, program: str) -> list[dict]:
    """Let four workers loose on an empty cache at the same moment, and return what each found."""
    workers = [start(folder, program) for _ in range(4)]
    for worker in workers:
        assert worker.stdin is not None
        assert worker.stdout is not None
        assert worker.stdout.readline() == "imported\n", worker.communicate()[1]
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("\n")
        worker.stdin.close()
        worker.stdin = None
    return [finished(worker) for worker in workers]


def test_workers_that_need_a_part_of_the_kernels_compile_once_and_agree(tmp_path, request):
    for attempt in range(10 if request.config.getoption("--slow") else 2):
        found = four_together(tmp_path / str(attempt), PART_WORKER)
        assert len({one[key] for one in found for key in ("hash", "again")}) == 1
        assert sorted(one["compiled"] > 0 for one in found) == [False, False, False, True]
        assert [one["later"] for one in found] == [[]] * 4


@pytest.mark.timeout(3000)
def test_workers_started_together_compile_once_and_agree(tmp_path, request):
    for attempt in range(10 if request.config.getoption("--slow") else 1):
        folder = tmp_path / str(attempt)
        found = four_together(folder, WORKER)
        assert len({one["hash"] for one in found}) == 1
        # A model's own beginning calls a few kernels before the warm-up takes the lock: workers share these.
        files = len(list(folder.rglob("*.nbc")))
        assert 50 < sum(one["compiled"] for one in found) <= files
        assert max(one["compiled"] for one in found) > 50
        again = start(folder)
        after = finished(again)
        assert after["hash"] == found[0]["hash"]
        assert (after["compiled"], after["later"]) == (0, [])
        assert after["steps"][-1].endswith(" 0 compiled")
        assert [one["later"] for one in found] == [[]] * 4, "the warm-up leaves kernels to compile while a service runs"
