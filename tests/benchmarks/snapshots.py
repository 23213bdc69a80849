"""Snapshots of a large model while it answers: pauses, rates, memory. Run as a command:

    python -m tests.benchmarks.snapshots [--megabytes N] [--waiting N] [--snapshots N] [--folder DIR]

A model of ``--megabytes``, with ``--waiting`` instances that wait for their truth, answers and learns batches from
memory as the engine does, while ``--snapshots`` snapshots are taken one after the other. The wait of a batch is the
time by which it, with the taking of a snapshot before it, exceeds the median of the batches between snapshots. Besides
wall time, the processor time of the thread is measured, which other processes of the machine do not affect. The first
batch after a pause waits for most of the page copies; their number and the time of one copy are measured too.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import mmap
import os
import random
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from streamlearn.engine.recovery.snapshot_manifest import load_task
from streamlearn.engine.recovery.snapshot_writer import SnapshotWriter
from streamlearn.engine.tasks.batch import Batch
from streamlearn.engine.tasks.task import Task
from streamlearn.model.stored_instance import StoredInstance
from streamlearn.model.stream_model import StreamModel
from streamlearn.settings.settings import Settings
from streamlearn.snapshot.fork import ForkedProcess
from streamlearn.snapshot.store import SnapshotStore
from streamlearn.source.base import RawRecord, TopicPartition
from streamlearn.state.arrays import state_hash
from tests.benchmarks.figures import Better, Figure, add_history_option, keep

LABELS = 512
CELL_BYTES = 28
"""Bytes of state per pair of feature and label, as docs/learner.md declares."""
ENTRIES = 20
TRUE_LABELS = 3
BATCH = 10
NOW_MS = 1_700_000_000_000
COPIED_PAGES = 8_192
INSTANCES = TopicPartition("instances", 0)


def large_settings(megabytes: int) -> Settings:
    """Return settings whose model has a state of that size."""
    return Settings.model_validate(
        {
            "kafka": {"group_id": "big"},
            "topics": {"labels": "labels"},
            "features": {"maximum": 1 + megabytes * 1_000_000 // (CELL_BYTES * LABELS)},
            "labels": {"declared": [f"label{number}" for number in range(LABELS)], "maximum": LABELS},
            "limits": {"memory_bytes": 1 << 42},
        }
    )


def big_task(megabytes: int, waiting: int = 0) -> Task:
    """Return a task whose state has at least ``megabytes``, with every page written."""
    settings = large_settings(megabytes)
    columns = settings.features.maximum
    task = Task(settings, 0, [INSTANCES], "b" * 16)
    task.positions = {INSTANCES: 0}
    task.model = StreamModel(settings, features=[f"f{number}" for number in range(columns)])
    for array in task.model.arrays().values():
        if array.flags.writeable:
            array += np.zeros((), array.dtype)
    entries = np.arange(ENTRIES, dtype=np.int32)
    values = np.ones(ENTRIES, np.float32)
    slots = np.arange(5, dtype=np.int32)
    instance = StoredInstance(
        entries, values, values, entries.astype(np.uint8), entries, values, slots, slots.astype(np.int64)
    )
    for number in range(waiting):
        task.pending.store_instance(task.pending.add(f"waits-{number}", NOW_MS), instance.packed())
    return task


def records(task: Task, count: int, seed: int = 5) -> list[RawRecord]:
    """Return instances with a few of the model's features each; some features are far more frequent than others."""
    draw = random.Random(seed)
    features = task.model.feature_count
    made = []
    for number in range(count):
        columns = {int(features * draw.random() ** 3) for _ in range(ENTRIES)}
        x = {f"f{column}": 1 for column in columns}
        y = [f"label{draw.randrange(LABELS)}" for _ in range(TRUE_LABELS)]
        value = json.dumps({"id": str(number), "x": x, "y": y}).encode()
        made.append(RawRecord("instances", 0, number, NOW_MS, None, value))
    return made


