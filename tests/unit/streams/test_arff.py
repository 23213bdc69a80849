"""ARFF files: names, quotes, escapes, sparse and dense rows, the choice of labels, and errors."""

from __future__ import annotations

import gzip
import re
import tracemalloc
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from streamlearn.errors import UsageError
from streamlearn.streams import open_stream
from tests.datasets import dataset

DATA = Path(__file__).parents[2] / "data" / "arff"

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


def test_labels_from_the_xml_file_of_the_same_name_including_a_hierarchy(tmp_path: Path) -> None:
    (tmp_path / "small.xml").write_text(
        '<labels xmlns="http://mulan.sourceforge.net/labels"><label name="second label">'
        '<label name="it\'s a label"></label></label></labels>'
    )
    stream = open_stream(write(tmp_path, HEADER + "1,0,2.5,red\n", "small.arff.gz"))
    assert stream.labels == ["it's a label", "second label"]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [("1", ["it's a label"]), ("-2", ["second label", "size"]), ("second label", ["second label"])],
)
def test_labels_by_count_and_by_name(tmp_path: Path, labels: str, expected: list[str]) -> None:
    header = HEADER.replace("@attribute colour {red,'dark blue'}\n", "")
    assert open_stream(write(tmp_path, header), labels=labels).labels == expected


@pytest.mark.parametrize(
    ("row", "line", "what"),
    [
        ("1,0,2.5", 8, "3 values for 4 attributes"),
        ("1,0,much,red", 8, "'much' is not a number, for attribute 'size'"),
        ("1,0,1,green", 8, "'green' is not a value of attribute 'colour'"),
        ("2,0,1,red", 8, "'2' is neither 0 nor 1"),
        ("{9 1}", 8, "'9' is not an index of 4 attributes"),
        ("{-1 1}", 8, "'-1' is not an index of 4 attributes"),
        ("{2 1,2 3}", 8, "an index occurs twice"),
        ("{2}", 8, "'2' is not an index and a value"),
        ("{2 many}", 8, "'many' is not a number, for attribute 'size'"),
        ("{3 green}", 8, "'green' is not a value of attribute 'colour'"),
        ("{0 1", 8, "not closed"),
        ("1,0,1,'red", 8, "quote is not closed"),
    ],
)
def test_an_invalid_row_is_reported_with_file_line_and_value(tmp_path: Path, row: str, line: int, what: str) -> None:
    path = write(tmp_path, HEADER + row + "\n")
    with pytest.raises(UsageError) as fault:
        list(open_stream(path))
    assert f"{path}, line {line}: " in str(fault.value)
    assert what in str(fault.value)


@pytest.mark.parametrize(
    ("header", "line", "what"),
    [
        ("@relation r\n@attribute a numeric\n@attribute 'a' {x}\n@data\n", 3, "'a' is already declared in line 2"),
        ("@relation r\n@attribute a relational\n@data\n", 2, "'a' is of kind 'relational'"),
        ("@relation r\n@attribute a {0,1\n@data\n", 2, "'a' are not closed by a brace"),
        ("@relation r\n@attribute\n@data\n", 2, "no name"),
        ("@relation r\n1,2\n@data\n", 2, "'1,2' comes before @data"),
        ("@relation r\n@attribute a numeric\n", 2, "ends without @data"),
    ],
)
def test_an_invalid_header_is_reported_with_file_line_and_value(
    tmp_path: Path, header: str, line: int, what: str
) -> None:
    path = write(tmp_path, header)
    with pytest.raises(UsageError) as fault:
        open_stream(path, labels="1")
    assert f"{path}, line {line}: " in str(fault.value)
    assert what in str(fault.value)


def test_tabs_byte_order_mark_and_unusual_names_in_a_header(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "\ufeff@RELATION\tr\r\n@Attribute\tdon't  REAL\r\n@attribute a,b numeric [0, 1]\r\n"
        "@attribute shape{round,square}\r\n@attribute y {0,1}\r\n@DATA\r\n1\t, 2.5,square,1\r\n{0\t3, 2  round}\r\n",
    )
    stream = open_stream(path, labels="-1")
    assert stream.features == ["don't", "a,b", "shape"]
    assert stream.columns == 5, "one column per feature, and one per value of a nominal feature"
    assert [(row.x, row.y) for row in stream] == [([1.0, 2.5, "square"], ["y"]), ({"don't": 3.0, "shape": "round"}, [])]


