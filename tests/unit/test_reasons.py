"""Reasons for dead letters and dropped values are the same in the code, in the metrics and on the page."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import streamlearn
from streamlearn.telemetry.metrics import DROPPED, REASONS

PACKAGE = Path(streamlearn.__file__).parent
PAGE = PACKAGE.parent / "docs" / "operations" / "troubleshoot.md"


def texts(*names: str) -> set[str]:
    """Return every string literal in the sources of some folders or files."""
    found: set[str] = set()
    for name in names:
        path = PACKAGE / name
        for source in path.rglob("*.py") if path.is_dir() else [path]:
            tree = ast.parse(source.read_text(encoding="utf-8"))
            found |= {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    return found


def explained(header: str) -> set[str]:
    """Return the codes in the first column of the table with this header line."""
    table = PAGE.read_text(encoding="utf-8").partition(header)[2].partition("|---|---|\n")[2].partition("\n\n")[0]
    return {code for line in table.splitlines() for code in re.findall(r"`(\w+)`", line.split("|")[1])}


def test_every_reason_for_a_dead_letter_is_counted_and_explained() -> None:
    given = texts("codec", "engine", "source") & set(REASONS)
    assert {"not_json", "duplicate_label", "unknown_instance"} <= given
    assert explained("| reason | the record |") == given


def test_every_reason_for_dropping_a_value_is_counted_and_explained() -> None:
    assert explained("| reason | what was dropped |") == set(DROPPED) - {"other"}
    assert texts("codec", "encoder", "model") >= set(DROPPED) - {"other"}


def test_codes_of_record_errors_are_known_reasons() -> None:
    """A code written where the error is raised must be one that the metrics count under its own name."""
    codes = set()
    for source in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "RecordError":
                codes |= {n.value for n in ast.walk(node.args[0]) if isinstance(n, ast.Constant)}
    assert len(codes) >= 10
    assert codes <= set(REASONS)