def memory_bytes(process: str = "self") -> int:
    """Return the proportional set size of a process in bytes: shared pages count by their share."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


class Waits(NamedTuple):
    """Seconds per batch, including the taking of a snapshot before it: wall time, and processor time of the thread."""

    wall: list[float]
    processor: list[float]

    def beyond_median(self, calm: Waits) -> dict[str, Any]:
        """Return the milliseconds by which the batches exceed the median of calm ones: median, p99 and maximum."""
        found = {}
        for name, own, others in zip(("", "_processor"), self, calm, strict=True):
            excess = 1000 * np.maximum(0.0, np.array(own) - np.median(others))
            for what, value in zip(("median", "p99", "most"), np.percentile(excess, [50, 99, 100]), strict=True):
                found[f"wait_ms_{what}{name}"] = round(float(value), 1)
        return found


def measure(
    megabytes: int, snapshots: int, folder: Path, waiting: int = 0, batches_between: int = 100
) -> dict[str, Any]:
    """Take snapshots while batches are applied; return the costs of this and of a restore."""
    task = big_task(megabytes, waiting)
    store = SnapshotStore(str(folder), keep=1)
    writer = SnapshotWriter(store, "big", 1e9)
    rows = itertools.cycle(records(task, 10_000))
    pauses = Waits([], [])
    calm, busy = Waits([], []), Waits([], [])
    written = []
    before = memory_bytes()
    peak = before

    copied: list[int] = []
    firsts: list[float] = []

    def apply(waits: Waits, before: Callable[[], None] | None = None) -> None:
        records = list(itertools.islice(rows, BATCH))
        faults = _page_faults()
        wall, processor = time.perf_counter(), time.thread_time()
        if before is not None:
            before()
        batch = Batch(task, 1_000_000 * NOW_MS)
        for record in records:
            batch.add(record)
        batch.run(outputs=True)
        waits.wall.append(time.perf_counter() - wall)
        waits.processor.append(time.thread_time() - processor)
        if before is not None:
            copied.append(_page_faults() - faults)
            firsts.append(waits.processor[-1])

    def take() -> None:
        wall, processor = time.perf_counter(), time.thread_time()
        writer.take(task)
        pauses.wall.append(time.perf_counter() - wall)
        pauses.processor.append(time.thread_time() - processor)

    for _ in range(batches_between):
        apply(calm)
    # The worker does the same before its first batch.
    gc.collect()
    gc.freeze()
    for _ in range(snapshots):
        apply(busy, take)
        while writer.busy:
            apply(busy)
            children = Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text().split()
            peak = max(peak, memory_bytes() + sum(_memory_of_child(child) for child in children))
        if writer.last is None or writer.failures:
            raise RuntimeError("a snapshot was not written")
        written.append(writer.last)
        for _ in range(batches_between):
            apply(calm)
    gc.unfreeze()
    state = state_hash(task.arrays())
    writer.take(task)
    writer.close()
    (entry,) = store.list("big")
    module = "tests.benchmarks.snapshots"
    command = [sys.executable, "-m", module, "--restore", f"--megabytes={megabytes}", f"--folder={folder}"]
    restored = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    if restored.pop("state") != state:
        raise RuntimeError("the restored state differs from the state that was saved")
    return {
        "state_mb": round(entry.size_bytes / 1e6),
        "waiting": len(task.pending),
        "snapshots": snapshots,
        "batches_while_writing": len(busy.wall),
        "batch_ms_median": round(1000 * float(np.median(calm.wall)), 1),
        "batch_ms_p99": round(1000 * float(np.percentile(calm.wall, 99)), 1),
        "pause_ms": [round(1000 * pause, 1) for pause in pauses.wall],
        "pause_ms_processor": [round(1000 * pause, 1) for pause in pauses.processor],
        "wait_ms_first_processor": [round(1000 * (first - float(np.median(calm.processor))), 1) for first in firsts],
        "pages_copied_first": copied,
        "page_copy_us": round(measure_page_copy_us(), 2),
        **busy.beyond_median(calm),
        "save_mb_s": [round(each.size_bytes / 1e6 / each.seconds) for each in written],
        "memory_mb": round(before / 1e6),
        "memory_mb_peak": round(peak / 1e6),
        **restored,
    }


def restore(megabytes: int, folder: Path) -> dict[str, Any]:
    """Restore the newest snapshot; return the costs in this process, and the hash of the state."""
    store = SnapshotStore(str(folder))
    entry = store.list("big")[0]
    settings = large_settings(megabytes)
    before = status_bytes("VmRSS")
    begun = time.monotonic()
    task = load_task(settings, store, entry, [INSTANCES])
    seconds = time.monotonic() - begun
    after, peak = status_bytes("VmRSS"), status_bytes("VmHWM")
    return {
        "restore_mb_s": round(entry.size_bytes / 1e6 / seconds),
        "restore_memory_mb": round((after - before) / 1e6),
        "restore_memory_mb_peak": round((peak - before) / 1e6),
        "state": state_hash(task.arrays()),
    }


def measure_page_copy_us() -> float:
    """Return the microseconds that this machine takes to copy a 4 KiB page shared with a forked process."""
    mapping = mmap.mmap(-1, COPIED_PAGES * mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    mapping.madvise(mmap.MADV_NOHUGEPAGE)
    pages = np.frombuffer(mapping, np.uint8)
    pages += 1
    read_end, write_end = os.pipe()

    def work() -> None:
        os.read(read_end, 1)

    child = ForkedProcess(work)
    begun = time.perf_counter()
    pages[:: mmap.PAGESIZE] = 2
    seconds = time.perf_counter() - begun
    os.write(write_end, b"x")
    child.wait(lambda: 0)
    os.close(read_end)
    os.close(write_end)
    return 1e6 * seconds / COPIED_PAGES


def _page_faults() -> int:
    return resource.getrusage(resource.RUSAGE_THREAD).ru_minflt


def status_bytes(field: str) -> int:
    """Return a size of this process in bytes, such as ``VmRSS`` or ``VmHWM``, the largest ``VmRSS`` so far."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


