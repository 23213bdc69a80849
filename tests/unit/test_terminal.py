"""Consoles that print text as it is."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest
from rich.table import Table

from streamlearn import terminal
from streamlearn.terminal import console

PACKAGE = Path(terminal.__file__).parent


def test_text_and_cells_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("[red]name")
    table.add_row("a[bold]b[/bold]")
    made = console(least_width=40)
    made.print("streamlearn[vw] :100: [/]")
    made.print(table)
    printed = capsys.readouterr().out
    for text in ("streamlearn[vw] :100: [/]", "[red]name", "a[bold]b[/bold]"):
        assert text in printed


@pytest.mark.parametrize("stderr", [False, True])
def test_what_goes_to_no_terminal_is_neither_wrapped_nor_styled(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, stderr: bool
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    line = "word " * 100 + "8 'text'"
    table = Table("name", "value", box=None)
    table.add_row("a" * 300, "b " * 300, style="bold")
    for is_terminal in (False, True):
        monkeypatch.setattr(sys.stderr if stderr else sys.stdout, "isatty", lambda now=is_terminal: now)
        made = console(stderr=stderr)
        made.print(line)
        made.print(table)
        printed = "".join(capsys.readouterr())
        assert (printed.splitlines()[0] == line, len(printed.splitlines()) == 3) == (not is_terminal, not is_terminal)
        assert ("\x1b" in printed) is is_terminal


def test_every_console_is_made_here() -> None:
    calls = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Console"
    }
    assert calls == {"terminal.py"}
