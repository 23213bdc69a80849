"""The task and the classifier of the golden snapshots, how they are stored, and what they do afterwards.

``<model version>/`` has the snapshot of the task and the file of the classifier, both packed by gzip, and
``expected.json``: what that version gives for its own snapshots and, migrated, for those of the version before.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import random
import tempfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

from streamlearn import LabelHierarchyClassifier
from streamlearn.engine.journal.records import TopicIdentity
from streamlearn.engine.recovery.snapshot_manifest import build_manifest, load_task
from streamlearn.engine.tasks.batch import Batch
from streamlearn.engine.tasks.task import Task
from streamlearn.settings.settings import Settings
from streamlearn.snapshot.format import read_manifest
from streamlearn.snapshot.store import SnapshotEntry, SnapshotStore
from streamlearn.source.base import RawRecord, TopicPartition
from streamlearn.state.arrays import state_hash

FOLDER = Path(__file__).parent
TASK = "task.npz.gz"
CLASSIFIER = "classifier.npz.gz"
EXPECTED = "expected.json"

GROUP = "golden"
LINEAGE = "b" * 16
INSTANCES = TopicPartition("instances", 0)
LABELS = TopicPartition("labels", 0)
START_MS = 1_700_000_000_000
STEP_MS = 500
BATCH = 20
FIRST_BATCHES, LATER_BATCHES = 9, 4
NAMES = ("news", "sport", "politics", "art")
WORDS = ("goal", "vote", "star")

SETTINGS = Settings.model_validate(
    {
        "kafka": {"group_id": GROUP},
        "topics": {"labels": LABELS.topic},
        "features": {"maximum": 48},
        "encoder": {"text_fields": ["title"], "text_columns": 8},
        "labels": {
            "maximum": 8,
            "declared": ["news"],
            "pending_seconds": 30.0,
            "orphan_seconds": 20.0,
            "negative_after_seconds": 25.0,
        },
        "drift": {"cooldown_rows": 10},
        "limits": {"bad_window": 30},
    }
)


def _row(draw: random.Random) -> tuple[dict[str, Any], list[str]]:
    """Return an instance and its true labels."""
    x: dict[str, Any] = {f"f{i}": round(draw.uniform(-1, 1), 2) for i in range(4) if draw.random() < 0.8}
    x["colour"] = draw.choice(["red", "green"])
    x["title"] = " ".join(draw.choice(WORDS) for _ in range(draw.randrange(3)))
    return x, [name for position, name in enumerate(NAMES) if x.get(f"f{position}", -0.2) > 0.1]


def _records() -> Iterator[tuple[str, dict[str, Any] | bytes]]:
    """Yield the topic and value of each record: late, partial, corrected and orphan labels, and broken records."""
    draw = random.Random(23)
    waiting: list[tuple[str, list[str]]] = []
    for number in range((FIRST_BATCHES + LATER_BATCHES) * BATCH):
        x, y = _row(draw)
        identity = f"id{number}"
        if number % 3 == 0:
            yield INSTANCES.topic, {"id": identity, "x": x, "y": y}
        else:
            yield INSTANCES.topic, {"id": identity, "x": x}
            waiting.append((identity, y))
        if number % 19 == 7:
            yield INSTANCES.topic, b"{broken"
        if len(waiting) > 8:
            identity, truth = waiting.pop(draw.randrange(len(waiting)))
            chance = draw.random()
            if chance < 0.6:
                yield LABELS.topic, {"id": identity, "y": truth}
            elif chance < 0.85:
                yield LABELS.topic, {"id": identity, "y": {name: name in truth for name in NAMES[:2]}}
            if chance < 0.2:
                yield LABELS.topic, {"id": identity, "y": list(NAMES[:1])}
        if number % 11 == 5:
            yield LABELS.topic, {"id": f"id{number + 3}", "y": ["sport"]}
            yield LABELS.topic, {"id": f"never{number}", "y": ["art"]}


def _batches() -> list[list[RawRecord]]:
    """Return the records in batches; `FIRST_BATCHES` of them precede the snapshot."""
    offsets = {INSTANCES.topic: 0, LABELS.topic: 0}
    records = []
    for place, (topic, value) in enumerate(_records()):
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        headers = (("trace", b"7"), ("none", None), ("empty", b"")) if topic == LABELS.topic else ()
        stamp = START_MS + place * STEP_MS + (3_600_000 if place % 97 == 50 else 0)
        key = None if place % 5 == 0 else b"key"
        records.append(RawRecord(topic, 0, offsets[topic], stamp, key, data, headers))
        offsets[topic] += 1
    size = -(-len(records) // (FIRST_BATCHES + LATER_BATCHES))
    return [records[first : first + size] for first in range(0, len(records), size)]


def _run(task: Task, batches: list[list[RawRecord]]) -> list[bytes]:
    """Apply batches; return the answers."""
    answers = []
    for records in batches:
        batch = Batch(task, (records[-1].timestamp_ms % 3_600_000 + START_MS) * 1_000_000)
        for record in records:
            batch.add(record)
        applied, _ = batch.run(outputs=True)
        answers += [output.value or b"" for output in applied.outputs if output.topic == SETTINGS.topics.predictions]
    return answers


def _digest(parts: list[bytes]) -> str:
    return hashlib.blake2b(b"\n".join(parts), digest_size=16).hexdigest()


def _classifier_rows(count: int, seed: int) -> Iterator[tuple[dict[str, Any], set[str]]]:
    draw = random.Random(seed)
    for _ in range(count):
        x, y = _row(draw)
        yield x, set(y)


def write(folder: Path) -> None:
    """Write the snapshot of a task and the file of a classifier that have seen the first rows."""
    task = Task(SETTINGS, 0, [INSTANCES, LABELS], LINEAGE)
    task.topics = {INSTANCES.topic: TopicIdentity("id-1", 1), LABELS.topic: TopicIdentity("id-2", 1)}
    task.positions = {INSTANCES: 0, LABELS: 0}
    _run(task, _batches()[:FIRST_BATCHES])
    task.journal_offset = FIRST_BATCHES
    with tempfile.TemporaryDirectory() as scratch:
        store = SnapshotStore(scratch)
        entry = store.save(GROUP, LINEAGE, 0, task.mark.seq, task.mark.chain, task.arrays(), build_manifest(task))
        _pack(Path(entry.path), folder / TASK)
    classifier = LabelHierarchyClassifier(
        labels=["news"], text_fields=["title"], minimum_count=2, maximum_features=300, drift_cooldown_rows=10
    )
    for x, y in _classifier_rows(60, 5):
        classifier.learn_one(x, y)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "classifier.npz"
        classifier.save(path)
        _pack(path, folder / CLASSIFIER)


def _pack(path: Path, target: Path) -> None:
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(gzip.compress(path.read_bytes(), mtime=0))


def unpack(folder: Path, scratch: Path) -> tuple[SnapshotStore, SnapshotEntry, Path]:
    """Unpack a golden folder; return a store with the snapshot of the task, its entry, and the classifier's file."""
    data = gzip.decompress((folder / TASK).read_bytes())
    manifest = read_manifest(BytesIO(data))
    path = scratch / GROUP / LINEAGE / "0" / f"{manifest['seq']}-{manifest['chain']}.npz"
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    store = SnapshotStore(str(scratch))
    (entry,) = store.list(GROUP)
    classifier = scratch / "classifier.npz"
    classifier.write_bytes(gzip.decompress((folder / CLASSIFIER).read_bytes()))
    return store, entry, classifier


def observe(folder: Path, scratch: Path) -> dict[str, str]:
    """Return the hashes of the states that a golden folder restores, and of what they give afterwards.

    ``scratch`` is an empty folder, where the files are unpacked.
    """
    store, entry, path = unpack(folder, scratch)
    task = load_task(SETTINGS, store, entry, [INSTANCES, LABELS])
    found = {"task": state_hash(task.arrays())}
    found["task answers"] = _digest(_run(task, _batches()[FIRST_BATCHES:]))
    found["task later"] = state_hash(task.arrays())
    found["task mark"] = f"{task.mark.seq} {task.now_ns} {sorted(task.positions.values())}"
    classifier = LabelHierarchyClassifier.load(path)
    found["classifier"] = classifier.state_hash()
    answers = []
    for x, y in _classifier_rows(20, 6):
        answers.append(repr(tuple(classifier.predict(x))).encode())
        classifier.learn_one(x, y)
    found["classifier answers"] = _digest(answers)
    found["classifier later"] = classifier.state_hash()
    return found
