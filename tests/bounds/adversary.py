"""Adversarial records: endless new features, labels and ids, truths without an instance, the longest names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random

from streamlearn.settings.settings import Settings
from streamlearn.source.base import RawRecord


def records(count: int, settings: Settings, seed: int = 1) -> Iterator[RawRecord]:
    """Yield adversarial instances and labels, one kind for 500 records, then the next."""
    draw = Random(seed)
    topics, limits = settings.topics, settings.limits
    kinds = (_new_features, _new_labels, _never_labelled, _huge_label_sets, _truths_without_instance, _longest_names)
    for number in range(count):
        kind = kinds[number // 500 % len(kinds)]
        is_label, record = kind(number, draw, limits.labels_per_record, limits.label_bytes)
        topic = topics.labels if is_label else topics.instances
        yield RawRecord(topic, 0, number, number * 10, None, json.dumps(record).encode())


def _new_features(number: int, draw: Random, labels: int, length: int) -> tuple[bool, dict]:
    x: dict[str, object] = {f"f{number}-{index}": draw.random() for index in range(8)}
    return False, {"id": f"i{number}", "x": x | {"colour": f"c{number}"}, "y": ["seen"]}


def _new_labels(number: int, draw: Random, labels: int, length: int) -> tuple[bool, dict]:
    return False, {"id": f"i{number}", "x": {"a": draw.random(), "b": 1}, "y": [f"l{number}", f"m{number}", "seen"]}


def _never_labelled(number: int, draw: Random, labels: int, length: int) -> tuple[bool, dict]:
    return False, {"id": f"i{number}" + "i" * 200, "x": {f"a{draw.randrange(99)}": 1, "b": draw.random()}}


def _huge_label_sets(number: int, draw: Random, labels: int, length: int) -> tuple[bool, dict]:
    truth = [f"h{draw.randrange(5_000)}" for _ in range(labels if number % 50 == 0 else 20)]
    return False, {"id": f"i{number}", "x": {"a": draw.random()}, "y": truth}


def _truths_without_instance(number: int, draw: Random, labels: int, length: int) -> tuple[bool, dict]:
    return True, {"id": f"nobody{number}", "y": ["t" * (length - 1) + chr(97 + draw.randrange(26))] * 20}


def _longest_names(number: int, draw: Random, labels: int, length: int) -> tuple[bool, dict]:
    name = f"{number:x}".rjust(length // 2, "n")
    return False, {"id": f"i{number}", "x": {name: 1.0, "text": "v" * 200 + str(number)}, "y": [name[::-1]]}
