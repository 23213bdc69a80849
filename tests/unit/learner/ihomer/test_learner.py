"""Preset ``paper`` as a stream model: the laws that hold for every preset, its events, its bounds, its label sets."""

from __future__ import annotations

import random
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from streamlearn import LabelHierarchyClassifier
from streamlearn.engine.tasks.event_records import event_record
from streamlearn.errors import SnapshotError, UsageError
from streamlearn.learner.ihomer.learner import IHomerLearner
from streamlearn.learner.ihomer.regressions import columns_with_weights
from streamlearn.model.model_event import ModelEvent
from streamlearn.model.stored_instance import StoredInstance
from streamlearn.model.stream_model import StreamModel
from streamlearn.records.event import Event
from streamlearn.settings.rule import Rule
from streamlearn.settings.settings import Settings

RULES = [Rule.parse(text) for text in ("subset", "macro", "top_k:2", "threshold:0.4")]


def new_model(preset: str = "paper", **labels: int) -> StreamModel:
    return StreamModel(
        Settings.model_validate(
            {"learner": {"preset": preset}, "labels": {"maximum": 12, **labels}, "features": {"maximum": 32}}
        )
    )


class Stream:
    """Rows of topics that change their meaning half-way; labels are added late, a few more than fit."""

    def __init__(self, rows: int) -> None:
        generator = random.Random(3)
        self.rows: list[tuple[dict[str, Any], Any, bool]] = []
        for row in range(rows):
            topic = generator.randrange(3)
            x = {f"f{topic}_{generator.randrange(2)}": 1.0 + generator.random(), "size": generator.gauss(0.0, 1.0)}
            shown = (topic + 1) % 3 if row > rows // 2 else topic
            truth: Any = [f"a{shown}", f"b{shown}"]
            if row % 50 == 7:
                truth = [*truth, f"rare{row // 50}"]
            if row % 11 == 4:
                truth = {f"a{shown}": True, f"b{(shown + 1) % 3}": False}
            self.rows.append((x, truth, row % 9 == 5))
        self.waiting: list[tuple[StoredInstance, Any]] = []
        self.answers: list[Any] = []
        self.events: list[ModelEvent] = []
        self.applied = 0

    def apply(self, model: StreamModel, first: int, last: int, size: int) -> None:
        """Apply rows in micro-batches of at most ``size``; a late truth comes twenty rows later."""
        for start in range(first, last, size):
            batch = model.new_batch()
            operations, late = [], []
            for row in range(start, min(start + size, last)):
                x, truth, is_late = self.rows[row]
                if is_late:
                    late.append((batch.predict(x, RULES[row % 4]), truth))
                    operations.append(late[-1][0])
                else:
                    operations.append(batch.predict_and_learn(x, truth, RULES[row % 4]))
                if row % 20 == 19 and self.waiting:
                    batch.learn(*self.waiting.pop(0))
            result = model.apply(batch)
            self.answers += [result.answer(operation) for operation in operations]
            self.events += [event._replace(op=0) for event in result.events]
            self.waiting += [(StoredInstance.unpacked(result.packed(operation)), truth) for operation, truth in late]


@pytest.mark.parametrize("size", [1, 20, 700])
def test_any_batch_size_and_any_restart_give_the_same_bits(size):
    straight, stopped = Stream(1400), Stream(1400)
    whole, first = new_model(), new_model()
    straight.apply(whole, 0, 1400, 20)
    if size == 20:
        for cut in (0, 20, 180, 200, 220, 980, 1400):
            stopped.apply(first, stopped.applied, cut, 20)
            stopped.applied = cut
            second = new_model()
            second.load_arrays({name: array.copy() for name, array in first.arrays().items()})
            assert second.state_hash() == first.state_hash()
            first = second
        assert stopped.answers == straight.answers
        assert stopped.events == straight.events
    else:
        straight, stopped = Stream(1400), Stream(1400)
        for stream in (straight, stopped):
            stream.rows = [(x, truth, False) for x, truth, _ in stream.rows]
        whole, first = new_model(), new_model()
        straight.apply(whole, 0, 1400, 20)
        stopped.apply(first, 0, 1400, size)
        assert stopped.answers == straight.answers
        assert stopped.events == straight.events
    assert first.state_hash() == whole.state_hash()


def test_a_longer_stream_has_the_same_beginning():
    short, long = Stream(1400), Stream(1400)
    short.apply(new_model(), 0, 600, 50)
    long.apply(new_model(), 0, 1400, 50)
    assert long.answers[:600] == short.answers
    assert long.events[: len(short.events)] == short.events


def test_predicting_changes_nothing():
    stream, model = Stream(500), new_model()
    stream.apply(model, 0, 500, 50)
    before = model.state_hash()
    frozen = model.new_batch(frozen=True)
    for x, _, _ in stream.rows:
        frozen.predict(x)
        model.probabilities(x)
    model.apply(frozen)
    assert model.state_hash() == before


