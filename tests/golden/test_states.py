"""Fixed runs end with the golden states, answers, events and records, to the last bit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.golden.states import CLASSIFIERS, ENGINES, FILE, classifier_case, engine_case

GOLDEN = json.loads(FILE.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_classifier_ends_in_its_golden_state(name: str) -> None:
    assert classifier_case(CLASSIFIERS[name]) == GOLDEN[name]


@pytest.mark.parametrize("preset", ENGINES)
def test_an_engine_ends_in_its_golden_state(preset: str, tmp_path: Path) -> None:
    assert engine_case(preset, tmp_path) == GOLDEN[f"engine {preset}"]


def test_every_golden_case_is_run() -> None:
    assert set(GOLDEN) == {*CLASSIFIERS, *(f"engine {preset}" for preset in ENGINES)}
