"""JSON Lines and the built-in streams."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from streamlearn.errors import UsageError
from streamlearn.streams import open_stream
from streamlearn.streams.synthetic import GENERATORS, generator


def test_json_lines_give_instances_with_their_ids(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    with gzip.open(path, "wb") as file:
        file.write(b'{"id": "a", "x": {"f": 1.5}, "y": ["n"]}\n\n{"x": [1, 2]}\n')
    assert [(row.id, row.x, row.y) for row in open_stream(str(path))] == [
        ("a", {"f": 1.5}, ["n"]),
        (None, [1, 2], None),
    ]


def test_a_bad_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"x": {}}\n{"x": 3}\n')
    with pytest.raises(UsageError, match=r"a\.jsonl, line 2: wrong_type"):
        list(open_stream(str(path)))


def test_what_is_no_stream_is_refused_with_what_is() -> None:
    with pytest.raises(UsageError, match=r"\.arff"):
        open_stream("rows.csv")
    with pytest.raises(UsageError, match="drifting"):
        open_stream("synthetic:nothing")


@pytest.mark.parametrize("name", GENERATORS)
def test_a_longer_generated_stream_has_the_same_beginning(name: str) -> None:
    short, long = list(generator(name, seed=3, instances=300)), list(generator(name, seed=3, instances=6_500))
    assert long[:300] == short
    assert list(generator(name, seed=4, instances=300)) != short


def test_the_demo_stream_drifts_where_it_says() -> None:
    stream = generator("drifting", seed=0, instances=9_000)
    assert [(drift.row, drift.what) for drift in stream.drifts] == [
        (4_000, "dependencies"),
        (6_000, "label appears"),
        (8_000, "features"),
    ]
    rows = list(stream)
    seen = [{name for row in rows[start : start + 1_000] for name in row.y or ()} for start in (5_000, 6_000)]
    assert seen[1] - seen[0] == {"label_09"}


def test_generate_writes_what_the_stream_gives(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from streamlearn.cli.app import app

    out = tmp_path / "s.jsonl"
    result = CliRunner().invoke(app, ["generate", "stationary", "--out", str(out), "--instances", "20", "--seed", "7"])
    assert result.exit_code == 0, result.output
    written = [json.loads(line) for line in out.read_text().splitlines()]
    expected = generator("stationary", seed=7, instances=20)
    assert written == [{"id": row.id, "x": row.x, "y": row.y} for row in expected]