def _memory_of_child(child: str) -> int:
    try:
        return memory_bytes(child)
    except (FileNotFoundError, ProcessLookupError, PermissionError, StopIteration):
        return 0


UNITS: dict[str, tuple[str, Better]] = {
    "batch_ms_median": ("ms", "lower"),
    "batch_ms_p99": ("ms", "lower"),
    "pause_ms": ("ms", "lower"),
    "wait_ms_first_processor": ("ms", "lower"),
    "save_mb_s": ("MB/s", "higher"),
    "restore_mb_s": ("MB/s", "higher"),
    "memory_mb_peak": ("MB", "lower"),
    "restore_memory_mb_peak": ("MB", "lower"),
}


def make_figures(measured: Mapping[str, Any]) -> dict[str, Figure]:
    """Return the figures of what `measure` returned; of a list, the median."""
    return {
        f"{measured['state_mb']} MB/{name}": Figure(float(np.median(measured[name])), *UNITS[name]) for name in UNITS
    }


def main() -> None:
    """Measure, print one JSON object, and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=1_000, help="minimum size of the state (%(default)s)")
    parser.add_argument("--waiting", type=int, default=100_000, help="instances without their truth (%(default)s)")
    parser.add_argument("--snapshots", type=int, default=5, help="number of snapshots (%(default)s)")
    parser.add_argument("--folder", type=Path, help="folder of the snapshots (by default a temporary one)")
    parser.add_argument("--restore", action="store_true", help="only restore the newest snapshot of --folder")
    add_history_option(parser)
    options = parser.parse_args()
    if options.restore:
        print(json.dumps(restore(options.megabytes, options.folder)))  # noqa: T201
        return
    with tempfile.TemporaryDirectory() as folder:
        measured = measure(options.megabytes, options.snapshots, options.folder or Path(folder), options.waiting)
        print(json.dumps(measured, indent=1))  # noqa: T201
    keep("snapshots", make_figures(measured), options)


if __name__ == "__main__":
    main()
