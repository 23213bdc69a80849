"""Fixed runs end with the golden states, answers, chains and records of this model version, to the last bit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from streamlearn._version import MODEL_VERSION
from tests.golden.states import CLASSIFIERS, ENGINES, RECORDS, classifier_case, engine_case, states_file

WAY_OUT = "the results are of another model version: increase MODEL_VERSION in streamlearn/_version.py and migrate"
GOLDEN = json.loads(states_file(MODEL_VERSION).read_text(encoding="utf-8"))
GOLDEN_RECORDS = json.loads(RECORDS.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_classifier_ends_in_its_golden_state(name: str) -> None:
    assert classifier_case(CLASSIFIERS[name]) == GOLDEN[name], WAY_OUT


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_ends_in_its_golden_state(name: str, tmp_path: Path) -> None:
    results, records = engine_case(ENGINES[name], tmp_path)
    assert results == GOLDEN[f"engine {name}"], WAY_OUT
    assert records == GOLDEN_RECORDS[name]


def test_every_golden_case_is_run() -> None:
    assert set(GOLDEN) == {*CLASSIFIERS, *(f"engine {name}" for name in ENGINES)}
    assert set(GOLDEN_RECORDS) == set(ENGINES)


def test_another_model_version_has_other_results() -> None:
    before = states_file(MODEL_VERSION - 1)
    if before.exists():
        # Cases that one of the two does not have say nothing.
        former = json.loads(before.read_text(encoding="utf-8"))
        common = GOLDEN.keys() & former.keys()
        assert common
        assert any(GOLDEN[name] != former[name] for name in common), "nothing changed: keep MODEL_VERSION"
