"""Reasons for dead letters and for left-out values: those in the code are counted and explained in the docs."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import streamlearn
from streamlearn.telemetry.metrics import DROPPED, REASONS

PACKAGE = Path(streamlearn.__file__).parent
PAGE = PACKAGE.parent / "docs" / "operations" / "troubleshoot.md"


def string_literals(*paths: str) -> set[str]:
    """Return all string literals in the sources of folders or files of the package."""
    found: set[str] = set()
    for name in paths:
        path = PACKAGE / name
        for source in path.rglob("*.py") if path.is_dir() else [path]:
            tree = ast.parse(source.read_text(encoding="utf-8"))
            found |= {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    return found


def documented_codes(heading: str) -> set[str]:
    """Return the codes in the first column of the table with a header on the page."""
    table = PAGE.read_text(encoding="utf-8").partition(heading)[2].partition("|---|---|\n")[2].partition("\n\n")[0]
    return {code for line in table.splitlines() for code in re.findall(r"`(\w+)`", line.split("|")[1])}


def test_every_reason_for_a_dead_letter_is_counted_and_documented() -> None:
    used = string_literals("codec", "engine", "source") & set(REASONS)
    assert {"not_json", "duplicate_label", "unknown_instance"} <= used
    assert documented_codes("| reason | the record |") == used


def test_every_reason_for_a_left_out_value_is_counted_and_documented() -> None:
    assert documented_codes("| reason | what was dropped |") == set(DROPPED) - {"other"}
    assert string_literals("codec", "encoder", "model") >= set(DROPPED) - {"other"}


def test_codes_of_record_errors_are_known_reasons() -> None:
    """Codes in the constructor calls of RecordError must not count as ``other``."""
    codes = set()
    for source in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "RecordError":
                codes |= {n.value for n in ast.walk(node.args[0]) if isinstance(n, ast.Constant)}
    assert len(codes) >= 10
    assert codes <= set(REASONS)
