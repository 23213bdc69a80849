"""Nothing that a process has once changes when models learn and predict: so two models share nothing."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from streamlearn import LabelHierarchyClassifier

PARTS = ("arguments", "classifier", "encoder", "learner", "model", "numerics", "predictor", "snapshot", "state")
MUTABLE = (dict, list, set, bytearray, deque, np.ndarray)


def objects() -> Iterator[tuple[str, Any]]:
    """Yield the objects of all loaded modules of a model, and of their classes, by name."""
    for module_name, module in list(sys.modules.items()):
        package, _, rest = module_name.partition(".")
        if package != "streamlearn" or rest.split(".")[0] not in PARTS:
            continue
        for name, value in list(vars(module).items()):
            if name.startswith("__"):
                continue
            yield f"{module_name}.{name}", value
            if isinstance(value, type) and value.__module__ == module_name:
                for attribute, of_class in list(vars(value).items()):
                    if not attribute.startswith("__"):
                        yield f"{module_name}.{name}.{attribute}", of_class


def mutable_objects() -> dict[str, str | bytes]:
    """Return the content of those that can change."""
    return {
        name: value.tobytes() if isinstance(value, np.ndarray) else repr(value)
        for name, value in objects()
        if isinstance(value, MUTABLE)
    }


def use(seed: int) -> None:
    """Learn and predict rows of numbers, texts and nominal values, with labels that join and retire."""
    chance = np.random.default_rng(seed)
    for preset in ("default", "fast", "paper"):
        model = LabelHierarchyClassifier(preset, text_fields=["title"], retire_after_instances=20, maximum_labels=8)
        for row in range(40):
            x = {f"f{row % 9}": float(chance.random()), "title": f"word{seed} {row % 5}", "colour": f"c{seed}{row % 3}"}
            model.predict_proba_one(x)
            model.learn_one(x, {f"label {seed} {row // 7}", f"other {row % 3}"})
        model.snapshot().predict(x, rule="f1")
        model.state_hash()


@pytest.fixture(scope="module", autouse=True)
def loaded() -> None:
    """Load all modules."""
    use(0)


def test_nothing_at_the_level_of_modules_and_classes_changes() -> None:
    before = mutable_objects()
    use(1)
    assert len(before) > 10
    assert mutable_objects() == before


def test_no_function_caches_its_results() -> None:
    assert [name for name, value in objects() if hasattr(value, "cache_info")] == []
