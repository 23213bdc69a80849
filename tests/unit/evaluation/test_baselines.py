"""The baselines: every one runs on every kind of stream, and what one cannot do is said."""

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
from streamlearn.evaluation.baselines import BASELINES, OURS, Start, baseline, check_learner
from streamlearn.evaluation.baselines.numeric_features import FilledNumbers, numbers
from streamlearn.evaluation.prequential import evaluate_stream
from streamlearn.settings.settings import Settings
from streamlearn.streams import open_stream
from streamlearn.streams.base import StreamRow
from tests.datasets import dataset

NEEDS_VOWPAL_WABBIT = pytest.mark.skipif(
    importlib.util.find_spec("vowpalwabbit") is None, reason="Vowpal Wabbit is absent: pip install 'streamlearn[vw]'"
)


def named(names: Sequence[str]) -> list[object]:
    return [pytest.param(name, marks=NEEDS_VOWPAL_WABBIT) if name.startswith("vw:") else name for name in names]


ROWS = [
    StreamRow({"red": 1.0, "size": 2.0}, ["a"]),
    StreamRow({"colour": "blue", "size": None, "new": True}, ["b", "late"]),
    StreamRow({}, []),
    StreamRow({"red": 0.5, "size": float("nan")}, {"a": True, "b": False}),
    StreamRow({"red": 1.0}, ["a"]),
]


@pytest.mark.parametrize("name", named([*BASELINES]))
def test_every_kind_of_row_is_answered(name: str) -> None:
    learner = baseline(name, Start(["red", "size"], ["a", "b"], 2))
    allowed = {"a", "b", "late"}
    for row in ROWS * 60:
        assert row.y is not None
        answer = learner.predict(row.x)
        assert len(set(answer)) == len(answer)
        assert set(answer) <= allowed
        assert learner.predict(row.x) == answer
        learner.learn(row.x, row.y)


@pytest.mark.parametrize("name", named([name for name in BASELINES if name not in ("majority", "last")]))
def test_a_label_that_is_one_feature_is_learnt(name: str) -> None:
    noise = random.Random(0)
    learner = baseline(name, Start(["on", "off"], ["is on"], 2))
    wrong = 0
    for number in range(900):
        truth = ["is on"] if number % 3 == 0 else []
        x = {"on": len(truth) + noise.gauss(0.0, 0.15), "off": noise.gauss(0.0, 1.0)}
        wrong += learner.predict(x) != truth and number >= 600
        learner.learn(x, truth)
    assert wrong <= 50
    assert learner.remarks() == []


def test_a_label_that_is_constant_at_first_does_not_stop_model_rules() -> None:
    learner = baseline("br:amr", Start(["f", "g"], ["rare"], 2))
    for row in range(450):
        learner.learn({"f": float(row % 7), "g": float(row % 3)}, ["rare"] if row > 300 and row % 7 > 3 else [])
    assert learner.predict({"f": 6.0, "g": 0.0}) in (["rare"], [])


def test_binary_relevance_is_river_s_where_all_labels_are_declared() -> None:
    from river import linear_model, multioutput

    from streamlearn.evaluation.baselines.binary_relevance import BinaryRelevance

    stream = open_stream(str(dataset("emotions")))
    ours = BinaryRelevance(lambda seed: linear_model.LogisticRegression(), Start(stream.features, stream.labels))
    theirs = multioutput.PerOutputClassifier(linear_model.LogisticRegression())
    for number, row in enumerate(stream):
        x: dict[Any, Any] = dict(zip(stream.features, row.x, strict=True))
        answer = {label for label, yes in theirs.predict_one(x).items() if yes}
        assert set(ours.predict(row.x)) == answer
        assert row.y is not None
        theirs.learn_one(x, {label: label in row.y for label in stream.labels})
        ours.learn(row.x, row.y)
        if number == 200:
            break


