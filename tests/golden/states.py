"""Golden states: hashes of states, answers, events and records of fixed runs, which a refactoring must not change.

Run as a command, it computes every case and writes ``states.json``, after an intended change of results:

    python -m tests.golden.states
"""

from __future__ import annotations

import hashlib
import json
import random
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from streamlearn import LabelHierarchyClassifier
from streamlearn.snapshot.format import read_snapshot
from streamlearn.streams import open_stream
from tests.engine.world import World

FILE = Path(__file__).with_name("states.json")
ROWS = 700

CLASSIFIERS: dict[str, dict[str, Any]] = {
    "default": {},
    "default subset": {"rule": "subset", "minimum_count": 3},
    "default macro": {"rule": "macro"},
    "default whole": {"partition": "whole"},
    "default singletons": {"partition": "singletons", "rule": "f1"},
    "default random": {"partition": "random", "seed": 3, "rule": "hamming"},
    "default page_hinkley": {"drift_detector": "page_hinkley"},
    "default no detector": {"drift_detector": "none"},
    "default retirement": {"retire_after_instances": 40, "maximum_labels": 6},
    "default text": {"text_fields": ("title",)},
    "fast": {"preset": "fast"},
    "paper": {"preset": "paper"},
}
ENGINES = ("default", "fast", "paper")


def _digest(parts: Iterable[bytes]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()


def _instances() -> Iterable[tuple[dict[str, Any], Any]]:
    """Yield rows of a drifting stream with texts, nominal values, absent features and partial truths mixed in."""
    draw = random.Random(11)
    words = ("goal", "match", "vote", "law", "star", "cell")
    for number, row in enumerate(open_stream("synthetic:drifting", seed=5, instances=ROWS)):
        x: dict[str, Any] = {name: value for name, value in row.x.items() if draw.random() < 0.9}
        x["colour"] = draw.choice(["red", "green", "blue"])
        x["title"] = " ".join(draw.choice(words) for _ in range(draw.randrange(6)))
        names = sorted(row.y)
        truth: Any = set(names)
        if number % 9 == 4:
            truth = {name: name in names for name in (*names, "rare")}
        yield x, truth


def classifier_case(parameters: dict[str, Any]) -> dict[str, str]:
    """Return the hashes of a classifier's state, answers and events after all rows."""
    model = LabelHierarchyClassifier(**parameters)
    answers, events = [], []
    for number, (x, truth) in enumerate(_instances()):
        if number % 7 == 0:
            answers.append(repr(tuple(model.predict(x))).encode())
        model.learn_one(x, truth)
        events.extend(repr(tuple(event)).encode() for event in model.events)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.npz")
        model.save(path)
        _, arrays = read_snapshot(path)
        names = [f"{name} {array.dtype.str} {array.ndim}".encode() for name, array in sorted(arrays.items())]
    return {
        "state": model.state_hash(),
        "arrays": _digest(names),
        "answers": _digest(answers),
        "events": _digest(events),
    }


def _write_input(world: World) -> None:
    """Write instances, late, partial, corrected and orphan labels, poison and duplicates to the topics."""
    draw = random.Random(3)
    waiting: list[tuple[str, list[str]]] = []
    names = ("news", "sport", "politics", "science", "art")
    for number in range(260):
        timestamp_ms = 1_700_000_000_000 + number * 20
        partition = number % 2
        x = {f"f{i}": round(draw.uniform(-1, 1), 3) for i in range(6) if draw.random() < 0.7}
        y = [name for position, name in enumerate(names) if x.get(f"f{position}", -0.2) > 0.1]
        record: dict[str, Any] = {"id": f"id{number}", "x": x}
        if number % 3 == 0:
            record["y"] = y
        else:
            waiting.append((f"id{number}", y))
        world.add(record, partition=partition, timestamp_ms=timestamp_ms)
        if number % 17 == 0:
            world.add(b"{broken", partition=partition, timestamp_ms=timestamp_ms)
        if len(waiting) > 12:
            identity, truth = waiting.pop(draw.randrange(len(waiting)))
            label: Any = truth if draw.random() < 0.6 else {name: name in truth for name in names[:3]}
            to = int(identity.removeprefix("id")) % 2
            for value in (label, *([names[:2]] if draw.random() < 0.3 else [])):
                world.add({"id": identity, "y": value}, topic="labels", partition=to, timestamp_ms=timestamp_ms)
        if number % 31 == 0:
            orphan = {"id": f"never{number}", "y": ["news"]}
            world.add(orphan, topic="labels", partition=partition, timestamp_ms=timestamp_ms)


def engine_case(preset: str, folder: Path) -> dict[str, str]:
    """Return the hashes of a task's state and of all records that the engine wrote, on two partitions."""
    with pytest.MonkeyPatch.context() as patch:
        # The lineage record has the hash of the sources, which any comment changes, and the machine's name.
        patch.setattr("platform.machine", lambda: "x86_64")
        patch.setattr("streamlearn.source.memory.MemorySource.topic_id", lambda self, topic: f"id of {topic}")
        patch.setattr("streamlearn.engine.loop.task_factory.kernel_hash", lambda: "k" * 32)
        patch.setattr("streamlearn.engine.recovery.restore.kernel_hash", lambda: "k" * 32)
        patch.setattr("streamlearn.engine.recovery.snapshot_manifest.kernel_hash", lambda: "k" * 32)
        # Each report of the lag reads the clock, which advances with every reading.
        patch.setattr("streamlearn.engine.loop.engine.LAG_SECONDS", 1e9)
        world = World(folder, partitions=2, learner={"preset": preset}, topics={"labels": "labels"})
        _write_input(world)
        engine = world.run()
    (task,) = engine.tasks.values()
    outputs = {
        topic: [b"%d %s %s" % (r.partition, r.key or b"-", r.value or b"-") for r in world.read(topic)]
        for topic in ("predictions", "events", "dead-letters", "group-journal")
    }
    return {
        "state": task.model.state_hash(),
        "arrays": _digest(sorted(name.encode() for name in task.arrays())),
        "chain": f"{task.mark.seq}:{task.mark.chain}",
        **{topic: f"{len(records)} {_digest(records)}" for topic, records in outputs.items()},
    }


def main() -> None:
    """Compute every case, and write the file."""
    found = {name: classifier_case(parameters) for name, parameters in CLASSIFIERS.items()}
    with tempfile.TemporaryDirectory() as folder:
        found |= {f"engine {preset}": engine_case(preset, Path(folder, preset)) for preset in ENGINES}
    FILE.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
