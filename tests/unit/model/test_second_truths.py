"""Second truths by label names: batches of any size give the same results, also when labels join, in every preset."""

from __future__ import annotations

import random
from typing import Any

import pytest

from streamlearn.encoder.labels import LabelTable
from streamlearn.model.batch_result import MicroBatchResult
from streamlearn.model.micro_batch import MicroBatch
from streamlearn.model.stored_instance import StoredInstance
from streamlearn.model.stream_model import StreamModel
from streamlearn.settings.settings import Settings

NAMES = ["a", "b", "c", "d", "e"]


class Stream:
    """Random operations: instances are answered, learnt, learnt late, and corrected by second truths."""

    def __init__(self, model: StreamModel, seed: int, size: int) -> None:
        self.model = model
        self.draw = random.Random(seed)
        self.size = size
        self.instances: list[dict[str, Any]] = []
        self.answers: list[Any] = []
        self.batch: MicroBatch
        self.open: list[tuple[dict[str, Any], str, int]]
        self.begin()

    def begin(self) -> None:
        self.batch, self.open = self.model.new_batch(), []

    def end(self) -> None:
        result: MicroBatchResult = self.model.apply(self.batch)
        for instance, what, operation in self.open:
            if what == "instance":
                self.answers.append(result.answer(operation))
                instance["instance"] = StoredInstance.unpacked(result.packed(operation))
            else:
                instance["row"], instance["learned_by"] = result.learned(operation), -1
        self.begin()

    def run(self, steps: int) -> None:
        draw = self.draw
        for step in range(steps):
            if draw.random() < 0.5 or not self.instances:
                x = {f"f{draw.randrange(5)}": draw.gauss(0, 1), "g": draw.choice("xyz")}
                truth = self.truth(None) if draw.random() < 0.7 else None
                operation = self.batch.predict(x) if truth is None else self.batch.predict_and_learn(x, truth)
                instance = {"instance": operation, "truth": truth, "row": -1, "learned_by": -1}
                self.open.append((instance, "instance", operation))
                self.instances.append(instance)
                if truth is not None:
                    instance["learned_by"] = operation
                    self.open.append((instance, "truth", operation))
            else:
                instance = draw.choice(self.instances[-12:])
                before, after = instance["truth"], self.truth(instance["truth"])
                stored: StoredInstance | int = instance["instance"]
                if before is None:
                    operation = instance["learned_by"] = self.batch.learn(stored, after)
                    self.open.append((instance, "truth", operation))
                else:
                    learned_by = instance["learned_by"]
                    self.batch.correct(stored, before, after, row=instance["row"], learned_by=learned_by)
                instance["truth"] = after
            if step % self.size == self.size - 1:
                self.end()
        self.end()

    def truth(self, before: Any) -> Any:
        draw = self.draw
        names = NAMES if draw.random() < 0.9 else [f"rare{draw.randrange(9)}"]
        listed = sorted(name for name in names if draw.random() < 0.4)
        if isinstance(before, list) or draw.random() < 0.4:
            return listed
        return {**(before or {}), **{name: draw.random() < 0.5 for name in names if draw.random() < 0.5}, "a": True}


def run(preset: str, size: int, seed: int) -> tuple[str, list[Any], dict[str, Any], list[int]]:
    sections = {"learner": {"preset": preset}, "labels": {"maximum": 8, "min_count": 3}, "features": {"maximum": 16}}
    model = StreamModel(Settings.model_validate(sections))
    stream = Stream(model, seed, size)
    stream.run(260)
    return model.state_hash(), stream.answers, model.measures.whole(), model.labels.generations


@pytest.mark.parametrize("preset", ["default", "fast", "paper"])
def test_the_size_of_batches_changes_nothing(preset: str) -> None:
    whole = run(preset, 1_000, 3)
    assert max(whole[3]) > 0, "no label has left for another"
    for size in (1, 13):
        assert run(preset, size, 3) == whole


def test_a_frozen_model_scores_a_second_truth_and_learns_nothing() -> None:
    model = StreamModel(Settings())
    batch = model.new_batch()
    first = batch.predict_and_learn({"a": 1}, {"x": True})
    stored = StoredInstance.unpacked(model.apply(batch).packed(first))
    before = {name: array.copy() for name, array in model.arrays().items()}
    batch = model.new_batch(frozen=True)
    batch.correct(stored, {"x": True}, ["x", "y"], row=0)
    model.apply(batch)
    after = model.arrays()
    changed = {name.partition(".")[0] for name, array in before.items() if after[name].tobytes() != array.tobytes()}
    assert changed == {"measures"}
    assert model.measures.rows()["subset_accuracy"] == 1


def test_measures_score_each_label_once_and_the_set_once_it_is_complete() -> None:
    in_parts, at_once = StreamModel(Settings()), StreamModel(Settings())
    for model in (in_parts, at_once):
        batch = model.new_batch()
        for _ in range(3):
            batch.predict_and_learn({"a": 1}, ["x", "y"])
        waits = batch.predict({"a": 1})
        if model is at_once:
            batch.learn(waits, ["x"])
        else:
            learned = batch.learn(waits, {"x": True})
            batch.correct(waits, {"x": True}, {"x": True, "y": False}, learned_by=learned)
            batch.correct(waits, {"x": True, "y": False}, ["x"], learned_by=learned)
        model.apply(batch)
    whole, parts = at_once.measures, in_parts.measures
    counted = whole.arrays()["labels"], parts.arrays()["labels"]
    assert counted[0].tolist() == counted[1].tolist()
    for name in ("subset_accuracy", "example_f1", "example_jaccard", "micro_f1", "macro_f1"):
        assert whole.whole()[name] == parts.whole()[name], name
    assert (whole.scored, parts.scored) == (4, 5), "a truth that adds a label is another row of the window"


def test_only_labels_of_the_truth_join() -> None:
    table = LabelTable(3, retire_after=2)
    table.resolve(["a", "b"])
    found = table.correct(["a", "b"], ["a", "c"])
    assert (found.joined, found.before, found.after) == ([2], {0: 1, 1: 1}, {0: 1, 2: 1})
    assert table.supports == [1, 1, 1]
    assert table.correct({"gone": True}, {"gone": True, "a": False}).joined == [], (
        "a label of the first truth has retired, so it does not join"
    )
    full = table.correct([], ["d"])
    assert (full.refused, full.after) == (1, {})
    assert table.correct([], ["d"], join=False).refused == 0
