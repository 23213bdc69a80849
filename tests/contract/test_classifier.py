"""Contract of the embedded classifier: pure predictions, any batch size, cold start, growth, save and load, clone."""

from __future__ import annotations

import copy
import inspect
import pickle
import random
from collections import UserDict
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest
from river import base, drift

from streamlearn import LabelHierarchyClassifier
from streamlearn.errors import SnapshotError, UsageError
from streamlearn.snapshot.format import read_snapshot, write_snapshot
from streamlearn.streams.synthetic import generator

ROWS = list(generator("drifting", seed=1, instances=400))


@pytest.fixture
def learnt() -> LabelHierarchyClassifier:
    model = LabelHierarchyClassifier(maximum_features=1024)
    model.learn_many([row.x for row in ROWS], [row.y or [] for row in ROWS])
    return model


def test_predictions_do_not_change_the_model(learnt: LabelHierarchyClassifier) -> None:
    before = learnt.state_hash()
    for row in ROWS[:250]:
        learnt.predict_one(row.x)
        learnt.predict_proba_one({**row.x, "never seen": 1.0})
        learnt.predict(row.x, rule="hamming")
        learnt.predict_one({"colour": "red", "never seen": 2.0})
    assert learnt.state_hash() == before


@pytest.mark.parametrize("size", [1, 7, 150])
def test_any_batch_size_gives_the_same_bits(learnt: LabelHierarchyClassifier, size: int) -> None:
    model = LabelHierarchyClassifier(maximum_features=1024)
    for start in range(0, len(ROWS), size):
        rows = ROWS[start : start + size]
        if size == 1:
            model.learn_one(rows[0].x, rows[0].y or [])
        else:
            model.learn_many([row.x for row in rows], [row.y or [] for row in rows])
    assert model.state_hash() == learnt.state_hash()
    together = learnt.predict_many([row.x for row in ROWS[:50]])
    assert together == [learnt.predict(row.x) for row in ROWS[:50]]


def test_before_any_learning_and_without_features() -> None:
    model = LabelHierarchyClassifier(maximum_features=1024)
    assert model.predict_one({"a": 1}) == {}
    assert model.predict_proba_one({"a": 1}) == {}
    assert model.predict({}).labels == []
    model.learn_one({}, set())
    model.learn_one({}, {"a"})
    assert set(model.predict_one({})) == {"a"}


def test_river_truths_and_probabilities() -> None:
    model = LabelHierarchyClassifier(maximum_features=1024)
    for _ in range(60):
        model.learn_one({"f": 1}, {"a": True, "b": False})
        model.learn_one({"g": 1}, {"a": False, "b": True})
    assert model.predict_one({"f": 1}) == {"a": True, "b": False}
    probabilities = model.predict_proba_one({"f": 1})
    assert set(probabilities) == {"a", "b"}
    assert all(sum(of_label.values()) == pytest.approx(1.0) for of_label in probabilities.values())
    assert probabilities["a"][True] > 0.7 > 0.3 > probabilities["b"][True]


def test_a_mapping_with_every_label_is_complete() -> None:
    listed, mapped, partial = (
        LabelHierarchyClassifier(maximum_features=1024, labels=("a", "b", "c")) for _ in range(3)
    )
    for row in ROWS[:120]:
        truth = {name: bool(index % 2) != bool(row.y) for index, name in enumerate("abc")}
        listed.learn_one(row.x, {name for name, sign in truth.items() if sign})
        mapped.learn_one(row.x, truth)
        partial.learn_one(row.x, {name: sign for name, sign in truth.items() if name != "c"})
    assert mapped.state_hash() == listed.state_hash()
    assert partial.state_hash() != listed.state_hash()


