"""Reasons for dead letters and for left-out values, and kinds of events: all are counted and explained in the docs."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import get_args

import streamlearn
from streamlearn.errors import Reason
from streamlearn.records.event import Event
from streamlearn.telemetry.metrics import DROPPED, EVENT_KINDS, REASONS

PACKAGE = Path(streamlearn.__file__).parent
PAGE = PACKAGE.parent / "docs" / "operations" / "troubleshoot.md"
MONITOR = PAGE.with_name("monitor.md")


def string_literals(*paths: str) -> set[str]:
    """Return all string literals in the sources of folders or files of the package."""
    found: set[str] = set()
    for name in paths:
        path = PACKAGE / name
        for source in path.rglob("*.py") if path.is_dir() else [path]:
            tree = ast.parse(source.read_text(encoding="utf-8"))
            found |= {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    return found


def documented_codes(heading: str, page: Path = PAGE) -> set[str]:
    """Return the codes in the first column of the table with a header on a page."""
    table = page.read_text(encoding="utf-8").partition(heading)[2].partition("|---|\n")[2].partition("\n\n")[0]
    return {code for line in table.splitlines() for code in re.findall(r"`(\w+)`", line.split("|")[1])}


def test_every_reason_for_a_dead_letter_is_counted_documented_and_in_use() -> None:
    assert documented_codes("| reason | the record |") == set(REASONS) == {*get_args(Reason), "other"}
    assert string_literals("codec", "engine", "source") >= set(get_args(Reason))


def test_every_reason_for_a_left_out_value_is_counted_documented_and_in_use() -> None:
    assert documented_codes("| reason | what was dropped |") == set(DROPPED)
    assert string_literals("codec", "encoder", "model") >= set(DROPPED) - {"other"}


def test_every_kind_of_event_is_counted_and_documented() -> None:
    kinds = set(get_args(Event.model_fields["kind"].annotation))
    assert documented_codes("| kind | scope |", MONITOR) == kinds
    assert set(EVENT_KINDS) == kinds - {"rollback"} | {"other"}
    assert string_literals("engine", "learner", "model") >= kinds
