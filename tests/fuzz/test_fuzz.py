"""Malformed bytes: former findings, some hundreds of mutations per run, and minutes of fuzzing with ``--fuzz``."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from streamlearn.errors import StreamlearnError
from tests.fuzz.__main__ import FINDINGS
from tests.fuzz.mutation import mutate
from tests.fuzz.targets import TARGETS

INPUTS = 300
KEPT_FINDINGS = sorted(path for path in FINDINGS.rglob("*") if path.is_file())


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_are_valid(name: str) -> None:
    for seed in TARGETS[name].seeds:
        TARGETS[name].read(seed)


@pytest.mark.parametrize("name", TARGETS)
def test_mutations_raise_our_own_errors_only(name: str) -> None:
    draw = Random(7)
    refused = 0
    for _ in range(INPUTS):
        data = mutate(TARGETS[name].seeds, draw)
        try:
            TARGETS[name].read(data)
        except StreamlearnError as error:
            refused += bool(str(error).strip())
    assert refused > INPUTS / 20, "too few mutations are refused with a message"


@pytest.mark.parametrize("path", KEPT_FINDINGS, ids=[f"{path.parent.name}-{path.name}" for path in KEPT_FINDINGS])
def test_a_finding_stays_fixed(path: Path) -> None:
    with contextlib.suppress(StreamlearnError):
        TARGETS[path.parent.name].read(path.read_bytes())


@pytest.mark.timeout(0)  # the command has its own timeout
@pytest.mark.parametrize("name", TARGETS)
def test_minutes_of_fuzzing(name: str, request: pytest.FixtureRequest) -> None:
    minutes = request.config.getoption("--fuzz")
    if not minutes:
        pytest.skip("takes minutes; run with --fuzz MINUTES")
    command = [sys.executable, "-m", "tests.fuzz", name, "--seconds", str(60 * minutes)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60 * minutes + 300)
    assert done.returncode == 0, done.stderr[-4_000:]
