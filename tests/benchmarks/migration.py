"""Restoring a large snapshot of the model version before, compared with a plain restore. Run as a command:

    python -m tests.benchmarks.migration [--megabytes N] [--runs N] [--folder DIR]

A task of ``--megabytes`` is written twice: as this release writes it, and as a made-up version before would have it:
with a part and an array of other names, without an array, and with others converted. Processes restore the two in turn,
each a new one; the medians of ``--runs`` are compared. All restore the same state. Processor time is measured besides
wall time, since other processes of the machine do not affect it much.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from streamlearn._version import MODEL_VERSION
from streamlearn.engine.recovery.snapshot_manifest import build_manifest, load_task
from streamlearn.migrations import registry
from streamlearn.migrations.migration import Before, Conversion, Migration, PartMigration, filled
from streamlearn.snapshot.store import SnapshotStore
from streamlearn.state.arrays import state_hash
from streamlearn.state.lazy_arrays import get_lazy
from tests.benchmarks.figures import Figure, add_history_option, keep
from tests.benchmarks.snapshots import INSTANCES, big_task, large_settings, status_bytes

TIMES_AS_LONG, TIMES_THE_MEMORY = 1.5, 1.1
"""What a migration may take, relative to a plain restore."""
EXPERTS = "model.learner.panel"


def _new_weights(before: Before) -> np.ndarray:
    """Return the weights of the label history as a new model has them, by the shape of what is there."""
    return filled(get_lazy(before.arrays, "burst.squared").shape, np.float32)


MADE_UP = Migration(
    MODEL_VERSION - 1,
    [
        PartMigration("", renamed={"experts": EXPERTS}),
        PartMigration(
            "experts",
            renamed={"softmax.gradients": "softmax.squared"},
            converted={
                "naive_bayes.pairs": Conversion(np.float64),
                "fast_linear.weight": Conversion(np.float32, lambda block: block / 2),
            },
            added={"burst.weight": _new_weights},
        ),
    ],
)
"""The migration of what `_as_before` returns."""


def _as_before(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the arrays of a task as the made-up version has them, of about as many bytes."""
    old = {name.replace(EXPERTS, "experts"): array for name, array in arrays.items()}
    old["experts.softmax.gradients"] = old.pop("experts.softmax.squared")
    old["experts.naive_bayes.pairs"] = old["experts.naive_bayes.pairs"].astype(np.float32)
    old["experts.fast_linear.weight"] = old["experts.fast_linear.weight"].astype(np.float64) * 2
    del old["experts.burst.weight"]
    return old


def write(megabytes: int, folder: Path) -> dict[str, int]:
    """Write the two snapshots, each to a store in the folder; return their sizes in bytes."""
    task = big_task(megabytes)
    manifest = build_manifest(task)
    draw = np.random.default_rng(7)
    arrays = dict(task.arrays())
    for name, array in arrays.items():
        if array.nbytes > 1_000_000 and array.dtype.kind == "f" and not name.endswith("burst.weight"):
            arrays[name] = draw.random(array.shape, np.float32).astype(array.dtype)
    forms = {"plain": (MODEL_VERSION, arrays), "migrated": (MODEL_VERSION - 1, _as_before(arrays))}
    return {
        form: SnapshotStore(str(folder / form))
        .save("big", "b" * 16, 0, 1, "0" * 24, written, {**manifest, "model_version": version})
        .size_bytes
        for form, (version, written) in forms.items()
    }


def restore(form: str, megabytes: int, folder: Path) -> dict[str, Any]:
    """Restore a snapshot in this process; return the seconds of wall and of processor time, the bytes of memory that it
    takes at most, and the hash of the state."""
    registry.MIGRATION = MADE_UP
    store = SnapshotStore(str(folder / form))
    (entry,) = store.list("big")
    settings = large_settings(megabytes)
    before = status_bytes("VmRSS")
    wall, processor = time.perf_counter(), time.process_time()
    task = load_task(settings, store, entry, [INSTANCES])
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    peak = status_bytes("VmHWM") - before
    return {"seconds": wall, "processor": processor, "peak_bytes": peak, "state": state_hash(task.arrays())}


def measure(megabytes: int, runs: int, folder: Path) -> dict[str, Any]:
    """Write the snapshots, restore each ``runs`` times in turn in new processes, and return medians and ratios."""
    sizes = write(megabytes, folder)
    os.sync()
    found: dict[str, list[dict[str, Any]]] = {form: [] for form in sizes}
    for _ in range(runs):
        for form in found:
            command = [sys.executable, "-m", "tests.benchmarks.migration", f"--restore={form}"]
            command += [f"--megabytes={megabytes}", f"--folder={folder}"]
            found[form].append(json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout))
    if len({each["state"] for several in found.values() for each in several}) != 1:
        raise RuntimeError("the migrated state differs from the state that was saved")
    measured: dict[str, Any] = {}
    for form, several in found.items():
        measured[f"{form}_mb"] = round(sizes[form] / 1e6)
        measured[f"{form}_s"] = round(statistics.median(each["seconds"] for each in several), 2)
        measured[f"{form}_s_each"] = [round(each["seconds"], 2) for each in several]
        measured[f"{form}_s_processor"] = round(statistics.median(each["processor"] for each in several), 2)
        measured[f"{form}_peak_mb"] = round(statistics.median(each["peak_bytes"] for each in several) / 1e6)
    for name, quantity in {"time": "s", "processor": "s_processor", "peak": "peak_mb"}.items():
        measured[f"{name}_ratio"] = round(measured[f"migrated_{quantity}"] / measured[f"plain_{quantity}"], 3)
    return measured


def make_figures(measured: Mapping[str, Any]) -> dict[str, Figure]:
    """Return the figures of what `measure` returned."""
    units = {"plain_s": "s", "migrated_s": "s", "plain_peak_mb": "MB", "migrated_peak_mb": "MB"}
    units |= {"time_ratio": "", "processor_ratio": "", "peak_ratio": ""}
    return {
        f"{measured['plain_mb']} MB/{name}": Figure(float(measured[name]), unit, "lower")
        for name, unit in units.items()
    }


def main() -> int:
    """Measure, print one JSON object, and keep the figures; return 1 when the migration takes more than it may."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=1_000, help="minimum size of the state (%(default)s)")
    parser.add_argument("--runs", type=int, default=5, help="restores of each snapshot (%(default)s)")
    parser.add_argument("--folder", type=Path, help="folder of the snapshots (by default a temporary one)")
    parser.add_argument("--restore", choices=["plain", "migrated"], help="only restore one snapshot of --folder")
    add_history_option(parser)
    options = parser.parse_args()
    if options.restore:
        print(json.dumps(restore(options.restore, options.megabytes, options.folder)))  # noqa: T201
        return 0
    with tempfile.TemporaryDirectory() as folder:
        measured = measure(options.megabytes, options.runs, options.folder or Path(folder))
    print(json.dumps(measured, indent=1))  # noqa: T201
    keep("migration", make_figures(measured), options)
    return int(measured["time_ratio"] > TIMES_AS_LONG or measured["peak_ratio"] > TIMES_THE_MEMORY)


if __name__ == "__main__":
    sys.exit(main())
