"""The choice of a reader."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamlearn.errors import UsageError
from streamlearn.streams import open_stream

FOLDER = Path(__file__).parents[2] / "data" / "arff"


@pytest.mark.parametrize("spec", ["rows.csv", "rows.svm", "rows.csv.gz", "rows.xml", "rows", "arff"])
def test_what_cannot_be_read_is_refused_with_what_can_be(spec: str) -> None:
    with pytest.raises(
        UsageError, match=rf"'{spec}' is not a stream .* ARFF \(\.arff\) and JSON Lines .*CSV or libsvm"
    ):
        open_stream(spec)


@pytest.mark.parametrize("spec", ["synthetic:stationary", "-", "rows.jsonl", "rows.JSONL.gz", "synthetic:a.arff"])
def test_labels_are_refused_where_they_do_not_apply(spec: str) -> None:
    with pytest.raises(UsageError, match=f"--labels 2: {spec} has no attributes to choose from"):
        open_stream(spec, labels="2")


def test_every_stream_says_where_its_labels_are_from() -> None:
    assert open_stream(str(FOLDER / "moa.arff")).labels_from == "-C 2 in the relation's name"
    assert open_stream("-").labels_from == "the records"
    assert open_stream("synthetic:stationary").labels_from == "the generator"
