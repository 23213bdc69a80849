"""``streamlearn config``: shows every setting and reports invalid ones."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from streamlearn.cli.app import main
from streamlearn.settings.loading import setting_names


def _run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["streamlearn", "config", *arguments])
    with pytest.raises(SystemExit) as exit_:
        main()
    return int(exit_.value.code or 0)


def test_show_json_has_every_setting_with_its_origin(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "run.toml"
    file.write_text("[snapshot]\nkeep = 7\n")
    monkeypatch.setenv("STREAMLEARN_HTTP__PORT", "9000")
    assert _run(monkeypatch, "show", "--json", "--config", str(file), "--set", "labels.declared=a,b") == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert list(rows) == setting_names()
    assert (rows["snapshot.keep"]["value"], rows["snapshot.keep"]["origin"]) == (7, str(file))
    assert (rows["http.port"]["value"], rows["http.port"]["origin"]) == (9000, "environment STREAMLEARN_HTTP__PORT")
    assert (rows["labels.declared"]["value"], rows["labels.declared"]["origin"]) == (
        ["a", "b"],
        "--set labels.declared",
    )
    assert (rows["kafka.session_timeout_ms"]["unit"], rows["log.json"]["origin"]) == ("ms", "default")
    assert all(row["meaning"] for row in rows.values())


def test_show_prints_every_setting(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    assert _run(monkeypatch, "show", "--set", "engine.frozen=true") == 0
    _, *rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    lines = {row[0]: row for row in rows}
    assert list(lines) == setting_names(), "one line for each"
    assert len(rows) == len(lines)
    assert lines["engine.frozen"][1:4] == ["true", "--set", "engine.frozen"]


def test_show_prints_values_as_they_are(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(monkeypatch, "show", "--set", "snapshot.location=[red]a:100:\x1b") == 0
    assert "[red]a:100:\\u001b" in capsys.readouterr().out


def test_check_accepts_valid_settings(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(monkeypatch, "check") == 0
    assert "valid" in capsys.readouterr().out


def test_check_reports_file_and_line_of_a_fault(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "run.toml"
    file.write_text("[http]\nport = \n")
    assert _run(monkeypatch, "check", "--config", str(file)) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert str(file) in message
    assert "line 2" in message
