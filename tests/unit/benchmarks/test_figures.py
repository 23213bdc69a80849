"""Figures are kept as dated JSON, read back, and compared between base and head."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import pytest

from tests.benchmarks import compare
from tests.benchmarks.figures import HISTORY, Figure, add_history_option, keep, read

FAST = {"yeast/rows per second": Figure(63_300.0, "rows/s", "higher"), "yeast/p99": Figure(0.14, "ms", "lower")}
SLOW = {"yeast/rows per second": Figure(50_000.0, "rows/s", "higher"), "yeast/p99": Figure(0.10, "ms", "lower")}


def options(folder: Path | str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=10)
    add_history_option(parser)
    return parser.parse_args(["--history", str(folder)])


def test_a_kept_record_is_read_back_unchanged(tmp_path: Path) -> None:
    path = keep("learner", FAST, options(tmp_path))
    assert path is not None
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d{6}-\w{7,8}-learner\.json", path.name)
    record = read(path)
    assert record.figures == {f"learner/{name}": figure for name, figure in FAST.items()}
    assert record.options == {"rows": 10}
    assert record.machine["cores"] >= 1


def test_nothing_is_kept_without_a_folder() -> None:
    assert keep("learner", FAST, options("")) is None


def test_a_file_without_figures_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "other.json").write_text('{"schema": 99}')
    with pytest.raises(SystemExit):
        compare.main([str(tmp_path), str(tmp_path)])
    assert "holds no figures of schema 1" in capsys.readouterr().err


def test_base_and_head_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keep("learner", FAST, options(tmp_path / "old"))
    keep("learner", SLOW, options(tmp_path / "new"))
    keep("memory", {"default/state": Figure(5.0, "bytes", "lower")}, options(tmp_path / "new"))
    compare.main([str(tmp_path / "old"), str(tmp_path / "new")])
    lines = capsys.readouterr().out.splitlines()
    assert any(re.search(r"learner/yeast/rows per second .* 0\.79 worse\s+rows/s", line) for line in lines)
    assert any(re.search(r"learner/yeast/p99 .* 0\.71 better\s+ms", line) for line in lines)
    assert any(re.search(r"memory/default/state +- +5 +bytes", line) for line in lines)


def test_a_folder_gives_the_newest_record_of_each_benchmark(tmp_path: Path) -> None:
    first = keep("learner", SLOW, options(tmp_path))
    assert first is not None
    older = json.loads(first.read_text())
    first.unlink()
    (tmp_path / "2020-01-01T000000-0123abcd-learner.json").write_text(json.dumps({**older, "taken": "2020-01-01"}))
    keep("learner", FAST, options(tmp_path))
    assert compare.read_newest(tmp_path)["learner"].figures["learner/yeast/p99"].value == 0.14


def test_the_history_of_the_tree_can_be_read() -> None:
    assert compare.read_newest(HISTORY)
