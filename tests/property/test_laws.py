"""Laws of the learner: a longer stream gives the same first answers, and the order of names changes no answer.

Sums over columns and labels run in the order of their indices, so another order rounds differently: scores agree to
1e-4. Of columns that split a label's tree equally well, the one declared or seen first wins; of columns first seen in
the same record, the first in alphabetical order wins. Without the trees, any order of declared features agrees too.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest

from streamlearn.learner.ensemble_learner import EnsembleLearner
from streamlearn.learner.operations import Operations
from streamlearn.model.stored_instance import StoredInstance
from streamlearn.model.stream_model import StreamModel
from streamlearn.settings import presets
from streamlearn.settings.settings import Settings
from streamlearn.streams.synthetic import generator

ROUNDING = 1e-4
Row = tuple[dict[str, Any], list[str]]
Answer = tuple[list[str], dict[str, float]]


def generate_rows(name: str, count: int, seed: int) -> list[Row]:
    return [(dict(row.x), list(row.y or [])) for row in generator(name, seed=seed, instances=count)]  # pyright: ignore[reportArgumentType, reportCallIssue]


def predict_and_learn(rows: Sequence[Row], labels: Sequence[str], features: Sequence[str]) -> list[Answer]:
    settings = Settings.model_validate(
        {"features": {"maximum": 512}, "labels": {"maximum": 64}, "learner": {"scores_top": 64}}
    )
    model = StreamModel(settings, labels=labels, features=features)
    batch = model.new_batch()
    for x, truth in rows:
        batch.predict_and_learn(x, truth)
    result = model.apply(batch)
    return [result.answer(operation) for operation in range(len(rows))]


def assert_agree(one: Sequence[Answer], other: Sequence[Answer]) -> None:
    for row, ((_, scores), (_, others)) in enumerate(zip(one, other, strict=True)):
        assert scores.keys() == others.keys(), f"row {row}"
        for name, score in scores.items():
            assert others[name] == pytest.approx(score, abs=ROUNDING), f"row {row}, {name}"
    different = [row for row, (a, b) in enumerate(zip(one, other, strict=True)) if set(a[0]) != set(b[0])]
    assert len(different) <= len(one) // 100, f"answers differ in rows {different}"


@pytest.fixture(scope="module", params=["drifting", "meta-features-sudden"])
def stream(request: pytest.FixtureRequest) -> list[Row]:
    return generate_rows(request.param, 400, 3)


@pytest.fixture(scope="module")
def labels(stream: list[Row]) -> list[str]:
    return sorted({name for _, truth in stream for name in truth})


@pytest.fixture(scope="module")
def features(stream: list[Row]) -> list[str]:
    return list(dict.fromkeys(name for x, _ in stream for name in x))


def shuffle(names: Sequence[str], seed: int) -> list[str]:
    order = list(names)
    random.Random(seed).shuffle(order)
    return order


@pytest.mark.parametrize("length", [1, 57, 399])
def test_a_longer_stream_gives_the_same_first_answers(stream: list[Row], labels: list[str], length: int) -> None:
    assert predict_and_learn(stream[:length], labels, ()) == predict_and_learn(stream, labels, ())[:length]


@pytest.mark.parametrize("seed", [1, 2])
def test_the_order_of_labels_changes_nothing(
    stream: list[Row], labels: list[str], features: list[str], seed: int
) -> None:
    other = predict_and_learn(stream, shuffle(labels, seed), features)
    assert_agree(predict_and_learn(stream, labels, features), other)


@pytest.mark.parametrize("seed", [1, 2])
def test_the_order_of_features_changes_nothing(
    stream: list[Row], labels: list[str], features: list[str], seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_trees = tuple(name for name in presets.EXPERTS["default"] if name != "label_tree")
    monkeypatch.setitem(presets.EXPERTS, "default", without_trees)
    rows = [({name: x[name] for name in shuffle(list(x), row)}, truth) for row, (x, truth) in enumerate(stream)]
    other = predict_and_learn(rows, labels, shuffle(features, seed))
    assert_agree(predict_and_learn(stream, labels, features), other)


@pytest.mark.parametrize("declared", [True, False])
def test_the_order_of_features_within_a_record_changes_no_bit(
    stream: list[Row], labels: list[str], declared: bool
) -> None:
    columns = sorted({name for x, _ in stream for name in x}) if declared else []
    rows = [({name: x[name] for name in shuffle(list(x), row)}, truth) for row, (x, truth) in enumerate(stream)]
    assert predict_and_learn(rows, labels, columns) == predict_and_learn(stream, labels, columns)


@pytest.mark.parametrize("preset", ["default", "paper"])
@pytest.mark.parametrize("size", [1, 7, 90])
def test_the_size_of_batches_changes_nothing_for_truths_that_come_after_their_answers(
    stream: list[Row], labels: list[str], preset: str, size: int
) -> None:
    """A truth comes in the batch that answered its instance or in a later one, five instances after it."""
    settings = Settings.model_validate({"learner": {"preset": preset}})
    together, batched = (StreamModel(settings, labels=labels) for _ in range(2))
    batch = together.new_batch()
    operations: list[int] = []
    for row, (x, _) in enumerate(stream):
        operations.append(batch.predict(x))
        if row >= 5:
            batch.learn(operations[row - 5], stream[row - 5][1])
    whole = together.apply(batch)
    answers: list[object] = []
    stored: dict[int, StoredInstance] = {}
    for start in range(0, len(stream), size):
        batch = batched.new_batch()
        current: dict[int, int] = {}
        for row in range(start, min(start + size, len(stream))):
            current[row] = batch.predict(stream[row][0])
            if row >= 5:
                batch.learn(current[row - 5] if row - 5 in current else stored[row - 5], stream[row - 5][1])
        result = batched.apply(batch)
        answers += [result.answer(operation) for operation in current.values()]
        stored |= {row: StoredInstance.unpacked(result.packed(operation)) for row, operation in current.items()}
    assert answers == [whole.answer(operation) for operation in operations]
    assert batched.state_hash() == together.state_hash()


def test_a_truth_in_the_batch_that_answered_its_instance_needs_no_segment_of_its_own(
    stream: list[Row], labels: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    apply = EnsembleLearner.apply

    def counted(self: EnsembleLearner, operations: Operations) -> Any:
        sizes.append(operations.kind.size)
        return apply(self, operations)

    monkeypatch.setattr(EnsembleLearner, "apply", counted)
    model = StreamModel(Settings(), labels=labels)
    batch = model.new_batch()
    for x, truth in stream:
        batch.learn(batch.predict(x), truth)
    model.apply(batch)
    assert sizes == [2 * len(stream)]
