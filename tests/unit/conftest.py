"""A cold start that several tests share, because the compilation of all kernels takes a minute."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.kernels.cold_start import ROOT, WORKER, ColdStart, environment_of, start_four
from tests.unit.kernels.workers import finish


@pytest.fixture(scope="session")
def cold_start(tmp_path_factory: pytest.TempPathFactory) -> ColdStart:
    """Start four workers together on an empty cache, while another process compiles for a generic CPU.

    All processes of a test run share one cold start: the first makes it, the others wait for it.
    """
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    result = folder / "cold-start.json"
    with (folder / "cold-start.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not result.exists():
            made = _start(folder / "cold-start")
            result.write_text(json.dumps({**made._asdict(), "folder": str(made.folder)}), encoding="utf-8")
    found = json.loads(result.read_text(encoding="utf-8"))
    return ColdStart(**{**found, "folder": Path(found["folder"])})


def _start(folder: Path) -> ColdStart:
    host = folder / "host"
    host.mkdir(parents=True)
    generic = subprocess.Popen(
        [sys.executable, "-m", "tests.unit.kernels.machine_code"],
        env=environment_of(folder / "generic") | {"NUMBA_CPU_NAME": "generic"},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    workers = start_four(host, WORKER, "report")
    (report,) = [one["report"] for one in workers if one["report"]]
    return ColdStart(host, workers, report, finish(generic)[0])