def test_shared_neighbours_are_river_s_label_by_label() -> None:
    from river import neighbors

    from streamlearn.evaluation.baselines.binary_relevance import BinaryRelevance

    def alone(seed: int) -> Any:
        window = neighbors.LazySearch(window_size=200, min_distance_keep=0.0)
        return neighbors.KNNClassifier(n_neighbors=5, engine=window, weighted=True, cleanup_every=0, softmax=False)

    stream = open_stream(str(dataset("emotions")))
    start = Start(stream.features, stream.labels)
    shared, each = baseline("br:knn", start), BinaryRelevance(alone, start)
    rows = list(stream)
    for row in [*rows[:230], *rows[215:240]]:
        assert shared.predict(row.x) == each.predict(row.x)
        assert row.y is not None
        shared.learn(row.x, row.y)
        each.learn(row.x, row.y)


def test_a_row_votes_only_on_the_labels_that_it_knows() -> None:
    learner = baseline("br:knn", Start(("f",), ("a",)))
    learner.learn({"f": 1.0}, [])
    learner.learn({"f": 0.9}, {"late": True})
    assert learner.predict({"f": 1.0}) == ["late"]
    learner.learn({"f": 1.0}, ["a"])
    # The complete row knows the late label too and is nearer; on the other label the older row of equals decides.
    assert learner.predict({"f": 1.0}) == []
    assert len(learner.remarks()) == 1


@pytest.mark.parametrize(
    ("name", "published"),
    [("br:ht", 0.195), ("br:amr", 0.059), ("isoupt", 0.059)],
)
def test_published_figures_of_emotions(name: str, published: float) -> None:
    report = evaluate_stream(open_stream(str(dataset("emotions"))), Settings(), learner=name)
    assert report.measures["subset_accuracy"] == pytest.approx(published, abs=0.006)


def test_late_labels_are_remarked() -> None:
    learner = baseline("br:nb", Start((), ["a"], 0))
    learner.learn({"f": 1.0}, ["a", "b"])
    assert learner.remarks() == [
        "1 labels joined at first mention; each one's classifier saw only the rows from there on."
    ]
    tree = baseline("isoupt", Start((), ["a"], 0))
    tree.learn({"f": 1.0}, ["b"])
    tree.learn({"f": 1.0}, {"a": True})
    assert [remark[:35] for remark in tree.remarks()] == [
        "The tree was started anew 1 times, ",
        "1 rows with a partial truth were no",
    ]


@NEEDS_VOWPAL_WABBIT
def test_vowpal_wabbit_says_which_labels_found_no_room() -> None:
    learner = baseline("vw:oaa", Start((), ["a", "b"], 0))
    for _ in range(50):
        learner.learn({"f": 1.0}, ["a", "c"])
    assert learner.predict({"f": 1.0}) == ["a"]
    assert learner.remarks()[0].startswith("1 labels were neither learnt nor answered: the 2 ")


def test_without_vowpal_wabbit_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"streamlearn\[vw\]"):
        check_learner("vw:oaa")


@pytest.mark.parametrize(("wrong", "nearest"), [("br:had", "br:hat"), ("oaa", "vw:oaa"), ("mayority", "majority")])
def test_an_unknown_learner_names_the_nearest(wrong: str, nearest: str) -> None:
    with pytest.raises(UsageError, match=f"did you mean '{nearest}'"):
        check_learner(wrong)
    check_learner(OURS)


def test_the_command_takes_a_baseline_and_writes_its_remarks(tmp_path: Path) -> None:
    file = tmp_path / "r.jsonl"
    arguments = ["evaluate", "synthetic:drifting", "--learner", "br:nb", "--limit", "120", "--json", str(file)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "joined at first mention" in result.stderr
    written = json.loads(file.read_text())
    assert (written["learner"], written["instances"], len(written["remarks"])) == ("br:nb", 120, 1)


def test_numbers_of_an_instance() -> None:
    assert numbers({"a": True, "b": "c", "d": None, "e": float("inf"), "f": 2}) == {"a": 1.0, "b=c": 1.0, "f": 2.0}
    assert numbers([1.0, None, "x"], ["p", "q", "r"]) == {"p": 1.0, "r=x": 1.0}
    assert numbers([3.0]) == {"0": 3.0}
    filled = FilledNumbers(["p"])
    assert filled.of({"q": 1.0}) == {"p": 0.0, "q": 1.0}
    assert filled.of({}) == {"p": 0.0, "q": 0.0}
