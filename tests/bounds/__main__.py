"""Apply adversarial records in a process with limited memory, and print the sizes reached. Run as a command:

    python -m tests.bounds [--records N] [--preset NAME]

Exit status: 0 when the process stayed within its memory limit and every bounded quantity within its bound, else 1.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import resource
import sys
import time
from pathlib import Path

from streamlearn.engine.tasks.batch import Batch
from streamlearn.engine.tasks.task import Task
from streamlearn.model.warm_up import warm_up
from streamlearn.settings.settings import Settings
from streamlearn.source.base import TopicPartition
from tests.bounds.adversary import records

BATCH = 500
OVERHEAD_BYTES = 512 << 20
"""Memory for the interpreter, the libraries, the kernels and the current batch."""
SETTINGS = {
    "topics": {"labels": "labels"},
    "labels": {
        "maximum": 256,
        "pending_count": 20_000,
        "pending_bytes": 32 << 20,
        "orphan_count": 5_000,
        "orphan_bytes": 8 << 20,
        "retire_after_instances": 20_000,
    },
    "features": {"maximum": 4_096},
    "limits": {"memory_bytes": 1 << 30, "labels_per_record": 512, "bad_share": 1.0},
}


def peak_resident_bytes() -> int:
    """Return the peak resident bytes of this process; `resource.getrusage` would start from those of its parent."""
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def main() -> int:
    """Apply the records, and print one JSON object."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bounds", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=int, default=20_000, help="number of records (%(default)s)")
    parser.add_argument("--preset", default="default", help="preset of the learner (%(default)s)")
    options = parser.parse_args()
    settings = Settings.model_validate(SETTINGS | {"learner": {"preset": options.preset}})
    warm_up(settings)
    task = Task(settings, 0, [TopicPartition("instances", 0), TopicPartition("labels", 0)], "bounds")
    task.positions = dict.fromkeys(task.partitions, 0)
    allowed = task.model.memory_bound_bytes() + settings.labels.pending_bytes + settings.labels.orphan_bytes
    allowed += OVERHEAD_BYTES
    # The data segment, not the address space: the compiler reserves addresses that it never uses.
    resource.setrlimit(resource.RLIMIT_DATA, (allowed, allowed))
    stream = records(options.records, settings)
    begun = time.monotonic()
    most = dict.fromkeys(("labels", "features", "remembered", "remembered_bytes", "orphans", "orphan_bytes"), 0)
    dead: dict[str, int] = {}
    halfway = 0
    applied = 0
    while chunk := list(itertools.islice(stream, BATCH)):
        batch = Batch(task, (chunk[-1].timestamp_ms + 1) * 1_000_000)
        for record in chunk:
            batch.add(record)
        result, _ = batch.run(outputs=True)
        applied += len(chunk)
        for _, error in result.letters:
            dead[error.code] = dead.get(error.code, 0) + 1
        pending, model = task.pending, task.model
        sizes = (model.labels.count, model.feature_count, len(pending), pending.bytes, len(pending.orphans))
        for name, size in zip(most, (*sizes, pending.orphans.bytes), strict=True):
            most[name] = max(most[name], size)
        if applied <= options.records // 2:
            halfway = peak_resident_bytes()
    labels = settings.labels
    bounds = (labels.maximum, settings.features.maximum, labels.pending_count, labels.pending_bytes)
    bounds += (labels.orphan_count, labels.orphan_bytes)
    found = {
        "records": applied,
        "records_per_second": round(applied / (time.monotonic() - begun)),
        "most": most,
        "bounds": dict(zip(most, bounds, strict=True)),
        "model_bytes": task.model.memory_bytes(),
        "model_bound_bytes": task.model.memory_bound_bytes(),
        "resident_bytes_halfway": halfway,
        "resident_bytes": peak_resident_bytes(),
        "allowed_bytes": allowed,
        "dead_letters": dead,
        "dropped": task.model.dropped,
    }
    print(json.dumps(found, indent=1))  # noqa: T201
    within = all(size <= bound for size, bound in zip(most.values(), bounds, strict=True))
    return 0 if within and found["model_bytes"] <= found["model_bound_bytes"] else 1


if __name__ == "__main__":
    sys.exit(main())
