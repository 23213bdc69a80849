"""Baselines: each runs on every kind of stream, and remarks say what it cannot do."""

from __future__ import annotations

import importlib.util
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from streamlearn.cli.app import app
from streamlearn.errors import UsageError
from streamlearn.evaluation.baselines import BASELINES, STREAMLEARN, BaselineSetup, baseline, check_learner
from streamlearn.evaluation.prequential import evaluate_stream
from streamlearn.settings.settings import Settings
from streamlearn.streams import open_stream
from streamlearn.streams.base import StreamRow
from tests.datasets import dataset

NEEDS_VOWPAL_WABBIT = pytest.mark.skipif(
    importlib.util.find_spec("vowpalwabbit") is None, reason="Vowpal Wabbit is absent: pip install 'streamlearn[vw]'"
)


def learner_parameters(names: Sequence[str]) -> list[object]:
    """Return names as test parameters; those of Vowpal Wabbit are skipped when it is not installed."""
    return [pytest.param(name, marks=NEEDS_VOWPAL_WABBIT) if name.startswith("vw:") else name for name in names]


ROWS = [
    StreamRow({"red": 1.0, "size": 2.0}, ["a"]),
    StreamRow({"colour": "blue", "size": None, "new": True}, ["b", "late"]),
    StreamRow({}, []),
    StreamRow({"red": 0.5, "size": float("nan")}, {"a": True, "b": False}),
    StreamRow({"red": 1.0}, ["a"]),
]


@pytest.mark.parametrize("name", learner_parameters([*BASELINES]))
def test_every_kind_of_row_is_predicted_and_learnt(name: str) -> None:
    learner = baseline(name, BaselineSetup(["red", "size"], ["a", "b"], 2))
    allowed = {"a", "b", "late"}
    for row in ROWS * 60:
        assert row.y is not None
        labels = learner.predict(row.x)
        assert len(set(labels)) == len(labels)
        assert set(labels) <= allowed
        assert learner.predict(row.x) == labels
        learner.learn(row.x, row.y)


@pytest.mark.parametrize("name", learner_parameters([name for name in BASELINES if name not in ("majority", "last")]))
def test_a_label_that_equals_a_feature_is_learnt(name: str) -> None:
    noise = random.Random(0)
    learner = baseline(name, BaselineSetup(["on", "off"], ["is on"], 2))
    wrong = 0
    for number in range(900):
        truth = ["is on"] if number % 3 == 0 else []
        x = {"on": len(truth) + noise.gauss(0.0, 0.15), "off": noise.gauss(0.0, 1.0)}
        wrong += learner.predict(x) != truth and number >= 600
        learner.learn(x, truth)
    assert wrong <= 50
    assert learner.remarks() == []


def test_model_rules_learn_a_label_that_is_constant_at_first() -> None:
    learner = baseline("br:amr", BaselineSetup(["f", "g"], ["rare"], 2))
    for row in range(450):
        learner.learn({"f": float(row % 7), "g": float(row % 3)}, ["rare"] if row > 300 and row % 7 > 3 else [])
    assert learner.predict({"f": 6.0, "g": 0.0}) in (["rare"], [])


def test_binary_relevance_equals_river_s_where_all_labels_are_declared() -> None:
    from river import linear_model, multioutput

    from streamlearn.evaluation.baselines.binary_relevance import BinaryRelevance

    stream = open_stream(str(dataset("emotions")))
    setup = BaselineSetup(stream.features, stream.labels)
    ours = BinaryRelevance(lambda seed: linear_model.LogisticRegression(), setup)
    theirs = multioutput.PerOutputClassifier(linear_model.LogisticRegression())
    for number, row in enumerate(stream):
        x: dict[Any, Any] = dict(zip(stream.features, row.x, strict=True))
        expected = {label for label, true in theirs.predict_one(x).items() if true}
        assert set(ours.predict(row.x)) == expected
        assert row.y is not None
        theirs.learn_one(x, {label: label in row.y for label in stream.labels})
        ours.learn(row.x, row.y)
        if number == 200:
            break