def test_drift_and_changes_of_clusters_and_trees_are_events():
    stream, model = Stream(3000), new_model()
    stream.rows = [(x, truth, False) for x, truth, _ in stream.rows if isinstance(truth, list)]
    stream.apply(model, 0, len(stream.rows), 100)
    drift = [event for event in stream.events if event.kind == "drift"]
    turned = len(stream.rows) // 2
    assert any(turned - 100 < event.row < turned + 300 for event in drift)
    assert {(event.scope, event.signal, event.direction, event.action) for event in drift} == {
        ("cluster", "loss", "worse", "rebuild")
    }
    assert all(event.after > event.before for event in drift)
    split = [event for event in stream.events if event.kind == "partition"]
    assert split
    assert all(event.signal == "dissimilarity" and event.scope == "cluster" and event.name for event in split)
    assert model.cluster_count == len(model.clusters()) > 1
    assert sorted(name for cluster in model.clusters() for name in cluster) == sorted(model.label_names)
    for event in stream.events:
        Event.model_validate(event_record(event, 0))


def test_an_alternate_tree_is_an_event_of_its_cluster():
    generator = np.random.default_rng(1)
    model = new_model()
    model.learner = learner = IHomerLearner(maximum_labels=12, partition="whole")
    events = []
    for row in range(2600):
        on = generator.random(14) < 0.5
        x = {f"f{column}": 1.0 for column in np.flatnonzero(on)}
        sure = on[4] != on[5] if row >= 1500 else on[3]
        noise = np.flatnonzero(generator.random(3) < 0.5)
        batch = model.new_batch()
        batch.predict_and_learn(x, [f"a{n}" for n in range(3 * sure)] + [f"b{n}" for n in noise])
        events += model.apply(batch).events
    trees = [(event.scope, event.signal, event.direction, event.action) for event in events if event.kind == "tree"]
    begun = [event for event in trees if event[3] == "retest"]
    assert len(begun) == learner.counts["alternates"] > 0
    assert len([event for event in trees if event[3] == "rebuild"]) == learner.counts["switched"]
    assert all(event[:3] == ("cluster", "loss", "worse") for event in begun)


def test_rules_choose_the_set_of_the_method_or_by_score():
    model = new_model()
    stream = Stream(300)
    stream.apply(model, 0, 300, 50)
    rules = ("balanced", "subset", "f1", "hamming", "macro", "top_k:2", "threshold:0.3")
    for x, _, _ in stream.rows[:30]:
        batch = model.new_batch(frozen=True)
        operations = {text: batch.predict(x, Rule.parse(text)) for text in rules}
        result = model.apply(batch)
        answers = {text: set(result.labels(operation)) for text, operation in operations.items()}
        assert len({frozenset(answers[text]) for text in rules[:5]}) == 1
        probability = model.probabilities(x)
        assert len(answers["top_k:2"]) == 2
        assert min(probability[name] for name in answers["top_k:2"]) >= sorted(probability.values())[-2]
        assert answers["threshold:0.3"] == {name for name, p in probability.items() if p >= 0.3}


def test_a_label_with_too_few_positives_is_not_predicted():
    model = new_model(min_count=3)
    for row in range(4):
        batch = model.new_batch()
        operation = batch.predict({"a": 1.0})
        batch.predict_and_learn({"a": 1.0}, ["x"])
        assert model.apply(batch).labels(operation) == (["x"] if row == 3 else [])


def test_columns_beyond_the_bound_have_no_weights():
    learner = IHomerLearner(4)
    learner._hierarchy.state.regressions.pair_capacity[0] = 12
    learner.grow_features(50)
    assert columns_with_weights(learner._hierarchy.state.regressions, 4) == 3
    assert learner.arrays()["paper.weight"].shape[1:] == (3, 4, 10)
    learner.join_labels(6)
    assert learner.arrays()["paper.weight"].shape[1:] == (2, 6, 10)


def test_memory_stays_below_its_bound():
    model = new_model()
    stream = Stream(1000)
    stream.apply(model, 0, 1000, 100)
    assert model.memory_bytes() <= model.memory_bound_bytes()
    StreamModel(Settings.model_validate({"learner": {"preset": "paper"}}))
    with pytest.raises(UsageError, match="memory_bytes"):
        StreamModel(Settings.model_validate({"learner": {"preset": "paper"}, "limits": {"memory_bytes": 2**20}}))


@pytest.mark.parametrize(("one", "other"), [("paper", "default"), ("default", "paper"), ("fast", "paper")])
def test_a_snapshot_of_another_preset_is_refused(one, other):
    arrays = new_model(one).arrays()
    with pytest.raises(SnapshotError, match="preset"):
        new_model(other).load_arrays(arrays)


def test_the_classifier_learns_saves_and_loads(tmp_path):
    model = LabelHierarchyClassifier(preset="paper", maximum_features=64)
    for _ in range(60):
        model.learn_one({"goal": 1, "match": 1}, {"sport"})
        model.learn_one({"vote": 1, "law": 1}, {"politics", "news"})
    model.save(tmp_path / "model")
    again = LabelHierarchyClassifier.load(tmp_path / "model")
    assert again.state_hash() == model.state_hash()
    for each in (model, again):
        assert sorted(each.predict({"law": 1}).labels) == ["news", "politics"]
        assert each.predict_one({"goal": 1})["sport"]


def test_other_presets_do_not_import_it():
    program = (
        "import sys; from streamlearn.settings.settings import Settings;"
        "from streamlearn.model.stream_model import StreamModel;"
        "StreamModel(Settings()); print([name for name in sys.modules if 'learner.ihomer' in name])"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "[]\n"
