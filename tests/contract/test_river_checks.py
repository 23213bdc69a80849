"""river's estimator checks, on our generator instead of the data set that river would download.

`check_predict_one_pure` and `check_predict_one_before_any_learn` call no method of a multi-label classifier, and
`check_learn_one` passes no list or set as the truth: the last tests of this file cover both.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, cast

import pytest
from river import base, checks

from streamlearn import LabelHierarchyClassifier
from streamlearn.streams.synthetic import generator

PARAMETERS = list(LabelHierarchyClassifier._unit_test_params())
GENERAL = {
    *("check_repr", "check_str", "check_tags", "check_doc", "check_init_has_default_params_for_tests"),
    *("check_init_default_params_are_not_mutable", "check_clone_same_class", "check_clone_is_idempotent"),
    *("check_clone_changes_memory_addresses", "check_mutate_can_be_idempotent", "check_pickling_supports_roundtrip"),
    *("check_repr_roundtrips_clone", "check_clone_with_new_params_applies", "check_get_params_matches_signature"),
}
ON_DATA = {
    *("check_learn_one", "check_pickling", "check_shuffle_features_no_impact", "check_emerging_features"),
    *("check_disappearing_features", "check_radically_disappearing_features", "check_predict_one_pure"),
    *("check_predict_one_before_any_learn", "check_no_state_aliasing_with_input", "check_clone_is_independent"),
    "check_bounded_memory_growth",
}


def instances(count: int) -> list[tuple[dict[str, Any], dict[str, bool]]]:
    """Return instances with at least four features, and their truths as river's dictionaries."""
    rows = islice((row for row in generator("drifting", seed=3, instances=10_000) if len(row.x) >= 4), count)
    labelled: list[tuple[Any, list[str]]] = [(dict(cast(Any, row.x)), list(row.y or [])) for row in rows]
    names = sorted({name for _, truth in labelled for name in truth})
    return [(x, {name: name in truth for name in names}) for x, truth in labelled]


def generated_datasets(model: base.Estimator, scale: int = 1) -> Iterator[list[tuple[dict[str, Any], dict[str, bool]]]]:
    yield instances(50 * scale)


def all_checks() -> list[Callable[[base.Estimator], None]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checks, "_yield_datasets", generated_datasets)
        return list(checks.yield_checks(LabelHierarchyClassifier()))


CHECKS = all_checks()


def test_river_has_the_expected_checks() -> None:
    assert {check.__name__ for check in CHECKS} >= GENERAL | ON_DATA


@pytest.mark.parametrize("parameters", PARAMETERS, ids=str)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_river_check(check: Callable[[base.Estimator], None], parameters: dict[str, Any]) -> None:
    assert check.__name__ not in LabelHierarchyClassifier(**parameters)._unit_test_skips()
    random.seed(11)
    check(LabelHierarchyClassifier(**parameters))


@pytest.mark.parametrize("parameters", PARAMETERS, ids=str)
def test_predictions_before_any_learning(parameters: dict[str, Any]) -> None:
    model = LabelHierarchyClassifier(**parameters)
    for x, _ in instances(5):
        assert model.predict_one(x) == dict.fromkeys(parameters.get("labels", ()), False)
        probabilities = model.predict_proba_one(x)
        assert set(probabilities) == set(parameters.get("labels", ()))
        assert all(0.0 < of_label[True] < 0.5 for of_label in probabilities.values())


@pytest.mark.parametrize("parameters", PARAMETERS, ids=str)
def test_no_method_changes_its_arguments(parameters: dict[str, Any]) -> None:
    model = LabelHierarchyClassifier(**parameters)
    for x, y in instances(30):
        truth: Any = [name for name, sign in y.items() if sign]
        for argument in (y, truth, set(truth)):
            x_before, argument_before = copy.deepcopy(x), copy.deepcopy(argument)
            model.learn_one(x, argument)
            model.predict_one(x)
            model.predict_proba_one(x)
            model.predict(x, rule="top_k:2")
            assert (x, argument) == (x_before, argument_before)
            assert list(x) == list(x_before)


def test_river_s_default_prediction_follows_the_probabilities() -> None:
    model = LabelHierarchyClassifier(rule="threshold:.5")
    rows = instances(300)
    for x, y in rows:
        model.learn_one(x, y)
    for x, _ in rows[:50]:
        assert base.MultiLabelClassifier.predict_one(model, cast(Any, x)) == model.predict_one(x)


def test_a_copy_is_independent() -> None:
    rows = instances(60)
    model = LabelHierarchyClassifier(labels=["z", "y"])
    for x, y in rows[:40]:
        model.learn_one(x, y)
    other = copy.deepcopy(model)
    assert other.state_hash() == model.state_hash()
    assert other._get_params() == {**model._get_params(), "labels": ("z", "y")}
    before = model.state_hash()
    for x, y in rows[40:]:
        other.learn_one(x, y)
    assert model.state_hash() == before
    for x, y in rows[40:]:
        model.learn_one(x, y)
    assert model.state_hash() == other.state_hash()