def test_shared_neighbours_equal_river_s_label_by_label() -> None:
    from river import neighbors

    from streamlearn.evaluation.baselines.binary_relevance import BinaryRelevance

    def classifier(seed: int) -> Any:
        window = neighbors.LazySearch(window_size=200, min_distance_keep=0.0)
        return neighbors.KNNClassifier(n_neighbors=5, engine=window, weighted=True, cleanup_every=0, softmax=False)

    stream = open_stream(str(dataset("emotions")))
    setup = BaselineSetup(stream.features, stream.labels)
    shared, separate = baseline("br:knn", setup), BinaryRelevance(classifier, setup)
    rows = list(stream)
    for row in [*rows[:230], *rows[215:240]]:
        assert shared.predict(row.x) == separate.predict(row.x)
        assert row.y is not None
        shared.learn(row.x, row.y)
        separate.learn(row.x, row.y)


def test_a_row_votes_only_on_labels_whose_truth_it_has() -> None:
    learner = baseline("br:knn", BaselineSetup(("f",), ("a",)))
    learner.learn({"f": 1.0}, [])
    learner.learn({"f": 0.9}, {"late": True})
    assert learner.predict({"f": 1.0}) == ["late"]
    learner.learn({"f": 1.0}, ["a"])
    # The complete row also has a truth for the late label and is nearer; on the other label the older of two equally
    # near rows decides.
    assert learner.predict({"f": 1.0}) == []
    assert len(learner.remarks()) == 1


@pytest.mark.parametrize(
    ("name", "published"),
    [("br:ht", 0.195), ("br:amr", 0.059), ("isoupt", 0.059)],
)
def test_published_figures_of_emotions(name: str, published: float) -> None:
    report = evaluate_stream(open_stream(str(dataset("emotions"))), Settings(), learner=name)
    assert report.measures["subset_accuracy"] == pytest.approx(published, abs=0.006)


def test_remarks_on_late_labels_and_partial_truths() -> None:
    learner = baseline("br:nb", BaselineSetup((), ["a"], 0))
    learner.learn({"f": 1.0}, ["a", "b"])
    assert learner.remarks() == ["1 labels joined at first mention; their classifiers saw only the rows from there on."]
    tree = baseline("isoupt", BaselineSetup((), ["a"], 0))
    tree.learn({"f": 1.0}, ["b"])
    tree.learn({"f": 1.0}, {"a": True})
    assert [remark[:35] for remark in tree.remarks()] == [
        "The tree was restarted 1 times, at ",
        "1 rows with a partial truth were no",
    ]


@NEEDS_VOWPAL_WABBIT
def test_vowpal_wabbit_remarks_on_labels_beyond_its_capacity() -> None:
    learner = baseline("vw:oaa", BaselineSetup((), ["a", "b"], 0))
    for _ in range(50):
        learner.learn({"f": 1.0}, ["a", "c"])
    assert learner.predict({"f": 1.0}) == ["a"]
    assert learner.remarks()[0].startswith("1 labels were neither learnt nor predicted: the capacity of 2 labels")


def test_without_vowpal_wabbit_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"streamlearn\[vw\]"):
        check_learner("vw:oaa")


@pytest.mark.parametrize(("wrong", "nearest"), [("br:had", "br:hat"), ("oaa", "vw:oaa"), ("mayority", "majority")])
def test_the_error_for_an_unknown_learner_suggests_the_nearest(wrong: str, nearest: str) -> None:
    with pytest.raises(UsageError, match=f"did you mean '{nearest}'"):
        check_learner(wrong)
    check_learner(STREAMLEARN)


def test_evaluate_writes_the_remarks_of_a_baseline(tmp_path: Path) -> None:
    file = tmp_path / "r.jsonl"
    arguments = ["evaluate", "synthetic:drifting", "--learner", "br:nb", "--limit", "120", "--json", str(file)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "joined at first mention" in result.stderr
    written = json.loads(file.read_text())
    assert (written["learner"], written["instances"], len(written["remarks"])) == ("br:nb", 120, 1)
