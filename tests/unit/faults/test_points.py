"""The points at which tests end a worker: each names a call that is there."""

from __future__ import annotations

import inspect
import signal
import subprocess
import sys

import pytest

from tests.faults.points import POINTS, Point, called


@pytest.mark.parametrize("point", POINTS.values(), ids=POINTS.keys())
def test_a_point_names_a_call_that_is_there(point: Point) -> None:
    owner, attribute = called(point)
    assert inspect.isfunction(inspect.getattr_static(owner, attribute))


@pytest.mark.parametrize(("armed", "calls"), [("snapshot before its rename", 1), ("snapshot before its rename:3", 3)])
def test_a_process_ends_at_a_point_that_is_armed_and_nowhere_before(tmp_path, armed: str, calls: int) -> None:
    program = f"""
from pathlib import Path
from tests.faults.points import arm
arm({armed!r})
for number in range(9):
    path = Path({str(tmp_path)!r}, f"{{number}}.tmp")
    path.write_text("")
    path.replace(path.with_suffix(".npz"))
"""
    ended = subprocess.run([sys.executable, "-c", program], timeout=60, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert len(list(tmp_path.glob("*.npz"))) == calls - 1
