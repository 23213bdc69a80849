"""ARFF files, row by row: names, quotes, escapes, sparse and dense rows, where the labels are, and what is wrong."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from streamlearn.errors import UsageError
from streamlearn.streams import open_stream
from tests.datasets import dataset

HEADER = """% a comment
@relation 'small: -C 2'
@ATTRIBUTE 'it\\'s a label' {0,1}
@attribute "second label" {0, 1}
@attribute size numeric
@attribute colour {red,'dark blue'}
@data
"""


def write(folder: Path, text: str, name: str = "small.arff") -> str:
    path = folder / name
    if name.endswith(".gz"):
        with gzip.open(path, "wt", encoding="utf-8") as file:
            file.write(text)
    else:
        path.write_text(text, encoding="utf-8")
    return str(path)


def test_dense_and_sparse_rows_with_quotes_and_missing_values(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER + "1,0,2.5,'dark blue'\n\n% between\n{0 1,1 1,3 'dark blue'}\n0,0,?,red\n{}\n")
    stream = open_stream(path)
    assert stream.labels == ["it's a label", "second label"]
    assert stream.features == ["size", "colour"]
    rows = [(row.x, row.y) for row in stream]
    assert rows == [
        ([2.5, "dark blue"], ["it's a label"]),
        ({"colour": "dark blue"}, ["it's a label", "second label"]),
        ([None, "red"], []),
        ({}, []),
    ]
    assert [row.y for row in stream] == [row[1] for row in rows], "a stream can be read again"


def test_a_missing_label_makes_the_truth_partial(tmp_path: Path) -> None:
    (row,) = open_stream(write(tmp_path, HEADER + "?,1,3,red\n"))
    assert row.y == {"second label": True}


def test_labels_from_the_xml_beside_it_also_of_a_hierarchy(tmp_path: Path) -> None:
    (tmp_path / "small.xml").write_text(
        '<labels xmlns="http://mulan.sourceforge.net/labels"><label name="second label">'
        '<label name="it\'s a label"></label></label></labels>'
    )
    stream = open_stream(write(tmp_path, HEADER + "1,0,2.5,red\n", "small.arff.gz"))
    assert stream.labels == ["it's a label", "second label"]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [("1", ["it's a label"]), ("-1", ["colour"]), ("second label", ["second label"])],
)
def test_labels_as_asked(tmp_path: Path, labels: str, expected: list[str]) -> None:
    assert open_stream(write(tmp_path, HEADER + ""), labels=labels).labels == expected


@pytest.mark.parametrize(
    ("row", "line", "what"),
    [
        ("1,0,2.5", 8, "3 values for 4 attributes"),
        ("1,0,much,red", 8, "'much' is not a number, for attribute 'size'"),
        ("1,0,1,green", 8, "'green' is not a value of attribute 'colour'"),
        ("2,0,1,red", 8, "'2' is neither 0 nor 1"),
        ("{9 1}", 8, "index 9 of 4 attributes"),
        ("{0 1", 8, "not closed"),
        ("1,0,1,'red", 8, "quote is not closed"),
    ],
)
def test_a_fault_names_file_line_and_value(tmp_path: Path, row: str, line: int, what: str) -> None:
    path = write(tmp_path, HEADER + row + "\n")
    with pytest.raises(UsageError) as fault:
        list(open_stream(path))
    assert f"{path}, line {line}: " in str(fault.value)
    assert what in str(fault.value)


def test_no_labels_says_what_to_do(tmp_path: Path) -> None:
    path = write(tmp_path, "@relation r\n@attribute a numeric\n@data\n1\n")
    with pytest.raises(UsageError, match="--labels"):
        open_stream(path)


SIZES = {
    "flags": (194, 19, 7, 3.39),
    "waterquality": (1060, 16, 14, 5.07),
    "emotions": (593, 72, 6, 1.87),
    "yeast": (2417, 103, 14, 4.24),
    "medical": (978, 1449, 45, 1.25),
    "slashdot": (3782, 1079, 22, 1.18),
    "bibtex": (7395, 1836, 159, 2.40),
    "corel5k": (5000, 499, 374, 3.52),
    "delicious": (16105, 500, 983, 19.02),
}


@pytest.mark.parametrize("name", SIZES)
def test_real_streams_have_their_published_sizes(name: str) -> None:
    stream = open_stream(str(dataset(name)))
    labels = [len(row.y or ()) for row in stream]
    found = (len(labels), len(stream.features), len(stream.labels), round(sum(labels) / len(labels), 2))
    assert found == SIZES[name]
