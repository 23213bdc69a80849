"""Every part's treatment of labels that a truth does not mention, of labels that join late, and of late truths.

Each test compares the arrays of one part (`StreamModel.arrays`) before and after a row. Expected values are computed
from the documented rules, not by the code under test.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pytest

from streamlearn.codec.decode import decode_instance
from streamlearn.encoder.labels import Truth
from streamlearn.learner.mixture.logistic_mixing import FIRST_SUPPORT_ROW
from streamlearn.model.batch_result import MicroBatchResult
from streamlearn.model.stored_instance import StoredInstance
from streamlearn.model.stream_model import StreamModel
from streamlearn.settings.settings import Settings

Features = Mapping[str, Any]


def new_model(
    *labels: str, maximum: int = 64, minimum_count: int = 1, scores_top: int = 64, detector: str = "adwin"
) -> StreamModel:
    settings = Settings.model_validate(
        {
            "features": {"maximum": 64},
            "labels": {"maximum": maximum, "min_count": minimum_count},
            "learner": {"scores_top": scores_top},
            "drift": {"detector": detector},
        }
    )
    return StreamModel(settings, labels=labels)


def learn(model: StreamModel, *rows: tuple[Features, Truth]) -> MicroBatchResult:
    batch = model.new_batch()
    for x, truth in rows:
        batch.predict_and_learn(x, truth)
    return model.apply(batch)


def stream(seed: int, rows: int, labels: Iterable[str]) -> list[tuple[Features, list[str]]]:
    """Return rows with complete truths; most positives of a label come with a feature of the same name."""
    generator = random.Random(seed)
    found: list[tuple[Features, list[str]]] = []
    for _ in range(rows):
        truth = [name for name in labels if generator.random() < 0.4]
        x = {name: 1.0 for name in truth if generator.random() < 0.8}
        found.append((x | {"noise": generator.gauss(0.0, 1.0), "size": generator.random()}, truth))
    return found


def state(model: StreamModel, *prefixes: str) -> dict[str, np.ndarray]:
    """Return copies of the learner's arrays whose names have one of the prefixes, without ``learner.``."""
    named = {name.removeprefix("learner."): array for name, array in model.arrays().items()}
    return {name: array.copy() for name, array in named.items() if name.startswith(prefixes)}


def assert_same(before: Mapping[str, np.ndarray], after: Mapping[str, np.ndarray]) -> None:
    assert set(before) == set(after)
    for name, array in before.items():
        np.testing.assert_array_equal(after[name], array, err_msg=name)


def of_label(arrays: Mapping[str, np.ndarray], slot: int) -> dict[str, np.ndarray]:
    """Return the values of one label from arrays whose last axis is labels."""
    return {name: array[..., slot] for name, array in arrays.items()}


# Arrays of a part whose last axis is labels.
LINEAR = (
    *(
        "panel.slow_linear.weight",
        "panel.slow_linear.squared",
        "panel.slow_linear.bias",
        "panel.slow_linear.bias_squared",
    ),
    *("panel.fast_linear.weight", "panel.fast_linear.bias"),
)
RATES = ("panel.rates.fast", "panel.rates.slow")
MIXER_OWN = ("mixer.own",)
COMPLETE_ONLY = ("decision.pool.", "decision.tree.", "decision.utility.", "partition.")

PARTIAL: tuple[Features, Truth] = ({"a": 1.0, "b": 1.0, "size": 0.5}, {"a": True, "c": False})
"""A row whose truth does not mention b."""


@pytest.mark.parametrize(
    "arrays", [LINEAR, RATES, MIXER_OWN], ids=["linear experts", "rates", "the mixer's own weights"]
)
def test_a_label_that_a_truth_does_not_mention_stays_unchanged(arrays: tuple[str, ...]) -> None:
    model = new_model("a", "b", "c")
    learn(model, *stream(1, 30, "abc"))
    before = state(model, *arrays)
    learn(model, PARTIAL)
    after = state(model, *arrays)
    assert_same(of_label(before, 1), of_label(after, 1))
    for slot in (0, 2):
        moved = [name for name in before if not np.array_equal(before[name][..., slot], after[name][..., slot])]
        assert moved == list(before), "a label that the truth mentions is learnt"


