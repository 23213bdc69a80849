"""A snapshot of a classifier answers as the classifier did, shares no memory with it, and cannot learn."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from river import drift

from streamlearn import LabelHierarchyClassifier, LabelSetPredictor
from streamlearn.errors import UsageError
from streamlearn.streams.synthetic import generator

ROWS = [(row.x, set(row.y or [])) for row in generator("drifting", seed=1, instances=120)]

CHOICES: dict[str, dict[str, Any]] = {
    "default": {},
    "fast": {"preset": "fast", "text_fields": ("title",), "rule": "hamming"},
    "paper": {"preset": "paper"},
    "declared": {"labels": ("a", "b"), "minimum_count": 2, "retire_after_instances": 20, "scores_top": 2},
    "river": {"drift_detector": drift.PageHinkley(), "drift_cooldown_rows": 10},
}


def learnt(rows: int, **chosen: Any) -> LabelHierarchyClassifier:
    model = LabelHierarchyClassifier(maximum_features=1024, **chosen)
    model.learn_many(*zip(*ROWS[:rows], strict=True))
    return model


def answers(model: LabelHierarchyClassifier | LabelSetPredictor) -> list[Any]:
    xs = [x for x, _ in ROWS[:10]] + [{"colour": "red", "never seen": 2.0, "title": "A late goal"}, {}]
    return [
        *(answer for x in xs for answer in (model.predict(x), model.predict_one(x), model.predict_proba_one(x))),
        model.predict_many(xs, rule="f1"),
        model.learned,
        model.label_names,
        model.clusters,
        model.state_hash(),
    ]


@pytest.mark.parametrize("chosen", CHOICES.values(), ids=CHOICES)
def test_it_answers_as_the_classifier_did(chosen: dict[str, Any]) -> None:
    model = learnt(60, **chosen)
    then = answers(model)
    predictor = model.snapshot()
    model.learn_many(*zip(*ROWS[60:], strict=True))
    assert answers(predictor) == then != answers(model)


def test_it_shares_no_array_with_the_classifier() -> None:
    for chosen in CHOICES.values():
        model = learnt(60, **chosen)
        copied: Any = model.snapshot()._model
        theirs = copied._model.arrays()
        for name, array in model._model.arrays().items():
            assert not np.shares_memory(array, theirs[name]), name


def test_before_any_learning() -> None:
    model = LabelHierarchyClassifier(maximum_features=1024)
    assert answers(model.snapshot()) == answers(model)


def test_it_can_be_saved_pickled_and_copied(tmp_path: Path) -> None:
    model = learnt(60)
    predictor = model.snapshot()
    model.save(tmp_path / "model.npz")
    predictor.save(tmp_path / "predictor.npz")
    assert (tmp_path / "predictor.npz").read_bytes() == (tmp_path / "model.npz").read_bytes()
    copies: list[Callable[[LabelSetPredictor], LabelSetPredictor]] = [
        lambda each: pickle.loads(pickle.dumps(each)),
        copy.deepcopy,
        copy.copy,
    ]
    for copy_of in copies:
        assert answers(copy_of(predictor)) == answers(predictor)


def test_it_cannot_change() -> None:
    predictor: Any = learnt(5).snapshot()
    assert not [name for name in dir(predictor) if name.startswith("learn") and name != "learned"]
    for name in ("learned", "rule", "label_names"):
        with pytest.raises(AttributeError):
            setattr(predictor, name, 0)
    predictor.label_names.append("another")
    predictor.clusters.clear()
    predictor.predict(ROWS[0][0]).labels.clear()
    assert answers(predictor) == answers(learnt(5))


def test_a_wrong_rule_is_refused() -> None:
    with pytest.raises(UsageError, match="top_k:K"):
        learnt(5).snapshot().predict({}, rule="best")
