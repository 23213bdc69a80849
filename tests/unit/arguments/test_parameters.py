"""Errors about parameters of the embedded class call them by their names."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
from river import drift

from streamlearn import LabelHierarchyClassifier
from streamlearn.arguments.parameters import SETTING_OF, as_settings
from streamlearn.errors import UsageError
from streamlearn.settings.loading import setting_names


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"preset": "x"}, "preset is 'x': Input should be 'default', 'fast' or 'paper'"),
        ({"rule": "top"}, "rule is 'top': .* choose one of balanced"),
        ({"rule": None}, "rule is None"),
        ({"partition": "x"}, "partition is 'x'"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 1.5}, "seed is 1.5"),
        ({"seed": True}, "seed is True"),
        ({"scores_top": -1}, "scores_top is -1"),
        ({"minimum_count": 0}, "minimum_count is 0"),
        ({"retire_after_instances": -1}, "retire_after_instances is -1"),
        ({"maximum_labels": 0}, "maximum_labels is 0"),
        ({"maximum_features": 0}, "maximum_features is 0"),
        ({"maximum_features": 10**9}, "with maximum_features = 1,000,000,000 .* above memory_bytes ="),
        ({"memory_bytes": 5}, "above memory_bytes = 5"),
        ({"drift_significance": 2.0}, "drift_significance is 2.0"),
        ({"drift_cooldown_rows": -1}, "drift_cooldown_rows is -1"),
        ({"drift_detector": "ddm"}, "drift_detector is 'ddm': Input should be 'adwin', 'page_hinkley' or 'none'"),
        ({"drift_detector": 5}, "drift_detector is 5"),
        ({"preset": "paper", "drift_significance": 0.5}, "preset = paper has its own .* drift_detector, drift_signif"),
        ({"preset": "paper", "drift_detector": drift.ADWIN()}, "leave out drift_detector"),
        ({"labels": "sport"}, "labels is 'sport' of type str: pass a list of names"),
        ({"labels": {"a"}}, "labels is {'a'} of type set: pass a list of names, whose order"),
        ({"labels": [0.5]}, "labels: the name 0.5"),
        ({"text_fields": "title"}, "text_fields is 'title' of type str: pass a list of names"),
    ],
)
def test_errors_name_parameters(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as refused:
        LabelHierarchyClassifier(**parameters)
    assert not [setting for setting in setting_names() if setting in str(refused.value)]


def test_every_parameter_that_is_no_list_of_names_is_a_setting() -> None:
    parameters = set(inspect.signature(LabelHierarchyClassifier).parameters)
    assert parameters - set(SETTING_OF) == {"labels", "text_fields"}
    assert set(SETTING_OF.values()) <= set(setting_names())


def test_all_faults_are_named_at_once() -> None:
    with pytest.raises(UsageError, match=r"(?s)(?=.*seed is -1)(?=.*preset is 'x')"):
        as_settings({"seed": -1, "preset": "x"})


def test_numbers_of_numpy_are_numbers() -> None:
    model = LabelHierarchyClassifier(seed=int(np.int64(3)), drift_significance=0.05)
    same = LabelHierarchyClassifier(seed=np.int64(3), drift_significance=np.float64(0.05))  # pyright: ignore[reportArgumentType]
    for each in (model, same):
        each.learn_many([{"a": 1}] * 5, [{"p"}] * 5)
    assert same.state_hash() == model.state_hash()