def test_the_mixer_learns_from_known_labels_only() -> None:
    model = new_model("a", "b", "c")
    start = state(model, "mixer.")
    learn(model, *((x, {"a": "a" in truth}) for x, truth in stream(2, 40, "abc")))
    end = state(model, "mixer.")
    np.testing.assert_array_equal(end["mixer.own"][:, 1:], start["mixer.own"][:, 1:])
    assert not np.array_equal(end["mixer.own"][:, 0], start["mixer.own"][:, 0])
    assert not np.array_equal(end["mixer.shared"], start["mixer.shared"])


def test_the_mixer_takes_no_step_when_no_label_is_known() -> None:
    # The only label of the truth does not fit, so the truth mentions no known label.
    model = new_model("a", "b", maximum=2)
    learn(model, *stream(3, 30, "ab"))
    before = state(model, "mixer.", *LINEAR, *RATES)
    result = learn(model, ({"a": 1.0}, {"another": True}))
    assert result.dropped == {"labels_full": 1}
    assert model.learned == 31
    assert_same(before, state(model, "mixer.", *LINEAR, *RATES))


def test_rates_of_labels_never_true_move_on_complete_rows_only() -> None:
    model = new_model("a", "b")
    learn(model, *stream(4, 10, "ab"))
    before = state(model, "panel.rates.absent")
    learn(model, PARTIAL)
    assert_same(before, state(model, "panel.rates.absent"))
    learn(model, ({}, []))
    np.testing.assert_allclose(
        state(model, "panel.rates.absent")["panel.rates.absent"], before["panel.rates.absent"] * [0.8, 0.99]
    )


ROWS_BEFORE = [(0, 0), (3, 0), (3, 4), (60, 10), (700, 0)]
"""Numbers of complete and of partial rows that are learnt before a label joins."""


def model_before(complete: int, partial: int) -> StreamModel:
    model = new_model("a", "b")
    # Label b is never true, so the mixer's context of labels without positives learns.
    learn(model, *((x, ["a"] if "a" in truth else []) for x, truth in stream(5, complete, "ab")))
    learn(model, *((x, {"a": "a" in truth}) for x, truth in stream(6, partial, "ab")))
    return model


def model_with_late_label(complete: int, partial: int) -> StreamModel:
    """Return a model to which a label joins after these rows, without learning another row."""
    model = model_before(complete, partial)
    model.learner.join_labels(3)
    return model


@pytest.mark.parametrize(("complete", "partial"), ROWS_BEFORE)
def test_linear_experts_start_a_late_label_at_its_base_rate(complete: int, partial: int) -> None:
    arrays = of_label(state(model_with_late_label(complete, partial), *LINEAR), 2)
    rate = max(0.05 * 0.99**complete, 1.0 / (complete + partial + 2))
    for name, array in arrays.items():
        if name.endswith(".bias"):
            assert array == pytest.approx(math.log(rate / (1.0 - rate)), rel=1e-5), name
        else:
            assert not array.any(), name


@pytest.mark.parametrize(("complete", "partial"), ROWS_BEFORE)
def test_rates_start_a_late_label_as_if_it_had_been_known_and_never_true(complete: int, partial: int) -> None:
    arrays = of_label(state(model_with_late_label(complete, partial), *RATES), 2)
    assert arrays["panel.rates.fast"] == pytest.approx(max(0.05 * 0.8**complete, 0.0005))
    assert arrays["panel.rates.slow"] == pytest.approx(max(0.05 * 0.99**complete, 0.0005))


@pytest.mark.parametrize(("complete", "partial"), ROWS_BEFORE)
def test_the_mixer_starts_a_late_label_from_the_shared_weights_of_no_positives(complete: int, partial: int) -> None:
    model = model_before(complete, partial)
    before = state(model, "mixer.")
    model.learner.join_labels(3)
    after = state(model, "mixer.")
    np.testing.assert_array_equal(after["mixer.own"][:, 2], before["mixer.shared"][FIRST_SUPPORT_ROW])
    assert not after["mixer.own_squared"][:, 2].any()
    np.testing.assert_array_equal(after["mixer.own"][:, :2], before["mixer.own"])
    for name in ("mixer.shared", "mixer.final"):
        np.testing.assert_array_equal(after[name], before[name])


