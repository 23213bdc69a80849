"""`streamlearn.warm_up`: afterwards the embedded class neither compiles nor loads a kernel."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from streamlearn import warm_up
from streamlearn.errors import UsageError

PROGRAM = """
import json
import streamlearn
from streamlearn.kernels.compiler import cache_statistics

found = {}
# The published method first: the other presets have kernels that it uses too.
for preset in ("paper", "fast", "default"):
    streamlearn.warm_up(preset=preset)
    before = cache_statistics()
    model = streamlearn.LabelHierarchyClassifier(preset=preset)
    model.predict_one({"a": 1.0})
    for row in range(600):
        x = {"a": row % 7, "b": "red" if row % 2 else "blue", f"c{row % 5}": 0.5}
        model.predict(x)
        model.learn_one(x, {f"l{row % 40}", "common"})
    model.predict_proba_one(x)
    model.state_hash()
    model.save(f"{preset}.npz")
    model = streamlearn.LabelHierarchyClassifier.load(f"{preset}.npz")
    model.learn_one({**x, "new": 1.0}, {"a new label": True, "common": False})
    model.predict_many([x, x])
    after = cache_statistics()
    found[preset] = [after.loaded - before.loaded, after.compiled - before.compiled, before.loaded + before.compiled]
print(json.dumps(found))
"""


def test_after_the_warm_up_no_call_loads_or_compiles_a_kernel(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True, timeout=600, check=True
    )
    found = json.loads(done.stdout)
    assert [counts[:2] for counts in found.values()] == [[0, 0]] * 3, found
    assert found["paper"][2] > 0


def test_an_unknown_preset_is_refused_with_those_that_exist() -> None:
    with pytest.raises(UsageError, match="preset = 'huge': there are default, fast, paper, ihomer"):
        warm_up("huge")
