"""A cold start that several tests share, because the compilation of all kernels takes a minute."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.unit.kernels.cold_start import ROOT, WORKER, ColdStart, environment_of, start_four
from tests.unit.kernels.workers import finish


@pytest.fixture(scope="session")
def cold_start(tmp_path_factory: pytest.TempPathFactory) -> ColdStart:
    """Start four workers together on an empty cache, while another process compiles for a generic CPU."""
    folder = tmp_path_factory.mktemp("host")
    generic = subprocess.Popen(
        [sys.executable, "-m", "tests.unit.kernels.machine_code"],
        env=environment_of(tmp_path_factory.mktemp("generic")) | {"NUMBA_CPU_NAME": "generic"},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    workers = start_four(folder, WORKER, "report")
    (host,) = [one["report"] for one in workers if one["report"]]
    return ColdStart(folder, workers, host, finish(generic)[0])