def test_what_a_sparse_row_leaves_out_has_the_first_value(tmp_path: Path) -> None:
    header = "@relation r\n@attribute usual {1,0}\n@attribute rare {0,1}\n@attribute colour {red,blue}\n@data\n"
    stream = open_stream(write(tmp_path, header + "{}\n{0 0,1 1,2 blue}\n{0 ?}\n"), labels="usual,rare")
    assert [(row.x, row.y) for row in stream] == [
        ({}, ["usual"]),
        ({"colour": "blue"}, ["rare"]),
        ({}, {"rare": False}),
    ]


def test_quoted_values_of_a_sparse_row(tmp_path: Path) -> None:
    header = "@relation r\n@attribute y {0,1}\n@attribute w {x,'a, b',\"c'd\",'don\\'t'}\n@data\n"
    stream = open_stream(write(tmp_path, header + "{0 1,1 'a, b'}\n{1 \"c'd\",0 0}\n{1 \"don't\" , 0 1}\n"), labels="y")
    assert [(row.x, row.y) for row in stream] == [
        ({"w": "a, b"}, ["y"]),
        ({"w": "c'd"}, []),
        ({"w": "don't"}, ["y"]),
    ]


def test_a_line_that_is_not_utf8_is_latin_1(tmp_path: Path) -> None:
    path = tmp_path / "old.arff"
    path.write_bytes(
        "@relation r\n@attribute größe {klein,groß}\n@attribute y {0,1}\n@data\ngroß,1\n".encode("latin-1")
    )
    stream = open_stream(str(path), labels="y")
    assert list(stream.features) == ["größe"]
    assert [row.x for row in stream] == [["groß"]]


@pytest.mark.parametrize(
    ("labels", "what"),
    [
        ("0", "0 labels of 4 attributes"),
        ("-5", "-5 labels of 4 attributes"),
        ("size,weight", "label 'weight' is not an attribute"),
        ("absent.xml", "absent.xml: No such file"),
        ("'open", "--labels: a quote is not closed"),
    ],
)
def test_invalid_label_choices_are_refused(tmp_path: Path, labels: str, what: str) -> None:
    with pytest.raises(UsageError, match=re.escape(what)):
        open_stream(write(tmp_path, HEADER), labels=labels)