def test_counts_pools_and_recent_label_sets_do_not_change_on_a_partial_row() -> None:
    model = new_model("a", "b", "c")
    learn(model, *stream(7, 130, "abc"))
    before = state(model, *COMPLETE_ONLY)
    learn(model, *[PARTIAL] * 600)
    assert_same(before, state(model, *COMPLETE_ONLY))
    learn(model, ({"a": 1.0}, ["a"]))
    after = state(model, *COMPLETE_ONLY)
    for name in (
        "decision.pool.numbers",
        "partition.counts.label_weight",
        "partition.replay.offsets",
        "partition.clock",
    ):
        assert not np.array_equal(before[name], after[name]), name


def test_a_late_label_joins_the_smallest_group() -> None:
    names = [f"l{number:02}" for number in range(20)]
    model = new_model(*names)
    assert [len(group) for group in model.clusters()] == [16, 4]
    learn(model, ({"f": 1.0}, ["late"]))
    assert model.clusters() == [names[:16], [*names[16:], "late"]]


def test_the_next_periods_rebuild_the_tree_with_late_labels() -> None:
    """Labels that always come together end in one cluster, regardless of the group they joined."""
    names = [f"l{number:02}" for number in range(20)]
    late = [f"x{number:02}" for number in range(16)]
    # Without detectors: an alarm would test the partition before its period ends.
    model = new_model(*names, detector="none")
    generator = random.Random(8)
    switched: list[int] = []
    joined: list[list[str]] = []
    for number in range(2_600):
        chosen = [label for label in range(16) if generator.random() < 0.15]
        truth = [names[label] for label in chosen] + [late[label] for label in chosen if number >= 1_000]
        events = learn(model, ({"f": 1.0}, truth)).events
        switched += [event.row for event in events if event.kind == "partition" and event.row > 1_000]
        if number == 1_200:
            joined = model.clusters()
    # A period is 500 rows by then; the first candidate with the new labels is tested one period later.
    assert switched
    assert min(switched) == 1_999
    together = [{names[label], late[label]} for label in range(16)]
    assert sum(any(pair <= set(group) for group in joined) for pair in together) < 8
    assert all(any(pair <= set(group) for group in model.clusters()) for pair in together)


def test_few_complete_rows_are_decided_per_label_and_an_event_reports_the_end_of_this() -> None:
    """Label sets are decided jointly from 10 decayed complete rows on; the decay is 0.9995 per row."""
    needed = next(n for n in range(1, 100) if sum(0.9995**k for k in range(n)) >= 10.0)
    model = new_model("a", "b", "c")
    rows = stream(9, 2 * needed, "abc")
    for number, (x, truth) in enumerate(rows):
        learn(model, PARTIAL)
        batch = model.new_batch()
        answer = batch.predict(x)
        batch.learn(answer, truth)
        result = model.apply(batch)
        if number < needed:
            labels, scores = result.answer(answer)
            assert set(labels) == {name for name, p in scores.items() if p > 0.5}
        events = [event for event in result.events if event.kind == "label"]
        assert len(events) == (number == needed - 1), number
        for event in events:
            assert (event.scope, event.name, event.action) == ("model", "", "none")
            assert event.row == 2 * needed - 1
            assert event.n == needed


