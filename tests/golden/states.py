"""Golden states: hashes of states, answers, chains and records of fixed runs, which a refactoring must not change.

``states/<model version>.json`` has what the model version stands for: it is written once, and another result is another
model version. ``states/records.json`` has the records that the engine writes, whose form may change without that.

    python -m tests.golden.states

computes every case and writes the records, and the file of a new model version.
"""

from __future__ import annotations

import hashlib
import json
import random
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from streamlearn import LabelHierarchyClassifier
from streamlearn._version import MODEL_VERSION
from streamlearn.snapshot.format import read_snapshot
from streamlearn.streams import open_stream
from tests.engine.world import World

FOLDER = Path(__file__).with_name("states")
RECORDS = FOLDER / "records.json"
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
ENGINES: dict[str, dict[str, dict[str, Any]]] = {
    "default": {},
    "fast": {"learner": {"preset": "fast"}},
    "paper": {"learner": {"preset": "paper"}},
    "default assumed": {
        "labels": {"negative_after_seconds": 1.0, "min_count": 2, "retire_after_instances": 60, "pending_count": 40},
        "encoder": {"text_fields": ["title"]},
        "learner": {"rule": "subset"},
    },
    "fast partitions": {"engine": {"scope": "partition"}, "learner": {"preset": "fast", "rule": "macro"}},
}


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
        x: dict[str, Any] = {f"f{i}": round(draw.uniform(-1, 1), 3) for i in range(6) if draw.random() < 0.7}
        x["colour"] = draw.choice(["red", "green", "blue"])
        x["title"] = " ".join(draw.choice(["goal", "vote", "cell"]) for _ in range(draw.randrange(4)))
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


def engine_case(sections: dict[str, dict[str, Any]], folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Return the hashes of the tasks' states and chains, and those of all records that the engine wrote, on two
    partitions."""
    with pytest.MonkeyPatch.context() as patch:
        # The lineage record has versions and the machine's name.
        patch.setattr("platform.machine", lambda: "x86_64")
        patch.setattr("streamlearn.source.memory.MemorySource.topic_id", lambda self, topic: f"id of {topic}")
        patch.setattr("streamlearn.engine.loop.task_factory.MODEL_VERSION", 0)
        patch.setattr("streamlearn.engine.loop.task_factory.__version__", "release")
        # Each report of the lag reads the clock, which advances with every reading.
        patch.setattr("streamlearn.engine.loop.engine.LAG_SECONDS", 1e9)
        chosen = {**sections, "topics": {"labels": "labels"}}
        world = World(folder, partitions=2, **chosen)
        _write_input(world)
        engine = world.run()
    tasks = [engine.tasks[number] for number in sorted(engine.tasks)]
    results = {
        "state": " ".join(task.model.state_hash() for task in tasks),
        "arrays": _digest(sorted(name.encode() for task in tasks for name in task.arrays())),
        "chain": " ".join(f"{task.mark.seq}:{task.mark.chain}" for task in tasks),
    }
    records = {
        topic: [b"%d %s %s" % (r.partition, r.key or b"-", r.value or b"-") for r in world.read(topic)]
        for topic in ("predictions", "events", "dead-letters", "group-journal")
    }
    return results, {topic: f"{len(found)} {_digest(found)}" for topic, found in records.items()}


def states_file(model_version: int) -> Path:
    """Return the file with the results of a model version."""
    return FOLDER / f"{model_version}.json"


def main() -> None:
    """Compute every case, and write the files."""
    results = {name: classifier_case(parameters) for name, parameters in CLASSIFIERS.items()}
    records = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, sections in ENGINES.items():
            results[f"engine {name}"], records[name] = engine_case(sections, Path(folder, name))
    FOLDER.mkdir(exist_ok=True)
    RECORDS.write_text(json.dumps(records, indent=2) + "\n", encoding="utf-8")
    file, text = states_file(MODEL_VERSION), json.dumps(results, indent=2) + "\n"
    if file.exists() and file.read_text(encoding="utf-8") != text:
        sys.exit(f"{file.name}: model version {MODEL_VERSION} has other results; increase MODEL_VERSION, and migrate")
    file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
