"""The points at which tests kill a worker: each names an existing call."""

from __future__ import annotations

import inspect
import signal
import subprocess
import sys

import pytest

from tests.faults.points import POINTS, Point, find_call


@pytest.mark.parametrize("point", POINTS.values(), ids=POINTS.keys())
def test_a_point_names_an_existing_call(point: Point) -> None:
    owner, attribute = find_call(point)
    assert inspect.isfunction(inspect.getattr_static(owner, attribute))


@pytest.mark.parametrize(("armed", "calls"), [("snapshot before its rename", 1), ("snapshot before its rename:3", 3)])
def test_a_process_is_killed_at_the_armed_point_and_not_before(tmp_path, armed: str, calls: int) -> None:
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
