"""Labels that were not true for many rows retire, at the same row for any size of batch; their slots are reused."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from streamlearn import LabelHierarchyClassifier
from streamlearn.model.batch_result import MicroBatchResult
from streamlearn.model.model_event import ModelEvent
from streamlearn.model.stored_instance import StoredInstance
from streamlearn.model.stream_model import StreamModel
from streamlearn.settings.settings import Settings

Row = tuple[dict[str, float], list[str]]


def new_model(*declared: str, after: int = 20) -> StreamModel:
    settings = Settings.model_validate(
        {
            "features": {"maximum": 64},
            "labels": {"maximum": 64, "retire_after_instances": after},
        }
    )
    return StreamModel(settings, labels=declared)


def learn(model: StreamModel, rows: Sequence[Row]) -> MicroBatchResult:
    batch = model.new_batch()
    for x, truth in rows:
        batch.predict_and_learn(x, truth)
    return model.apply(batch)


def phases() -> list[Row]:
    """Return rows: a is true in all, b in the first and the last ones, c in between."""
    first: list[Row] = [({"b": 1.0}, ["a", "b"])] * 30
    then: list[Row] = [({"c": 1.0}, ["a", "c"])] * 60
    last: list[Row] = [({"b": 1.0, "d": 1.0}, ["a", "b"])] * 60
    return [*first, *then, *last]


def test_a_label_retires_after_the_set_number_of_rows() -> None:
    model = new_model()
    learn(model, phases()[:49])
    assert model.label_names == ["a", "b", "c"]
    events = learn(model, phases()[49:50]).events
    assert model.label_names == ["a", "c"]
    (retired,) = [event for event in events if event.kind == "label"]
    assert retired == ModelEvent(
        op=0, row=49, kind="label", scope="label", name="b", signal="rate", direction="worse",
        before=30 / 50, after=0.0, n=20, since_row=30, action="reset",
    )  # fmt: skip


def test_a_retired_label_is_neither_answered_nor_scored_nor_counted() -> None:
    model = new_model()
    learn(model, phases()[:29])
    result = learn(model, [({"b": 1.0}, ["a", "b"])])
    assert "b" in result.labels(0)
    learn(model, phases()[30:60])
    labels, scores = learn(model, [({"b": 1.0}, ["a"])]).answer(0)
    assert "b" not in labels
    assert "b" not in scores
    assert "" not in scores
    assert set(model.probabilities({"b": 1.0})) == {"a", "c"}
    assert sorted(name for cluster in model.clusters() for name in cluster) == ["a", "c"]
    before = model.arrays()["measures.sums"][0, 5]
    wrong = set(learn(model, [({"c": 1.0}, [])]).labels(0))
    assert model.arrays()["measures.sums"][0, 5] - before == pytest.approx(len(wrong) / 2), "of two labels, not three"


def test_the_slot_is_reused_by_the_next_label_which_starts_untrained() -> None:
    model = new_model()
    learn(model, phases()[:60])
    assert model.arrays()["labels.vacant"].tolist() == [1]
    learn(model, [({"z": 1.0}, ["a", "new"])])
    assert model.label_names == ["a", "new", "c"]
    assert model.arrays()["labels.vacant"].tolist() == []
    weights = model.arrays()["learner.panel.slow_linear.weight"][:, 1]
    z = model.encoder.columns.find("z")
    assert [column for column, weight in enumerate(weights.tolist()) if weight] == [z]


@pytest.mark.parametrize("size", [1, 7, 64])
def test_the_size_of_batches_changes_nothing(size: int) -> None:
    whole, batched = new_model(), new_model()
    events = learn(whole, phases()).events
    found = []
    for start in range(0, len(phases()), size):
        found += [
            event._replace(op=event.op + start) for event in learn(batched, phases()[start : start + size]).events
        ]
    assert found == events
    assert batched.state_hash() == whole.state_hash()
    assert [event.name for event in events if event.signal == "rate" and event.direction == "worse"] == ["b", "c"]


@pytest.mark.parametrize("row", [10, 49, 55, 100])
def test_a_restored_model_continues_as_if_never_stopped(row: int) -> None:
    whole, resumed = new_model(), new_model()
    learn(whole, phases()[:row])
    resumed.load_arrays(whole.arrays())
    learn(whole, phases()[row:])
    learn(resumed, phases()[row:])
    assert resumed.state_hash() == whole.state_hash()
    assert resumed.measures.whole() == whole.measures.whole()


def test_declared_labels_stay_and_none_retires_by_default() -> None:
    model = new_model("b")
    learn(model, phases()[:80])
    assert set(model.label_names) == {"a", "b", "c"}
    without = new_model(after=0)
    learn(without, phases())
    assert without.label_names == ["a", "b", "c"]


def test_a_frozen_model_keeps_its_labels() -> None:
    model = new_model()
    learn(model, phases()[:49])
    batch = model.new_batch(frozen=True)
    for x, truth in phases()[49:80]:
        batch.predict_and_learn(x, truth)
    model.apply(batch)
    assert model.label_names == ["a", "b", "c"]


def test_a_late_truth_never_counts_for_the_slots_next_label() -> None:
    model = new_model()
    learn(model, phases()[:40])
    batch = model.new_batch()
    operation = batch.predict({"b": 1.0})
    stored = StoredInstance.unpacked(model.apply(batch).packed(operation))
    learn(model, [*phases()[40:60], ({"z": 1.0}, ["a", "new"])])
    before = model.arrays()["measures.labels"][0][:, 1].copy()
    batch = model.new_batch()
    batch.learn(stored, {"new": True})
    model.apply(batch)
    assert (model.arrays()["measures.labels"][0][:, 1] - before).tolist() == [0, 0, 1], "missed, not hit"


def test_the_setting_can_change_on_a_running_model() -> None:
    model = new_model(after=0)
    learn(model, phases()[:60])
    model.change(scores_top=5, minimum_support=1, retire_after=20, drift=model.settings.drift)
    learn(model, phases()[60:61])
    assert model.label_names == ["a", "c"]


def test_the_embedded_classifier_retires_labels() -> None:
    model = LabelHierarchyClassifier(maximum_features=64, retire_after_instances=20)
    for x, truth in phases()[:60]:
        model.learn_one(x, truth)
    assert set(model.predict_one({"b": 1.0})) == {"a", "c"}


def test_joining_is_an_event_too() -> None:
    events = learn(new_model(), phases()[:31]).events
    joined = [(event.row, event.name) for event in events if event.kind == "label" and event.scope == "label"]
    assert joined == [(0, "a"), (0, "b"), (30, "c")]
