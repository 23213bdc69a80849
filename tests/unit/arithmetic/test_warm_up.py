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


def start(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WORKER],
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


@pytest.mark.timeout(3000)
def test_workers_started_together_compile_once_and_agree(tmp_path, request):
    for attempt in range(10 if request.config.getoption("--slow") else 1):
        folder = tmp_path / str(attempt)
        workers = [start(folder) for _ in range(4)]
        for worker in workers:
            assert worker.stdin is not None
            assert worker.stdout is not None
            assert worker.stdout.readline() == "imported\n", worker.communicate()[1]
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write("\n")
            worker.stdin.close()
            worker.stdin = None
        found = [finished(worker) for worker in workers]
        assert len({one["hash"] for one in found}) == 1
        # A model's own beginning calls a few kernels before the warm-up takes the lock.
        compiled = sorted(one["compiled"] for one in found)
        assert compiled[-1] > 50
        assert compiled[-2] < 15
        again = start(folder)
        after = finished(again)
        assert after["hash"] == found[0]["hash"]
        assert (after["compiled"], after["later"]) == (0, [])
        assert after["steps"][-1].endswith(" 0 compiled")
        assert [one["later"] for one in found] == [[]] * 4, "the warm-up leaves kernels to compile while a service runs"
