"""Which attributes of an ARFF file are labels."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from streamlearn.errors import UsageError
from streamlearn.streams import open_stream

FOLDER = Path(__file__).parents[2] / "data" / "arff"
ROWS = "@attribute a {0,1}\n@attribute b {0,1}\n@attribute n numeric\n@data\n1,0,2\n"


def write(folder: Path, relation: str, name: str = "s.arff") -> str:
    path = folder / name
    path.write_text(f"@relation {relation}\n{ROWS}")
    return str(path)


@pytest.mark.parametrize(
    "name", ["mail-train.arff", "mail-test.arff", "mail_Train2.arff", "mail.arff", "mail-TEST.ARFF"]
)
def test_the_xml_file_is_that_of_the_whole_data_set(tmp_path: Path, name: str) -> None:
    shutil.copy(FOLDER / "mail.xml", tmp_path)
    shutil.copy(FOLDER / "mail-train.arff", tmp_path / name)
    stream = open_stream(str(tmp_path / name))
    assert (stream.labels, stream.labels_from) == (["sport", "news"], str(tmp_path / "mail.xml"))
    assert [row.y for row in stream] == [["sport"], ["news"]]


def test_an_xml_file_of_the_same_name_comes_first(tmp_path: Path) -> None:
    shutil.copy(FOLDER / "mail.xml", tmp_path)
    shutil.copy(FOLDER / "mail-train.arff", tmp_path)
    (tmp_path / "mail-train.XML").write_text('<labels><label name="news"/></labels>')
    assert open_stream(str(tmp_path / "mail-train.arff")).labels == ["news"]


def test_a_count_before_a_filter_of_attributes_is_not_trusted(tmp_path: Path) -> None:
    shutil.copy(FOLDER / "mail-train.arff", tmp_path)
    path = str(tmp_path / "mail-train.arff")
    with pytest.raises(UsageError, match=r"-C 2, but the WEKA filter weka\.filters\.unsupervised\.attribute\.Reorder"):
        open_stream(path)
    assert open_stream(path, labels="-2").labels == ["sport", "news"]


@pytest.mark.parametrize(
    "name", ["weka.filters.MultiFilter-Fweka.filters.AllFilter", "weka.filters.supervised.attribute.X"]
)
def test_of_an_unknown_filter_nothing_is_assumed(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="has been applied since"):
        open_stream(write(tmp_path, f"'r: -C 2-{name}-D'"))


def test_a_filter_of_rows_leaves_the_attributes_where_they_are(tmp_path: Path) -> None:
    stream = open_stream(write(tmp_path, "'r: -C 2-weka.filters.unsupervised.instance.RemovePercentage-P66.0-V'"))
    assert (stream.labels, stream.labels_from) == (["a", "b"], "-C 2 in the relation's name")


def test_an_option_of_a_filter_is_no_count_of_labels(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="which attributes are labels"):
        open_stream(write(tmp_path, "'r-weka.filters.unsupervised.instance.Resample-C 1'"))
    with pytest.raises(UsageError, match="which attributes are labels"):
        open_stream(write(tmp_path, "'r: -C 0.25'"))


@pytest.mark.parametrize(
    ("labels", "origin"),
    [("2", "--labels 2"), ("a, 'b'", "--labels"), (None, "-C -3 in the relation's name")],
)
def test_a_stream_says_where_its_labels_are_from(tmp_path: Path, labels: str | None, origin: str) -> None:
    path = write(tmp_path, "'r: -C -3'")
    assert open_stream(path, labels=labels).labels_from == origin


@pytest.mark.parametrize(
    ("declaration", "what"),
    [
        ("{red,blue}", "'red' of its values is neither 0 nor 1"),
        ("{0,1,2}", "'2' of its values is neither 0 nor 1"),
        ("string", "its kind is string"),
        ("date", "its kind is date"),
    ],
)
def test_an_attribute_that_has_no_truths_is_not_a_label(tmp_path: Path, declaration: str, what: str) -> None:
    path = tmp_path / "s.arff"
    path.write_text(f"@relation 'r: -C 1'\n@attribute a {declaration}\n@data\n")
    with pytest.raises(UsageError, match=re.escape(f"'a' is a label by -C 1 in the relation's name, but {what}")):
        open_stream(str(path))
