"""``streamlearn warm-up``: says where the kernels are, and fails when they are not stored."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from streamlearn.kernels.cache import kernel_folder

NOT_STORED = """
import sys
from pathlib import Path
from streamlearn import compilation
from streamlearn.cli.app import main
from streamlearn.kernels import cache

# Compiling takes a minute; what comes of a folder that cannot be created is the same.
blocked = Path(sys.argv.pop())
compilation.warm_up = lambda preset, progress: cache.create_folder(blocked)
main()
"""


def test_it_names_the_folder_and_each_preset() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "streamlearn", "warm-up", "--preset", "fast", "--preset", "default"],
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
    )
    *lines, last = done.stdout.splitlines()
    assert last == f"kernels in {kernel_folder()}"
    assert [line.partition(":")[0] for line in lines if "kernels ready" in line] == ["fast", "default"]


def test_kernels_that_cannot_be_stored_are_a_failure(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    done = subprocess.run(
        [sys.executable, "-c", NOT_STORED, "warm-up", str(blocked / "kernels")],
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "the kernels are not stored" in done.stderr
    assert str(blocked) in done.stderr
