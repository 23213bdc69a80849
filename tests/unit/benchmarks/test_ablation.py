"""The variants of the ablation disable what they name, and its table has means and differences."""

from __future__ import annotations

import numpy as np
import pytest

from streamlearn.learner.mixture.logistic_mixing import WEIGHT_SETS, WeightSet
from streamlearn.streams.synthetic import generator
from tests.benchmarks import ablation
from tests.benchmarks.ablation import MEASURES, VARIANTS, format_table, measure


def test_a_disabled_weight_set_keeps_the_weight_0(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    class RecordedLearner(ablation.EnsembleLearner):
        def __init__(self, *arguments, **named) -> None:
            super().__init__(*arguments, **named)
            made.append(self)

    monkeypatch.setattr(ablation, "EnsembleLearner", RecordedLearner)
    rows = list(generator("drifting", seed=1, instances=300))
    found = [measure(VARIANTS[name], rows, [], []) for name in ("everything", "without the mixture's own weights")]
    final = [learner.mixer.state.final for learner in made]
    assert (final[0] != 1.0 / WEIGHT_SETS).any()
    assert not final[1][:, WeightSet.OWN].any()
    assert (np.delete(final[1], WeightSet.OWN, axis=1) != 1.0 / (WEIGHT_SETS - 1)).any()
    assert found[0] != found[1]


def test_every_disabled_part_changes_the_figures() -> None:
    rows = list(generator("drifting", seed=1, instances=1_500))
    whole = measure(VARIANTS["everything"], rows, [], [])
    for name in ("without the pool of label sets", "without the cluster tree", "without label_history"):
        assert measure(VARIANTS[name], rows, [], []) != whole, name


def test_the_table_has_means_then_differences() -> None:
    first = {name: dict.fromkeys(MEASURES, 0.5 if name == "everything" else 0.4) for name in VARIANTS}
    second = {name: dict.fromkeys(MEASURES, 0.7) for name in VARIANTS}
    lines = format_table([first, second]).splitlines()
    assert lines[2] == "| everything | 0.6000 | 0.6000 | 0.6000 | 0.6000 | 0.6000 |"
    assert lines[3].endswith("| -0.0500 | -0.0500 | -0.0500 | -0.0500 | -0.0500 |")
    assert len(lines) == 2 + len(VARIANTS)