@pytest.mark.parametrize("size", [1, 7, 120])
def test_completeness_of_a_mapping_depends_on_its_row_and_not_on_the_batch(size: int) -> None:
    model, whole = (LabelHierarchyClassifier(maximum_features=1024) for _ in range(2))
    names = "abcdef"
    truths = [{names[k]: k == row % 3 for k in range(min(6, 1 + row // 20))} for row in range(120)]
    xs = [row.x for row in ROWS[:120]]
    for start in range(0, 120, size):
        model.learn_many(xs[start : start + size], truths[start : start + size])
    for x, truth in zip(xs, truths, strict=True):
        whole.learn_one(x, truth)
    assert model.state_hash() == whole.state_hash()


def test_a_loaded_classifier_continues_like_the_saved_one(learnt: LabelHierarchyClassifier, tmp_path: Path) -> None:
    learnt.save(tmp_path / "model.npz")
    loaded = LabelHierarchyClassifier.load(tmp_path / "model.npz")
    assert loaded.state_hash() == learnt.state_hash()
    for model in (learnt, loaded):
        model.learn_one({"word_01": 1, "new word": 2.0}, {"a new label"})
    assert loaded.state_hash() == learnt.state_hash()
    (tmp_path / "broken.npz").write_bytes((tmp_path / "model.npz").read_bytes()[:-100])
    with pytest.raises(SnapshotError, match=r"broken\.npz"):
        LabelHierarchyClassifier.load(tmp_path / "broken.npz")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"new_parameter": 1}, "saved with new_parameter, which this release"),
        ({"labels": [None]}, "labels has None"),
        ({"rule": "new"}, "saved with parameters that this release refuses: rule is 'new'"),
        ({"labels": ["\ud800"]}, r"refuses: labels: the name '\\ud800'"),
    ],
)
def test_a_file_with_parameters_of_another_kind_is_refused(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    LabelHierarchyClassifier(maximum_features=1024).save(tmp_path / "model.npz")
    manifest, arrays = read_snapshot(tmp_path / "model.npz")
    write_snapshot(tmp_path / "other.npz", arrays, {"classifier": manifest["classifier"] | change})
    with pytest.raises(SnapshotError, match=rf"other\.npz.*{message}"):
        LabelHierarchyClassifier.load(tmp_path / "other.npz")


def test_release_0_1_took_a_name_that_is_twice_for_one(tmp_path: Path) -> None:
    LabelHierarchyClassifier(labels=["a", "b"], maximum_features=1024).save(tmp_path / "model.npz")
    manifest, arrays = read_snapshot(tmp_path / "model.npz")
    write_snapshot(tmp_path / "old.npz", arrays, {"classifier": manifest["classifier"] | {"labels": ["a", "b", "a"]}})
    assert LabelHierarchyClassifier.load(tmp_path / "old.npz").labels == ("a", "b")


def test_a_clone_has_the_parameters_and_no_learnt_state(learnt: LabelHierarchyClassifier) -> None:
    clone = learnt.clone()
    assert clone.maximum_features == 1024
    assert clone.learned == 0


@pytest.mark.parametrize("name", inspect.signature(LabelHierarchyClassifier).parameters)
def test_parameters_are_fixed(name: str, tmp_path: Path) -> None:
    labels, texts = ["a", "b"], ["t"]
    model = LabelHierarchyClassifier(labels=labels, text_fields=texts, maximum_features=64, maximum_labels=16)
    labels.append("c")
    texts.append("u")
    model.learn_one({"f": 1.0}, {"a"})
    model.save(tmp_path / "model.npz")
    copies = [LabelHierarchyClassifier.load(tmp_path / "model.npz"), copy.copy(model), copy.deepcopy(model)]
    copies += [pickle.loads(pickle.dumps(model)), model.clone(), model.clone(include_attributes=True)]
    parameters = model._get_params()
    assert (parameters["labels"], parameters["text_fields"]) == (("a", "b"), ("t",))
    for each in (model, *copies):
        before = each.state_hash()
        for error in (UsageError, AttributeError):
            with pytest.raises(error, match=rf"^{name} cannot be set to 'new': .*model\.clone\({{'{name}': \.\.\.}}\)"):
                setattr(each, name, "new")
        with pytest.raises(UsageError, match=f"{name} cannot be deleted"):
            delattr(each, name)
        with pytest.raises(ValueError, match=name):
            each.mutate({name: "new"})
        assert each._get_params() == parameters
        assert each.state_hash() == before


@pytest.mark.parametrize("detector", ["adwin", drift.PageHinkley()])
def test_a_clone_with_attributes_has_the_learnt_state(detector: str | base.DriftDetector) -> None:
    model = LabelHierarchyClassifier(maximum_features=64, maximum_labels=16, drift_detector=detector)
    model.learn_many([{"a": row % 2} for row in range(20)], [{f"l{row % 2}"} for row in range(20)])
    before = model.state_hash()
    for new_params in (None, {"rule": "f1"}):
        clone = model.clone(new_params, include_attributes=True)
        assert (clone.state_hash(), clone.rule) == (before, "f1" if new_params else "balanced")
        clone.learn_one({"b": 1}, {"new"})
    assert model.state_hash() == before
    with pytest.raises(SnapshotError, match="maximum"):
        model.clone({"maximum_labels": 1}, include_attributes=True)
    assert model.state_hash() == before


def test_text_fields_of_several_types_are_printed() -> None:
    model = LabelHierarchyClassifier(text_fields={("a", 1), 2, "b"})
    assert "text_fields=('b', 2, ('a', 1))" in repr(model)


def test_wrong_parameters_are_refused() -> None:
    with pytest.raises(UsageError, match="top_k:K"):
        LabelHierarchyClassifier().predict({}, rule="best")
    with pytest.raises(UsageError, match="drift_detector"):
        LabelHierarchyClassifier(drift_detector=cast(Any, 5))
    with pytest.raises(UsageError, match="drift_detector"):
        LabelHierarchyClassifier(drift_detector=cast(Any, drift.binary.DDM()))
    with pytest.raises(UsageError, match="paper"):
        LabelHierarchyClassifier(preset="paper", drift_detector=drift.ADWIN())
    with pytest.raises(UsageError, match="page_hinkley"):
        LabelHierarchyClassifier(drift_detector="ddm")
    with pytest.raises(UsageError, match="memory"):
        LabelHierarchyClassifier(memory_bytes=1_000_000)


def drifting_rows(count: int, drift_row: int) -> list[tuple[dict[str, float], set[str]]]:
    """Return rows whose three labels depend on other features from row ``drift_row`` on."""
    generator = random.Random(5)
    rows = []
    for row in range(count):
        on = [label for label in range(3) if generator.random() < 0.4]
        shift = 1 if row >= drift_row else 0
        rows.append(({f"f{(label + shift) % 3}": 1.0 for label in on}, {"abc"[label] for label in on}))
    return rows


def learn(model: LabelHierarchyClassifier, rows: list[tuple[dict[str, float], set[str]]]) -> list[tuple[Any, ...]]:
    """Learn rows; return the drift alarms as row, direction, action, and the signal before and after."""
    alarms = []
    for x, truth in rows:
        model.learn_one(x, truth)
        alarms += [
            (event.row, event.direction, event.action, round(event.before, 9), round(event.after, 9))
            for event in model.events
            if event.kind == "drift"
        ]
    return alarms


@pytest.mark.parametrize("detector", ["adwin", "page_hinkley", "none", drift.ADWIN(), drift.KSWIN(seed=1)])
def test_every_detector_raises_an_event_at_a_drift(detector: str | base.DriftDetector) -> None:
    model = LabelHierarchyClassifier(maximum_features=1024, labels=("a", "b", "c"), drift_detector=detector)
    alarms = learn(model, drifting_rows(900, 600))
    worse = [row for row, direction, *_ in alarms if direction == "worse"]
    if detector == "none":
        assert alarms == []
    else:
        assert any(600 <= row < 800 for row in worse)
    assert all(action == "none" for _, direction, action, *_ in alarms if direction == "better")


def test_a_detector_of_river_is_an_ordinary_parameter(tmp_path: Path) -> None:
    rows = drifting_rows(900, 600)
    detector = drift.ADWIN()
    model = LabelHierarchyClassifier(maximum_features=1024, labels=("a", "b", "c"), drift_detector=detector)
    together = LabelHierarchyClassifier(maximum_features=1024, labels=("a", "b", "c"), drift_detector=detector)
    learn(model, rows[:500])
    together.learn_many([x for x, _ in rows[:500]], [y for _, y in rows[:500]])
    assert together.state_hash() == model.state_hash()
    assert detector.width == 0
    copied = copy.deepcopy(model)
    alarms = learn(model, rows[500:])
    assert alarms
    assert learn(copied, rows[500:]) == alarms, "a copy has the state of the detectors"
    assert learn(together, rows[500:]) == alarms
    assert isinstance(model.clone().drift_detector, drift.ADWIN)
    model.save(tmp_path / "model.npz")
    with pytest.raises(UsageError, match="pass it to load as drift_detector"):
        LabelHierarchyClassifier.load(tmp_path / "model.npz")
    loaded = LabelHierarchyClassifier.load(tmp_path / "model.npz", drift_detector=drift.ADWIN())
    assert loaded.state_hash() == model.state_hash()
    assert loaded.events == []
    replaced = LabelHierarchyClassifier.load(tmp_path / "model.npz", drift_detector="page_hinkley")
    assert learn(replaced, drifting_rows(400, 100)) != []


def test_significance_and_cooldown_are_parameters() -> None:
    rows = drifting_rows(900, 600)

    def alarms(**parameters: Any) -> list[tuple[Any, ...]]:
        model = LabelHierarchyClassifier(maximum_features=1024, labels=("a", "b", "c"), **parameters)
        return learn(model, rows)

    default = alarms()
    strict = alarms(drift_significance=1e-30)
    assert len(strict) < len(default)

    class EveryTwenty(base.DriftDetector):
        """Fires every twenty values."""

        def __init__(self) -> None:
            super().__init__()
            self._seen = 0

        def update(self, x: float) -> None:
            self._seen += 1
            self._drift_detected = self._seen % 20 == 0

    fired = alarms(drift_detector=EveryTwenty(), drift_cooldown_rows=0)
    merged = alarms(drift_detector=EveryTwenty(), drift_cooldown_rows=200)
    assert len(fired) == 45
    assert 2 <= len(merged) <= 10
    for direction in ("worse", "better"):
        alarm_rows = [row for row, alarm_direction, *_ in merged if alarm_direction == direction]
        assert all(later - earlier >= 200 for earlier, later in pairwise(alarm_rows))


@pytest.mark.parametrize("kind", [dict, list])
def test_an_iterator_may_give_one_object_again_and_again(kind: type) -> None:
    def instances() -> Iterator[Any]:
        x: Any = kind()
        for row in range(6):
            x.clear()
            x.update({f"new {row}": 1.0, "colour": f"c{row}"}) if kind is dict else x.extend([row] * (row + 1))
            yield x

    one, many = (LabelHierarchyClassifier(maximum_features=64, maximum_labels=16) for _ in range(2))
    for row, x in enumerate(instances()):
        one.learn_one(x, {f"l{row % 2}"})
    many.learn_many(instances(), [{f"l{row % 2}"} for row in range(6)])
    assert many.state_hash() == one.state_hash()
    assert many.predict_many(instances()) == [one.predict(x) for x in instances()]


def test_a_mapping_is_read_once() -> None:
    class Once(UserDict[str, Any]):
        reads = 0

        def __iter__(self) -> Iterator[str]:
            self.reads += 1
            if self.reads > 1:
                raise OSError("the connection is gone")
            return super().__iter__()

    model = LabelHierarchyClassifier(maximum_features=64)
    model.learn_one(Once(a=1.0, b=2.0), Once(p=True, q=False))
    model.learn_one(Once(a=1.0, b=2.0), {"p"})
    assert model.predict(Once(a=1.0, b=2.0)).labels == ["p"]
    assert model.learned == 2