def test_labels_from_an_xml_file_elsewhere_and_errors_in_it(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.xml"
    elsewhere.write_text('<labels><label name="second label"/></labels>')
    path = write(tmp_path, HEADER)
    assert open_stream(path, labels=str(elsewhere)).labels == ["second label"]
    elsewhere.write_text("<labels><label")
    with pytest.raises(UsageError, match=r"elsewhere\.xml: .*line 1"):
        open_stream(path, labels=str(elsewhere))
    elsewhere.write_text('<labels><label name="third label"/></labels>')
    with pytest.raises(UsageError, match=r"elsewhere\.xml: label 'third label' is not an attribute"):
        open_stream(path, labels=str(elsewhere))


@pytest.mark.parametrize(("relation", "expected"), [("'r: -C 1'", 0), ("'r: -C -1'", 2), ("r:-C 1 -split", 0)])
def test_labels_by_the_meka_option(tmp_path: Path, relation: str, expected: int) -> None:
    header = HEADER.replace("'small: -C 2'", relation).replace("@attribute colour {red,'dark blue'}\n", "")
    stream = open_stream(write(tmp_path, header))
    assert stream.labels == [["it's a label", "second label", "size"][expected]]


@pytest.mark.parametrize("kept", [0.5, 0.99])
def test_a_truncated_or_broken_compressed_file_is_reported_with_the_line(tmp_path: Path, kept: float) -> None:
    path = Path(
        write(tmp_path, HEADER + "".join(f"1,0,{row * 7919 % 10007},red\n" for row in range(5_000)), "a.arff.gz")
    )
    whole = path.read_bytes()
    for broken in (whole[: int(len(whole) * kept)], whole[: int(len(whole) * kept)] + b"\x00" * 200):
        path.write_bytes(broken)
        with pytest.raises(UsageError, match=r"a\.arff\.gz, (after )?line \d+: "):
            list(open_stream(str(path)))


def test_rows_are_read_one_by_one(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER + "1,0,2.5,red\n" * 50_000)
    stream = open_stream(path)
    tracemalloc.start()
    try:
        assert sum(1 for _ in stream) == 50_000
        assert tracemalloc.get_traced_memory()[1] < 1 << 18, "600 kB of rows are not kept"
    finally:
        tracemalloc.stop()


def test_the_escaped_labels_of_delicious_are_those_of_its_xml() -> None:
    path = dataset("delicious")
    stream = open_stream(str(path))
    root = ElementTree.parse(path.with_name("delicious.xml")).getroot()
    assert list(stream.labels) == [element.get("name") for element in root]
    assert {"TAG_dise\\~no", "TAG_m'usica"} <= set(stream.labels)
    assert {name for row in stream for name in row.y or ()} == set(stream.labels), "every label occurs"


def test_rows_as_moa_writes_them_end_in_a_comma() -> None:
    stream = open_stream(str(DATA / "moa.arff"))
    assert [(row.x, row.y) for row in stream] == [
        ([7.3, 2.4], ["class0"]),
        ([1.1, 7.8], ["class1"]),
        ([9.8, 8.7], ["class0", "class1"]),
    ]


def test_every_kind_of_attribute_and_form_of_row() -> None:
    stream = open_stream(str(DATA / "all-kinds.arff"))
    assert (stream.labels, stream.features) == (["goal"], ["colour", "size", "body", "day", "seen"])
    assert (stream.texts, stream.columns) == (["body"], 8)
    seen = 1_044_072_306_000.0
    assert [(row.x, row.y) for row in stream] == [
        ({"colour": "red", "size": 2.5, "body": "a goal, a match", "day": 1_044_057_600_000.0, "seen": seen}, ["goal"]),
        ({"colour": "dark blue", "body": "it's\na law"}, []),
        ({"colour": "50%", "body": "100 %"}, ["goal"]),
        ({"colour": "50%", "size": 1.0, "body": "?", "day": 946_598_400_000.0, "seen": seen}, []),
    ]


def test_a_fault_on_the_line_of_data_has_its_number(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER.replace("@data\n", "@data 1,0,2\n"))
    with pytest.raises(UsageError, match="line 7: 3 values for 4 attributes"):
        list(open_stream(path))


def test_without_labels_the_message_says_what_to_do(tmp_path: Path) -> None:
    path = write(tmp_path, "@relation r\n@attribute a numeric\n@data\n1\n")
    with pytest.raises(UsageError, match="--labels"):
        open_stream(path)


SIZES = {
    "flags": (194, 19, 7, 3.39),
    "waterquality": (1060, 16, 14, 5.07),
    "emotions": (593, 72, 6, 1.87),
    "yeast": (2417, 103, 14, 4.24),
    "scene": (2407, 294, 6, 1.07),
    "medical": (978, 1449, 45, 1.25),
    "slashdot": (3782, 1079, 22, 1.18),
    "langlog": (1460, 1004, 75, 1.18),
    "tmc2007": (28596, 500, 22, 2.16),
    "ng20": (19300, 1006, 20, 1.03),
    "bibtex": (7395, 1836, 159, 2.40),
    "corel5k": (5000, 499, 374, 3.52),
    "imdb": (120919, 1001, 28, 2.00),
    "delicious": (16105, 500, 983, 19.02),
}


@pytest.mark.parametrize("name", SIZES)
def test_real_streams_have_their_published_sizes(name: str) -> None:
    stream = open_stream(str(dataset(name)))
    labels = [len(row.y or ()) for row in stream]
    found = (len(labels), len(stream.features), len(stream.labels), round(sum(labels) / len(labels), 2))
    assert found == SIZES[name]
