"""Snapshots of a big model while it answers: pauses, rates, memory. Run as a command:

    python -m tests.benchmarks.snapshots [--megabytes N] [--snapshots N] [--folder DIR]

A model of that size answers and learns batches from memory, the engine's own way, and snapshots are taken in turn. For
each batch the time that answers wait is noted: taking a snapshot, and what the batch takes longer while one is being
written. Beside wall time stands the thread's processor time, which other processes of the machine do not disturb.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from streamlearn.engine.snapshots import SnapshotWriter
from streamlearn.engine.task import Batch, Task
from streamlearn.settings.model import Settings
from streamlearn.source.base import RawRecord, TopicPartition
from streamlearn.state.snapshot_store import SnapshotStore
from streamlearn.stream_model import StreamModel

LABELS = 512
CELL_BYTES = 36
"""Of state, for each pair of feature and label, as docs/learner.md says."""
ENTRIES = 20
TRUE_LABELS = 3
BATCH = 10
INSTANCES = TopicPartition("instances", 0)


def big_task(megabytes: int) -> Task:
    """Return a task whose state has at least so many megabytes, every page of it written."""
    columns = 1 + megabytes * 1_000_000 // (CELL_BYTES * LABELS)
    settings = Settings.model_validate(
        {
            "kafka": {"group_id": "big"},
            "features": {"maximum": columns},
            "labels": {"declared": [f"label{number}" for number in range(LABELS)], "maximum": LABELS},
            "limits": {"memory_bytes": 1 << 42},
        }
    )
    task = Task(settings, 0, [INSTANCES], "b" * 16)
    task.positions = {INSTANCES: 0}
    task.model = StreamModel(settings, features=[f"f{number}" for number in range(columns)])
    for array in task.arrays().values():
        array += np.zeros((), array.dtype)
    return task


def records(task: Task, count: int, seed: int = 5) -> list[RawRecord]:
    """Return instances with a few of the model's features each, some of them far more frequent than others."""
    draw = random.Random(seed)
    names = task.model.feature_count
    made = []
    for number in range(count):
        columns = {int(names * draw.random() ** 3) for _ in range(ENTRIES)}
        x = {f"f{column}": 1 for column in columns}
        y = [f"label{draw.randrange(LABELS)}" for _ in range(TRUE_LABELS)]
        value = json.dumps({"id": str(number), "x": x, "y": y}).encode()
        made.append(RawRecord("instances", 0, number, 1_700_000_000_000, None, value))
    return made


def memory_bytes(process: str = "self") -> int:
    """Return the bytes of memory that a process has for itself, shared pages counted by their share."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def measure(megabytes: int, snapshots: int, folder: Path, batches_between: int = 100) -> dict[str, Any]:
    """Take snapshots while batches are applied; return what it cost, and what a restore takes."""
    task = big_task(megabytes)
    store = SnapshotStore(str(folder), keep=1)
    writer = SnapshotWriter(store, "big", 1e9)
    rows = records(task, (snapshots + 1) * batches_between * 8 * BATCH)
    at = 0
    pauses: list[float] = []
    processor: list[float] = []
    calm: list[float] = []
    busy: list[float] = []
    written = []
    before = memory_bytes()
    peak = before

    def apply() -> float:
        nonlocal at
        begun = time.thread_time()
        batch = Batch(task, 1_700_000_000_000_000_000)
        for record in rows[at : at + BATCH]:
            batch.add(record)
        batch.run(outputs=True)
        at += BATCH
        return time.thread_time() - begun

    calm.extend(apply() for _ in range(batches_between))
    for _ in range(snapshots):
        begun, used = time.monotonic(), time.thread_time()
        writer.take(task)
        pauses.append(time.monotonic() - begun)
        processor.append(time.thread_time() - used)
        while writer.busy and at + BATCH <= len(rows):
            busy.append(apply())
            children = Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text().split()
            peak = max(peak, memory_bytes() + sum(_share(child) for child in children))
        while writer.busy:
            time.sleep(0.01)
        if writer.last is None or writer.failures:
            raise RuntimeError("the snapshot was not written")
        written.append(writer.last)
        calm.extend(apply() for _ in range(batches_between))
    state = task.model.state_hash()
    writer.take(task)
    writer.close()
    (entry,) = store.list("big")
    begun = time.monotonic()
    _, arrays = store.read(entry)
    restored = Task(task.settings, 0, [INSTANCES], "b" * 16)
    restored.load_arrays(arrays)
    seconds = time.monotonic() - begun
    if restored.model.state_hash() != state:
        raise RuntimeError("the restored state is another one")
    waits = np.array([0.0] * (len(calm) + len(busy) - len(pauses)) + pauses)
    slower = np.maximum(0.0, np.array(busy) - np.median(calm))
    return {
        "state_mb": round(entry.size_bytes / 1e6),
        "snapshots": snapshots,
        "batches": len(calm) + len(busy),
        "pause_ms": [round(1000 * pause, 1) for pause in pauses],
        "pause_processor_ms": [round(1000 * seconds, 1) for seconds in processor],
        "pause_ms_p99_over_batches": round(1000 * float(np.percentile(waits, 99)), 1),
        "batch_ms_median": round(1000 * float(np.median(calm)), 2),
        "batch_ms_p99": round(1000 * float(np.percentile(calm, 99)), 2),
        "slower_ms_median_while_writing": round(1000 * float(np.median(slower)), 2),
        "slower_ms_p99_while_writing": round(1000 * float(np.percentile(slower, 99)), 2),
        "save_mb_s": [round(each.size_bytes / 1e6 / each.seconds) for each in written],
        "restore_mb_s": round(entry.size_bytes / 1e6 / seconds),
        "memory_mb": round(before / 1e6),
        "memory_mb_peak": round(peak / 1e6),
    }


def _share(child: str) -> int:
    try:
        return memory_bytes(child)
    except (FileNotFoundError, ProcessLookupError, PermissionError, StopIteration):
        return 0


def main() -> None:
    """Measure, and print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=1_000, help="least size of the state")
    parser.add_argument("--snapshots", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where snapshots go; else a temporary folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = options.folder or Path(folder)
        print(json.dumps(measure(options.megabytes, options.snapshots, place), indent=1))  # noqa: T201


if __name__ == "__main__":
    main()
