"""The disk for snapshots is full for a while: answers continue, the last snapshots stay, and new ones follow later."""

from __future__ import annotations

import logging
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamlearn.engine.loop.engine import Engine
from streamlearn.engine.observer import NullObserver
from streamlearn.engine.recovery import snapshot_writer
from streamlearn.engine.recovery.snapshot_writer import SnapshotStats
from streamlearn.snapshot.fork import can_fork
from streamlearn.snapshot.store import SnapshotStore
from tests.engine.world import World, rows
from tests.snapshot_faults import snapshots

DISK_BYTES = 16 << 20
ROWS = rows(400)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on its own small disk, in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("needs the permission to mount a disk in memory")
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"needs the permission to mount a disk in memory: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


class _Filling(NullObserver):
    """Fills the disk after the second snapshot, and frees it after the second failure."""

    def __init__(self, folder: Path) -> None:
        self._ballast = folder / "ballast"
        self.engine: Engine | None = None
        self.failures: list[int] = []
        self.before: dict[str, bytes] = {}
        self.during: dict[str, bytes] = {}
        self.after: list[str] = []

    def on_snapshots(self, failures: int, last: SnapshotStats | None) -> None:
        assert self.engine is not None
        writer = self.engine._worker.writer
        assert writer is not None
        # The outcome of a snapshot is known before the next batch.
        assert writer.wait(60), "a snapshot took a minute"
        failures = writer.failures
        if self.failures[-1:] != [failures]:
            self.failures.append(failures)
        found = snapshots(self._ballast.parent)
        if not self.before and len(found) == 2:
            self.before = {path.name: path.read_bytes() for path in found}
            with self._ballast.open("wb", buffering=0) as file:
                try:
                    while file.write(bytes(1 << 12)):
                        pass
                except OSError:
                    return
        elif failures == 2 and self._ballast.exists():
            self.during = {path.name: path.read_bytes() for path in found}
            self.after = [path.name for path in self._ballast.parent.rglob("*.tmp")]
            self._ballast.unlink()


@pytest.mark.parametrize(
    "forked",
    [False, pytest.param(True, marks=pytest.mark.skipif(not can_fork(), reason="only Linux may fork a process here"))],
)
def test_a_full_disk_costs_no_answer_and_no_snapshot_that_is_there(
    tmp_path: Path, disk: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, forked: bool
) -> None:
    monkeypatch.setattr(snapshot_writer, "FORK_BYTES", 0 if forked else 1 << 40)
    world = World(disk, snapshot={"interval_seconds": 1e-6})
    for row in ROWS:
        world.add(row)
    filling = _Filling(disk)
    engine = filling.engine = world.engine(observer=filling)
    with caplog.at_level(logging.INFO):
        engine.run(stop_at_end=True)
    assert len(world.predictions()) == len(ROWS)
    assert filling.failures == [0, 1, 2]
    own = [record for record in caplog.records if record.name.startswith("streamlearn.")]
    errors = [record.getMessage() for record in own if record.levelno == logging.ERROR]
    assert len(errors) == 2
    for message in errors:
        assert "snapshot not written, the engine continues without it" in message
        assert "No space left on device" in message
        assert f"({disk}" in message
        assert "that there is room" in message
    assert filling.during == filling.before, "the last good snapshots stay as they are"
    assert filling.after == [], "no partial file takes the remaining space"
    newest = SnapshotStore(str(disk)).list()
    assert len(newest) == 4
    assert newest[0].seq == engine.tasks[0].mark.seq
    assert not set(filling.before) & {Path(entry.path).name for entry in newest}
    for entry in newest:
        SnapshotStore(str(disk)).verify(entry)
