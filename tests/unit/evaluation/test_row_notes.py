"""Notes about rows: an evaluation of nothing is an error, a surprising one has remarks."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamlearn.errors import UsageError
from streamlearn.evaluation.prequential import evaluate_stream
from streamlearn.evaluation.row_notes import _ADVICE
from streamlearn.settings.settings import LimitSettings, Settings
from streamlearn.streams import open_stream
from streamlearn.telemetry.metrics import DROPPED

GOOD = '{"x": {"a": 1, "t": "some words"}, "y": ["b"]}\n'


def remarks(path: Path, lines: str, **sections: object) -> list[str]:
    path.write_text(lines)
    settings = Settings.model_validate(sections)
    stream = open_stream(str(path), text_fields=settings.encoder.text_fields, limits=settings.limits)
    return list(evaluate_stream(stream, settings, learner="last").remarks)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", "\n\n", "a.jsonl has no instances"),
        ("a.jsonl", '{"x": {"a": 1}}\n' * 3, "a.jsonl: none of its 3 instances has labels"),
        ("a.jsonl", '{"x": {"a": 1}, "y": {}}\n{"x": {}, "y": {"l": null}}\n', "none of its 2 instances has labels"),
        ("a.arff", "@relation 'r: -C 1'\n@attribute l {0,1}\n@attribute n numeric\n@data\n", "a.arff has no instances"),
        ("a.arff", "@relation 'r: -C 1'\n@attribute l {0,1}\n@attribute n numeric\n@data\n?,1\n", "has labels"),
    ],
)
def test_an_evaluation_of_nothing_is_an_error(tmp_path: Path, name: str, content: str, message: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(UsageError) as raised:
        evaluate_stream(open_stream(str(path)), Settings(), learner="last")
    assert str(raised.value).startswith(str(path))
    assert message in str(raised.value)


def test_an_ordinary_stream_has_no_remarks(tmp_path: Path) -> None:
    assert remarks(tmp_path / "a.jsonl", GOOD, encoder={"text_fields": "t"}, labels={"declared": "b"}) == []


def test_what_is_surprising_has_a_remark_each(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    assert remarks(path, GOOD + '{"x": {"a": 1}}\n')[0].startswith("1 of 2 instances have no labels")
    assert remarks(path, '{"x": {"a": 1}, "y": []}\n')[0].startswith("No instance has a true label")
    assert remarks(path, '{"x": {"a": 1}, "y": {"b": false}}\n')[0].startswith("No instance has a true label")
    assert remarks(path, '{"x": {}, "y": ["b"]}\n') == ["No instance has a feature: x is empty."]
    assert remarks(path, GOOD, encoder={"text_fields": "t,title,a"}) == [
        "encoder.text_fields has 'title', which no instance has; the first instance has 'a', 't'.",
        "encoder.text_fields has 'a', which is never a text.",
    ]
    assert remarks(path, GOOD, labels={"declared": "b,c"}) == ["labels.declared has 'c', which no instance mentions."]


def test_names_are_looked_for_in_declarations_too(tmp_path: Path) -> None:
    path = tmp_path / "a.arff"
    arff = "@relation 'r: -C 1'\n@attribute l {0,1}\n@attribute n numeric\n@data\n1,2\n"
    assert remarks(path, arff, encoder={"text_fields": "n,m"}, labels={"declared": "l"}) == [
        "encoder.text_fields has 'm', which no instance has; the first instance has 'n'.",
        "encoder.text_fields has 'n', which is never a text.",
    ]


def test_values_that_are_left_out_are_counted_with_advice(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"x": {"a": 1e200, "t": "a long text"}, "y": ["b"]}\n' * 2)
    stream = open_stream(str(path), limits=LimitSettings(name_bytes=8))
    for _ in range(2):
        found = evaluate_stream(stream, Settings()).remarks
        assert [remark.partition(":")[0] for remark in found] == [
            "2 values were left out (text_too_long)",
            "2 values were left out (infinite)",
        ]
        assert "encoder.text_fields" in found[0]


def test_every_reason_for_a_left_out_value_has_advice() -> None:
    assert set(_ADVICE) == set(DROPPED) - {"other"}


def test_limits_are_those_of_the_settings(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"limits\.record_bytes is 20"):
        remarks(tmp_path / "a.jsonl", GOOD, limits={"record_bytes": 20})
