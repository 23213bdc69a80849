"""What is refused leaves no trace: after any error the state is what it was, and the classifier can be saved."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import drift

from streamlearn import LabelHierarchyClassifier, warm_up
from streamlearn.errors import StreamlearnError

NAME = st.sampled_from(["a", "b", "new", 1, 0, -5, ("a", 1), np.int64(3), np.str_("c")])
BAD_NAME = st.sampled_from([None, True, 1.5, b"a", "\ud800", float("nan"), ("a", None), 1 << 70, frozenset("a")])
VALUE = st.sampled_from([1, 0.5, True, None, "red", np.float32(2), float("nan"), 1e300])
BAD_VALUE = st.sampled_from([[1], {"a": 1}, b"1", "\udc80", 1j, np.zeros(2), object()])
SIGN = st.sampled_from([True, False, 0, 1, None, np.True_, float("nan"), 1.0])
BAD_SIGN = st.sampled_from([2, 0.2, "0", "no", [1], np.array([1])])
X = st.dictionaries(NAME, VALUE, max_size=4)
Y = st.sets(NAME, max_size=3) | st.dictionaries(NAME, SIGN, max_size=3)
BAD_X = (
    st.dictionaries(BAD_NAME, VALUE, min_size=1, max_size=2)
    | st.dictionaries(NAME, BAD_VALUE, min_size=1, max_size=2)
    | st.sampled_from(["text", 5, None, np.zeros(2), {"a"}])
)
BAD_Y = (
    st.sets(BAD_NAME, min_size=1, max_size=2)
    | st.dictionaries(NAME, BAD_SIGN, min_size=1, max_size=2)
    | st.sampled_from(["sport", [1, 0], [True], None, 5, np.array([1, 0])])
)


@pytest.fixture(scope="module")
def learnt() -> LabelHierarchyClassifier:
    model = LabelHierarchyClassifier(maximum_features=256, maximum_labels=64)
    for row in range(30):
        model.learn_one({"a": row % 2, 1: row % 3, ("b", 2): "red"}, {"p" if row % 2 else 4})
    return model


@given(st.lists(st.tuples(X, Y), max_size=4), BAD_X, Y, st.data())
def test_a_bad_instance_anywhere_in_a_batch(
    learnt: LabelHierarchyClassifier, rows: list[tuple[Any, Any]], x: Any, y: Any, data: st.DataObject
) -> None:
    _check_refused(learnt, rows, (x, y), data.draw(st.integers(0, len(rows))))
    for predict in (learnt.predict, learnt.predict_one, learnt.predict_proba_one, lambda x: learnt.predict_many([x])):
        with pytest.raises(StreamlearnError):
            predict(x)


@given(st.lists(st.tuples(X, Y), max_size=4), X, BAD_Y, st.data())
def test_a_bad_truth_anywhere_in_a_batch(
    learnt: LabelHierarchyClassifier, rows: list[tuple[Any, Any]], x: Any, y: Any, data: st.DataObject
) -> None:
    _check_refused(learnt, rows, (x, y), data.draw(st.integers(0, len(rows))))


def test_an_error_shows_any_object_in_one_line(learnt: LabelHierarchyClassifier) -> None:
    many_lines: Any = drift.binary.DDM()
    assert "\n" in repr(many_lines)
    parameters = inspect.signature(LabelHierarchyClassifier).parameters
    calls: dict[str, Callable[[], object]] = {
        **{name: lambda name=name: LabelHierarchyClassifier(**{name: many_lines}) for name in parameters},
        "a name in labels": lambda: LabelHierarchyClassifier(labels=[many_lines]),
        "x": lambda: learnt.predict(many_lines),
        "X": lambda: learnt.predict_many(many_lines),
        "a feature": lambda: learnt.predict_proba_one({many_lines: 1}),
        "its value": lambda: learnt.predict_one({"a": many_lines}),
        "y": lambda: learnt.learn_one({}, many_lines),
        "Y": lambda: learnt.learn_many([], many_lines),
        "a label": lambda: learnt.learn_one({}, [many_lines]),
        "its sign": lambda: learnt.learn_one({}, {"a": many_lines}),
        "a rule": lambda: learnt.predict({}, rule=many_lines),
        "a preset": lambda: warm_up(many_lines),
    }
    for what, call in calls.items():
        with pytest.raises(StreamlearnError) as refused:
            call()
        assert "\n" not in str(refused.value), what
        assert "DDM ( warm_start=30 warning_t...hold=2. drift_threshold=3. )" in str(refused.value), what


def _check_refused(model: LabelHierarchyClassifier, rows: list[Any], bad: tuple[Any, Any], index: int) -> None:
    before, learned = model.state_hash(), model.learned
    batch = [*rows[:index], bad, *rows[index:]]
    with pytest.raises(StreamlearnError, match=rf"[XY]\[{index}\]"):
        model.learn_many([x for x, _ in batch], [y for _, y in batch])
    with pytest.raises(StreamlearnError):
        model.learn_one(*bad)
    assert (model.state_hash(), model.learned) == (before, learned)


@settings(max_examples=30)
@given(st.lists(st.tuples(X, Y), max_size=6))
def test_what_is_allowed_is_learnt_in_any_batch(rows: list[tuple[Any, Any]]) -> None:
    one, many = (LabelHierarchyClassifier(maximum_features=64, maximum_labels=16) for _ in range(2))
    for x, y in rows:
        one.learn_one(x, y)
    many.learn_many([x for x, _ in rows], [y for _, y in rows])
    assert many.state_hash() == one.state_hash()
    assert many.learned == len(rows)


def test_rows_and_truths_of_different_numbers(learnt: LabelHierarchyClassifier, tmp_path: Path) -> None:
    before = learnt.state_hash()
    with pytest.raises(StreamlearnError, match="X has more entries than Y, which has 1"):
        learnt.learn_many([{"new": 1}] * 2, [{"new"}])
    with pytest.raises(StreamlearnError, match="Y has more entries than X, which has 1"):
        learnt.learn_many([{"new": 1}], [{"new"}] * 2)

    def failing() -> Iterator[Any]:
        yield {"new": 1}
        raise OSError("the source is gone")

    with pytest.raises(OSError, match="source is gone"):
        learnt.learn_many(failing(), [{"new"}] * 2)
    assert learnt.state_hash() == before
    learnt.save(tmp_path / "model.npz")


def test_what_is_dropped_is_counted(tmp_path: Path) -> None:
    model = LabelHierarchyClassifier(maximum_features=2, maximum_labels=2, labels=["p", "q"])
    assert model.dropped == {}
    model.learn_one({"a": 1, "b": float("nan"), "c": float("inf"), "d": 1}, {"p", "r"})
    model.learn_one({"a": 1, "b": 10**400}, {"p", "s", "t"})
    model.predict({"a": float("nan"), "z": 1.0})
    assert model.dropped == {"nan": 1, "infinite": 1, "features_full": 2, "labels_full": 3}
    model.dropped["nan"] = 5
    assert model.dropped["nan"] == 1
    model.save(tmp_path / "model.npz")
    assert LabelHierarchyClassifier.load(tmp_path / "model.npz").dropped == {}
