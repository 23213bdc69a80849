"""Names of features and labels may be texts, integers and tuples of these, everywhere in the embedded class."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from river import feature_extraction, preprocessing, stream

from streamlearn import LabelHierarchyClassifier
from streamlearn.errors import UsageError


def _check_round_trips(model: LabelHierarchyClassifier, x: Any, path: Path) -> None:
    model.save(path)
    for other in (LabelHierarchyClassifier.load(path), pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert other.state_hash() == model.state_hash()
        assert other.predict(x) == model.predict(x)
        assert list(map(repr, other.predict_one(x))) == list(map(repr, model.predict_one(x)))
        other.learn_one(x, {"another label", 77})
        assert other.predict_proba_one(x).keys() == {*model.predict_proba_one(x), "another label", 77}


def test_1_and_the_text_1_are_two_labels_and_two_features(tmp_path: Path) -> None:
    model = LabelHierarchyClassifier(labels=[3, "3", ("n", 1)], maximum_features=1024)
    for _ in range(60):
        model.learn_one({1: 1.0}, {1, 3})
        model.learn_one({"1": 1.0}, {"1"})
        model.learn_one({("a", 1): 1.0, 2: "red"}, {("n", 1)})
    assert sorted(map(repr, model.predict({1: 1.0}).labels)) == ["1", "3"]
    assert model.predict({"1": 1.0}).labels == ["1"]
    assert model.predict({("a", 1): 1.0, 2: "red"}).labels == [("n", 1)]
    assert list(model.predict_one({})) == [3, "3", ("n", 1), 1, "1"]
    assert {name for cluster in model.clusters for name in cluster} == {3, "3", ("n", 1), 1, "1"}
    _check_round_trips(model, {1: 1.0}, tmp_path / "model.npz")
    assert LabelHierarchyClassifier.load(tmp_path / "model.npz").labels == (3, "3", ("n", 1))


def test_a_nominal_value_of_an_integer_is_not_that_of_its_text() -> None:
    model, same = (LabelHierarchyClassifier(maximum_features=1024) for _ in range(2))
    for _ in range(60):
        model.learn_many([{2: "red"}, {"2": "red"}], [{"integer"}, {"text"}])
        same.learn_many([{np.int64(2): np.str_("red")}, {np.str_("2"): "red"}], [{np.str_("integer")}, {"text"}])
    assert model.predict({2: "red"}).labels == ["integer"]
    assert model.predict({"2": "red"}).labels == ["text"]
    assert same.state_hash() == model.state_hash()


def test_text_fields_may_have_any_name() -> None:
    models = [LabelHierarchyClassifier(maximum_features=1024, text_fields=[name]) for name in ("t", 0, ("t", 0))]
    for model, name in zip(models, ("t", 0, ("t", 0)), strict=True):
        for _ in range(20):
            model.learn_one({name: "goal by the home team"}, {"sport"})
            model.learn_one({name: "a new law"}, {"politics"})
        assert model.predict({name: "home goal"}).labels == ["sport"]
    assert len({model.state_hash() for model in models}) == 1


def test_the_order_in_which_names_of_several_types_join_is_fixed() -> None:
    names: list[Any] = ["b", 2, ("c", 1), "a", ("c", "1"), 10, "10"]
    hashes = set()
    for order in (names, names[::-1], names[3:] + names[:3]):
        model = LabelHierarchyClassifier(maximum_features=1024)
        model.learn_one(dict.fromkeys(order, 1.0), list(order))
        model.learn_one(dict.fromkeys(order, 1.0), dict.fromkeys(order, True))
        hashes.add(model.state_hash())
        assert list(model.predict_one({})) == ["10", "a", "b", 2, 10, ("c", "1"), ("c", 1)]
    assert len(hashes) == 1


def test_rivers_integers_and_tuples(tmp_path: Path) -> None:
    X = np.array([[1.0, 0.0], [0.0, 1.0]] * 30)
    Y = np.array([[1, 0], [0, 1]] * 30)
    model = LabelHierarchyClassifier(maximum_features=1024)
    for x, y in stream.iter_array(X, Y):
        model.learn_one(x, y)
    assert model.predict_one({0: 1.0, 1: 0.0}) == {0: True, 1: False}
    _check_round_trips(model, {0: 1.0, 1: 0.0}, tmp_path / "array.npz")

    ngrams = feature_extraction.BagOfWords(ngram_range=(1, 2))
    hasher = preprocessing.FeatureHasher(n_features=64, seed=1)  # its names are integers
    for transform in (ngrams, hasher):
        model = LabelHierarchyClassifier(maximum_features=1024)
        for text, label in [("a late goal", "sport"), ("a new law", "politics")] * 30:
            source: Any = text if transform is ngrams else dict.fromkeys(text.split(), 1)
            model.learn_one(transform.transform_one(source), {label})
        source = "late goal" if transform is ngrams else {"late": 1, "goal": 1}
        x = transform.transform_one(source)
        assert not all(isinstance(name, str) for name in x)
        assert model.predict(x).labels == ["sport"]
        _check_round_trips(model, x, tmp_path / "text.npz")


def test_a_name_that_equals_a_known_one_but_is_of_another_type_is_refused_at_any_row() -> None:
    model = LabelHierarchyClassifier(maximum_features=1024)
    for _ in range(5):
        model.learn_one({1: 1.0, 0: 2.0}, [1, "a"])
    before = model.state_hash()
    wrong: list[Any] = [{True: 1.0, False: 2.0}, {1.0: 1.0, 0.0: 2.0}, {1: 1.0, 0.0: 2.0}]
    for x in wrong:
        for call in (lambda x=x: model.learn_one(x, {"a"}), lambda x=x: model.predict(x)):
            with pytest.raises(UsageError, match="is of type"):
                call()
    for y in ({True, "a"}, {1.0, "a"}, [True, "a"], {1.0: True}):
        with pytest.raises(UsageError, match="is of type"):
            model.learn_one({1: 1.0}, y)
    assert model.state_hash() == before


def test_events_carry_names_as_they_were_given() -> None:
    model = LabelHierarchyClassifier(maximum_features=1024, retire_after_instances=3)
    joined: list[Any] = []
    retired: list[Any] = []
    for y in ({0, ("a", 1), ""}, {"b"}, {"b"}, {"b"}, {"b"}):
        model.learn_one({"f": 1.0}, y)
        for event in model.events:
            if event.kind == "label":
                (joined if event.direction == "better" else retired).append(event.name)
    assert joined == ["", 0, ("a", 1), "b"]
    assert retired == ["", 0, ("a", 1)]