def test_measures_of_whole_sets_need_complete_truths_and_those_of_labels_need_known_pairs() -> None:
    model = new_model("a", "b", "c")
    learn(model, *stream(10, 80, "abc"))
    before = model.measures.rows()
    batch = model.new_batch()
    answers = [batch.predict_and_learn({"a": 1.0, "b": 1.0, "size": 0.5}, {"a": True, "c": False}) for _ in range(5)]
    result = model.apply(batch)
    wrong = [("a" not in result.labels(answer)) + ("c" in result.labels(answer)) for answer in answers]
    after = model.measures.rows()
    for name in ("subset_accuracy", "example_f1", "example_jaccard"):
        assert (before[name], after[name]) == (80, 80)
    for name in ("hamming_loss", "micro_f1", "macro_f1"):
        assert (before[name], after[name]) == (80, 85)
    sums = model.arrays()["measures.sums"][0]
    alone = new_model("a", "b", "c")
    learn(alone, *stream(10, 80, "abc"))
    # Two of the three labels are known: each is half of a row's loss.
    assert sums[5] - alone.arrays()["measures.sums"][0][5] == pytest.approx(sum(wrong) / 2.0)
    pairs = model.arrays()["measures.labels"][0] - alone.arrays()["measures.labels"][0]
    assert pairs[:, 1].tolist() == [0, 0, 0], "b is never known"
    assert pairs[0, 0] + pairs[2, 0] == 5, "a is true in all five"


def test_a_list_is_a_negative_for_every_other_label_also_for_those_not_yet_known() -> None:
    """A label that joins after complete rows was false in them; in partial rows it is unknown."""
    complete, partial = new_model(), new_model()
    for _ in range(40):
        learn(complete, ({"f": 1.0}, ["a"]))
        learn(partial, ({"f": 1.0}, {"a": True}))
    for model in (complete, partial):
        model.learner.join_labels(2)
    negative, unknown = (state(model, "panel.rates.slow")["panel.rates.slow"][1] for model in (complete, partial))
    assert negative == pytest.approx(0.05 * 0.99**40)
    assert unknown == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("text", "truth"),
    [('{"x":{},"y":[]}', []), ('{"x":{},"y":{}}', None), ('{"x":{},"y":null}', None), ('{"x":{}}', None)],
)
def test_an_empty_list_is_a_truth_and_an_empty_object_is_none(text: str, truth: list[str] | None) -> None:
    decoded = decode_instance(text.encode(), Settings().limits)
    assert decoded.y == truth


def test_an_empty_list_is_learnt_as_a_complete_row() -> None:
    model = new_model("a")
    learn(model, ({"f": 1.0}, []))
    assert state(model, "panel.rates.slow")["panel.rates.slow"][0] == pytest.approx(0.05 * 0.99)
    assert state(model, "counters")["counters"].tolist() == [1, 1, 1, 1]


def test_a_late_truth_scores_the_original_answer_and_learns_with_the_current_state() -> None:
    model = new_model("a", "b", "c")
    learn(model, *stream(11, 120, "abc"))
    batch = model.new_batch()
    answer = batch.predict({"a": 1.0, "noise": 0.1, "size": 0.4})
    result = model.apply(batch)
    answered, stored = set(result.labels(answer)), StoredInstance.unpacked(result.packed(answer))
    observed, learned = model.observed, model.learned
    learn(model, *stream(12, 60, "abc"))
    assert (model.observed, model.learned) == (observed + 60, learned + 60)
    scaling = {name: array.copy() for name, array in model.arrays().items() if name.startswith("encoder.")}
    before, hits = model.measures.rows()["subset_accuracy"], model.arrays()["measures.sums"][0][1]
    twin = new_model("a", "b", "c")
    twin.load_arrays({name: array.copy() for name, array in model.arrays().items()})
    batch = model.new_batch()
    batch.learn(stored, sorted(answered))
    model.apply(batch)
    assert model.measures.rows()["subset_accuracy"] == before + 1
    assert model.arrays()["measures.sums"][0][1] == hits + 1, "the original answer is scored as a hit"
    assert (model.observed, model.learned) == (observed + 60, learned + 61)
    assert_same(scaling, {name: array for name, array in model.arrays().items() if name.startswith("encoder.")})
    # Decays count learnt rows, so the same truth on another instance changes the rates equally.
    learn(twin, ({"a": 1.0}, sorted(answered)))
    assert_same(state(twin, "panel.rates."), state(model, "panel.rates."))
    # The gradient comes from the current logits, so it is as small as the current error.
    assert not np.array_equal(
        state(model, "panel.slow_linear.weight")["panel.slow_linear.weight"],
        state(twin, "panel.slow_linear.weight")["panel.slow_linear.weight"],
    )


