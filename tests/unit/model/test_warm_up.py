"""Workers that start together: one compiles, all have the same state, and nothing is left to compile later."""

from __future__ import annotations

import shutil

import pytest

from streamlearn.model.learner_factory import ENSEMBLE
from streamlearn.model.warm_up import SHARED_SIGNATURES, SIGNATURES
from streamlearn.settings.presets import PAPER
from tests.unit.kernels.cold_start import ColdStart, start_four, start_worker
from tests.unit.kernels.workers import finish

PART_WORKER = """
import json, sys
from streamlearn.kernels.compiler import cache_statistics, compile_under_lock
from streamlearn.encoder.row import Encoder
from streamlearn.state.arrays import state_hash
from tests.unit.kernels.compilations import watch_compilations

hashes = []

def warm():
    encoder = Encoder(64)
    encoded = encoder.encode([{"a": 0.5, "b": row % 3, "c": "red"} for row in range(50)], observe=True)
    hashes.append(state_hash({**encoder.arrays(), "values": encoded.values, "weights": encoded.rarity_weighted}))

print("imported", flush=True)
sys.stdin.readline()
noted = watch_compilations()
compile_under_lock(warm)
warm_done = cache_statistics()
found = {"compiled": warm_done.compiled, "loaded": warm_done.loaded, "noted": len(noted)}
warm()
print(json.dumps({"hash": hashes[0], "again": hashes[1], **found, "later": noted[found["noted"] :]}))
"""


def test_workers_that_need_a_part_of_the_kernels_compile_once_and_agree(tmp_path, request):
    for attempt in range(10 if request.config.getoption("--slow") else 2):
        found = start_four(tmp_path / str(attempt), PART_WORKER)
        assert len({one[key] for one in found for key in ("hash", "again")}) == 1
        assert sorted(one["compiled"] > 0 for one in found) == [False, False, False, True]
        assert [one["noted"] for one in found] == [one["compiled"] for one in found]
        assert [one["later"] for one in found] == [[]] * 4


@pytest.mark.timeout(3000)
def test_workers_started_together_compile_once_and_agree(cold_start: ColdStart, tmp_path, request):
    starts = [(cold_start.folder, cold_start.workers)]
    for attempt in range(9 if request.config.getoption("--slow") else 0):
        folder = tmp_path / str(attempt)
        starts.append((folder, start_four(folder)))
    for folder, found in starts:
        assert len({one["hash"] for one in found}) == 1
        *others, most = sorted(one["compiled"] for one in found)
        assert others == [0, 0, 0]
        assert most > 50
        for one in found:
            lines = [step for step in one["steps"] if "kernels:" in step or "machine:" in step]
            assert lines[0].endswith(f" of {SIGNATURES[ENSEMBLE]}")
            ready = f"kernels ready: {SIGNATURES[ENSEMBLE]} in the cache; this process loaded "
            assert one["steps"][-1].startswith(ready)
            assert len({line.partition(":")[2] for line in lines}) > 1, "the lines show no progress"
        after = finish(start_worker(folder))[0]
        assert after["hash"] == found[0]["hash"]
        assert (after["compiled"], after["later"]) == (0, [])
        assert after["steps"][-1].endswith(" and compiled 0")
        assert [one["later"] for one in found] == [[]] * 4, "the warm-up leaves kernels to compile later"


@pytest.mark.timeout(3000)
def test_the_number_of_kernels_is_known(cold_start: ColdStart):
    compiled = max(one["compiled"] for one in cold_start.workers)
    assert compiled == SIGNATURES[ENSEMBLE], "set SIGNATURES to what one process compiles now"


@pytest.mark.timeout(3000)
def test_parallel_compilation_compiles_only_parts_that_the_model_needs(cold_start: ColdStart):
    assert [one["parts"] for one in cold_start.workers] == [[]] * 4, "a part is compiled for types that no caller uses"


PAPER_WORKER = """
import sys
from streamlearn import warm_up

print("imported", flush=True)
sys.stdin.readline()
steps = []
warm_up("paper", steps.append)
import json
print(json.dumps({"steps": steps}))
"""


@pytest.mark.timeout(3000)
def test_the_number_of_kernels_of_each_kind_is_known(cold_start: ColdStart, tmp_path, request):
    if not request.config.getoption("--slow"):
        pytest.skip("compiles all kernels of preset paper twice: --slow")
    both = tmp_path / "both"
    shutil.copytree(cold_start.folder, both)
    alone = tmp_path / "alone"
    for folder in (both, alone):
        folder.mkdir(exist_ok=True)
        steps = finish(start_worker(folder, PAPER_WORKER))[0]["steps"]
        total = SIGNATURES[PAPER]
        if folder is both:
            total += SIGNATURES[ENSEMBLE] - SHARED_SIGNATURES
        assert len(list(folder.rglob("*.nbc"))) == total
        assert steps[0].endswith(f" of {total}")
