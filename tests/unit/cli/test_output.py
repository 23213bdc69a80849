"""What commands print of files and settings has no control characters, and nothing of it is taken as markup."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from streamlearn.cli import app
from streamlearn.snapshot.store import SnapshotStore

HARMFUL = "\x1b]0;t\x07\x9b31m\u202e[bold]x[1mforged"
ESCAPED = "\\u001b]0;t\\u0007\\u009b31m\\u202e[bold]x[1mforged"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Return a function that runs a command and returns what it prints, if no terminal would act on that."""

    def run_command(*arguments: str, status: int = 0) -> str:
        monkeypatch.setattr(sys, "argv", ["streamlearn", *arguments])
        with pytest.raises(SystemExit) as ended:
            app.main()
        printed = capsys.readouterr()
        shown = printed.out + printed.err
        assert (ended.value.code or 0) == status, shown
        assert all(character.isprintable() or character == "\n" for character in shown)
        return shown

    # Wraps nothing, as no terminal reads it.
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    return run_command


def test_names_of_streams_are_escaped(tmp_path: Path, run: Callable[..., str]) -> None:
    path = tmp_path / f"rows{HARMFUL}.jsonl"
    path.write_text('{"x": {"a": 1}, "y": ["b"]}\n' * 3)
    shown = run("evaluate", str(path), "--learner", "majority")
    assert ESCAPED in shown
    compared = run("compare", str(path), "--learner", "majority", "--learner", "last")
    assert ESCAPED in compared


def test_settings_are_escaped_and_their_json_is_unchanged(run: Callable[..., str]) -> None:
    setting = ("--set", f"labels.declared=a{HARMFUL}")
    assert f"a{ESCAPED}" in run("config", "show", *setting)
    rows = json.loads(run("config", "show", "--json", *setting))
    assert [row["value"] for row in rows if row["name"] == "labels.declared"] == [[f"a{HARMFUL}"]]


def test_errors_are_one_escaped_line(run: Callable[..., str]) -> None:
    shown = run("evaluate", f"absent{HARMFUL}\nforged.jsonl", status=2)
    assert ESCAPED in shown
    assert shown.count("\n") == 1


def test_the_traceback_of_a_fault_of_ours_is_escaped(run: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(standalone_mode: bool) -> None:
        raise RuntimeError(HARMFUL)

    monkeypatch.setattr(app, "app", fail)
    shown = run(status=1)
    assert shown.startswith("Traceback (most recent call last):\n")
    assert shown.endswith(f"RuntimeError: {ESCAPED}\n")


def test_names_in_a_store_of_snapshots_are_escaped(tmp_path: Path, run: Callable[..., str]) -> None:
    store = SnapshotStore(str(tmp_path))
    store.save(f"group{HARMFUL}\nforged", "0" * 16, 0, 1, "0" * 24, {}, {"note": f"\n{HARMFUL}"})
    for command in (["list"], ["inspect"], ["verify"]):
        shown = run("snapshot", *command, str(tmp_path))
        assert not any(line.startswith("forged") for line in shown.splitlines())
    assert f"group{ESCAPED}\\nforged" in run("snapshot", "list", str(tmp_path))
    (entry,) = json.loads(run("snapshot", "list", "--json", str(tmp_path)))
    assert entry["group"] == f"group{HARMFUL}\nforged"