def test_a_label_is_answered_only_after_enough_positives() -> None:
    model = new_model(minimum_count=12)
    answers = [learn(model, ({"f": 1.0}, ["a"])).answer(0) for _ in range(30)]
    assert [labels for labels, _ in answers[:12]] == [[]] * 12
    assert answers[11][1] == {}, "no score either"
    assert [labels for labels, _ in answers[12:]] == [["a"]] * 18
    # Without the minimum count the label is answered earlier.
    eager = new_model()
    assert ["a"] in [learn(eager, ({"f": 1.0}, ["a"])).labels(0) for _ in range(12)]


def test_at_the_maximum_the_least_supported_label_leaves_and_its_slot_is_reset() -> None:
    model = new_model(maximum=3, minimum_count=3)
    learn(model, *[({"a": 1.0}, ["a"])] * 3, *[({"b": 1.0}, ["b"])] * 2, ({"c": 1.0}, ["c"]))
    assert model.label_names == ["a", "b", "c"]
    result = learn(model, ({"d": 1.0}, {"d": True}))
    assert model.label_names == ["a", "b", "d"]
    assert model.arrays()["labels.generations"].tolist() == [0, 0, 1]
    assert result.dropped == {}
    assert state(model, "positives")["positives"].tolist() == [3, 2, 1]
    # The weights of c are gone: only the column of d has a weight.
    weight = state(model, "panel.slow_linear.weight")["panel.slow_linear.weight"][:, 2]
    assert np.flatnonzero(weight).tolist() == [3]


def test_an_old_answer_never_counts_for_a_new_name_in_its_slot() -> None:
    model = new_model(maximum=1, minimum_count=1)
    learn(model, *[({"f": 1.0}, {"old": True})] * 40)
    batch = model.new_batch()
    answer = batch.predict({"f": 1.0})
    result = model.apply(batch)
    assert result.labels(answer) == ["old"]
    stored = StoredInstance.unpacked(result.packed(answer))
    model.change(scores_top=5, minimum_support=100, retire_after=0, drift=model.settings.drift)
    learn(model, ({"f": 1.0}, {"new": True}))
    assert model.label_names == ["new"]
    before = model.arrays()["measures.labels"][0][:, 0].copy()
    batch = model.new_batch()
    batch.learn(stored, {"new": True})
    model.apply(batch)
    assert (model.arrays()["measures.labels"][0][:, 0] - before).tolist() == [0, 0, 1], "missed, not hit"


def test_a_label_beyond_the_maximum_is_dropped_and_the_row_is_learnt_without_it() -> None:
    model, reference = new_model(maximum=2), new_model(maximum=2)
    rows = stream(13, 20, "ab")
    learn(model, *rows, ({"a": 1.0}, ["a", "no room"]))
    learn(reference, *rows)
    result = learn(reference, ({"a": 1.0}, ["a"]))
    assert result.dropped == {}
    assert model.state_hash() == reference.state_hash()
    assert learn(model, ({"a": 1.0}, ["a", "no room", "nor this"])).dropped == {"labels_full": 2}


def test_predictions_alone_change_only_what_is_observed() -> None:
    model = new_model("a", "b")
    learn(model, *stream(14, 60, "ab"))
    learnt = state(model, "")
    batch = model.new_batch()
    for x, _ in stream(15, 60, "ab"):
        batch.predict(x)
    model.apply(batch)
    assert model.observed == 120
    assert_same(
        {name: array for name, array in learnt.items() if not name.startswith("encoder.")},
        {name: array for name, array in state(model, "").items() if not name.startswith("encoder.")},
    )
    frozen = model.state_hash()
    batch = model.new_batch(frozen=True)
    for x, _ in stream(16, 60, "ab"):
        batch.predict({**x, "never seen": 1.0})
    model.apply(batch)
    assert model.state_hash() == frozen
