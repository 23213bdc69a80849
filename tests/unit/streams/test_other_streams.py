"""JSON Lines and the built-in streams."""

from __future__ import annotations

import gzip
import io
import json
from collections import Counter
from pathlib import Path

import pytest

from streamlearn.errors import UsageError
from streamlearn.settings.settings import LimitSettings
from streamlearn.streams import open_stream
from streamlearn.streams.jsonl import JsonLinesStream
from streamlearn.streams.synthetic import GENERATORS, generator


def test_json_lines_give_instances_with_their_ids(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    with gzip.open(path, "wb") as file:
        file.write(b'{"id": "a", "x": {"f": 1.5}, "y": ["n"]}\n\n{"x": [1, 2]}\n')
    assert [(row.id, row.x, row.y) for row in open_stream(str(path))] == [
        ("a", {"f": 1.5}, ["n"]),
        (None, [1, 2], None),
    ]


def test_an_invalid_line_is_reported_with_its_number(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"x": {}}\n{"x": 3}\n')
    with pytest.raises(UsageError, match=r"a\.jsonl, line 2: wrong_type"):
        list(open_stream(str(path)))


def test_standard_input_is_a_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b'{"x": {"f": 1}, "y": {"n": false}}')))
    assert [(row.x, row.y) for row in open_stream("-")] == [({"f": 1.0}, {"n": False})]


def test_a_line_without_end_is_not_read_into_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"x": {}, "pad": "' + b" " * 2_000 + b'"}\n{"x": {}}\n')
    stream = JsonLinesStream(str(path), LimitSettings(record_bytes=1_000))
    with pytest.raises(UsageError, match=r"a\.jsonl, line 1: too_large"):
        list(stream)


def test_a_broken_compressed_file_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"x": {"f": 1}}\n' * 100)[:-30] + b"\x00" * 30)
    with pytest.raises(UsageError, match=r"a\.jsonl\.gz.*: the gzip data is damaged"):
        list(open_stream(str(path)))


def test_an_unknown_stream_is_refused_with_the_choices() -> None:
    with pytest.raises(UsageError, match=r"\.arff"):
        open_stream("rows.csv")
    with pytest.raises(UsageError, match="drifting"):
        open_stream("synthetic:nothing")


@pytest.mark.parametrize("name", GENERATORS)
def test_a_longer_generated_stream_has_the_same_beginning(name: str) -> None:
    short, long = list(generator(name, seed=3, instances=300)), list(generator(name, seed=3, instances=6_500))
    assert long[:300] == short
    assert list(generator(name, seed=4, instances=300)) != short


def test_the_demo_stream_drifts_at_its_known_drifts() -> None:
    stream = generator("drifting", seed=0, instances=9_000)
    assert [(drift.row, drift.what) for drift in stream.drifts] == [
        (4_000, "dependencies"),
        (6_000, "label appears"),
        (8_000, "features"),
    ]
    rows = list(stream)
    seen = [{name for row in rows[start : start + 1_000] for name in row.y or ()} for start in (5_000, 6_000)]
    assert seen[1] - seen[0] == {"label_09"}


@pytest.mark.parametrize("seed", range(8))
def test_the_label_appears_for_every_seed(seed: int) -> None:
    rows = list(generator("drifting", seed=seed, instances=7_000))
    with_it = [number for number, row in enumerate(rows) if "label_09" in (row.y or ())]
    assert 6_000 <= with_it[0] < 6_100
    assert len(with_it) > 100


def test_each_sudden_drift_changes_its_target_and_nothing_else() -> None:
    rows = list(generator("drifting", seed=5, instances=12_000))

    def sets(start: int) -> set[frozenset[str]]:
        """Return the frequent label sets of a thousand rows."""
        counts = Counter(frozenset(row.y or ()) for row in rows[start : start + 1_000])
        return {labels for labels, count in counts.items() if count > 60}

    def means(start: int) -> dict[str, float]:
        """Return the share of a thousand rows in which each word occurs."""
        counts = Counter(name for row in rows[start : start + 1_000] for name in row.x if name.startswith("word"))
        return {name: count / 1_000 for name, count in counts.items()}

    def max_change(before: int, after: int) -> float:
        old, new = means(before), means(after)
        return max(abs(old.get(name, 0.0) - new.get(name, 0.0)) for name in {*old, *new})

    assert len(sets(3_000) & sets(4_000)) < 0.3 * len(sets(4_000)), "other label sets at row 4,000"
    assert max_change(3_000, 4_000) < 0.07, "the same words at row 4,000"
    assert sets(7_000) == sets(8_000), "the same label sets at row 8,000"
    assert max_change(7_000, 8_000) > 0.12, "other words at row 8,000"


def test_generate_writes_the_rows_of_the_stream(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from streamlearn.cli.app import app

    out = tmp_path / "s.jsonl"
    result = CliRunner().invoke(app, ["generate", "stationary", "--out", str(out), "--instances", "20", "--seed", "7"])
    assert result.exit_code == 0, result.output
    written = [json.loads(line) for line in out.read_text().splitlines()]
    expected = generator("stationary", seed=7, instances=20)
    assert written == [{"id": row.id, "x": row.x, "y": row.y} for row in expected]
