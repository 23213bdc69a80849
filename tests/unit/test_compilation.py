"""`streamlearn.warm_up`: afterwards the embedded class neither compiles nor loads a kernel."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest

from streamlearn import LabelHierarchyClassifier, warm_up
from streamlearn.errors import UsageError

PROGRAM = """
import itertools, json
import streamlearn
from river import base
from streamlearn.kernels.compiler import cache_statistics
from streamlearn.learner.drift.detectors import DETECTORS
from streamlearn.learner.partition.comparison_modes import MODES
from streamlearn.settings.rule import RULES

class Alarming(base.DriftDetector):
    def update(self, x):
        self._drift_detected = x > 0.1

RIVER = [Alarming() if kind == "river" else kind for kind in DETECTORS]
EXAMPLES = [rule.replace("K", "2").replace("P", "0.3") for rule in RULES]
OTHERS = [
    {"labels": ["l1", "z"], "retire_after_instances": 30, "maximum_labels": 10},
    {"text_fields": ["t"], "seed": 7, "scores_top": 0, "maximum_features": 5, "drift_significance": 0.5},
    {"minimum_count": 3, "scores_top": 1000, "drift_cooldown_rows": 1, "memory_bytes": 1 << 40},
]

def choices(preset):
    for mode, detector, others in itertools.zip_longest(MODES, RIVER, OTHERS, fillvalue={}):
        chosen = {"preset": preset, "rule": "f1", "partition": mode, "drift_detector": detector, **others}
        yield {name: value for name, value in chosen.items() if not (preset == "paper" and name.startswith("drift"))}

def learn(model, rows):
    for row in range(rows):
        x = {"a": row % 7, "b": "red" if row % 2 else "blue", f"c{row % 9}": 0.5, "t": f"word{row % 5} and more"}
        model.predict(x)
        model.learn_one(x, {f"l{row % (rows // 15)}", "common"})
    return x

def use(preset):
    model = streamlearn.LabelHierarchyClassifier(preset=preset)
    model.predict_one({"a": 1.0})
    x = learn(model, 600)
    model.predict_proba_one(x)
    model.state_hash()
    model.save(f"{preset}.npz")
    model = streamlearn.LabelHierarchyClassifier.load(f"{preset}.npz")
    model.learn_one({**x, "new": 1.0}, {"a new label": True, "common": False})
    model.predict_many([x, x])
    for rule in EXAMPLES:
        model.predict(x, rule=rule)

def use_choices(chosen):
    learn(streamlearn.LabelHierarchyClassifier(**chosen), 210)

found, used = {}, set()
# The published method first: the other presets have kernels that it uses too.
for preset in ("paper", "fast", "default"):
    streamlearn.warm_up(preset=preset)
    before = cache_statistics()
    use(preset)
    after = cache_statistics()
    found[preset] = [after.loaded - before.loaded, after.compiled - before.compiled, before.loaded + before.compiled]
    for chosen in choices(preset) if preset != "fast" else ():
        before = cache_statistics()
        use_choices(chosen)
        after = cache_statistics()
        found[str(chosen)] = [after.loaded - before.loaded, after.compiled - before.compiled]
        used |= set(chosen)
print(json.dumps([found, sorted(used)]))
"""


def test_after_the_warm_up_no_call_and_no_parameter_loads_or_compiles_a_kernel(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    found, used = json.loads(done.stdout)
    assert {choice: counts[:2] for choice, counts in found.items() if counts[:2] != [0, 0]} == {}
    assert found["paper"][2] > 0
    assert used == sorted(inspect.signature(LabelHierarchyClassifier).parameters)


def test_an_unknown_preset_is_refused_with_those_that_exist() -> None:
    with pytest.raises(UsageError, match="preset = 'huge': there are default, fast, paper, ihomer"):
        warm_up("huge")
