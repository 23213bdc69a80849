"""Consoles that print text as it is."""

from __future__ import annotations

import ast
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


def test_every_console_is_made_here() -> None:
    calls = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Console"
    }
    assert calls == {"terminal.py"}
