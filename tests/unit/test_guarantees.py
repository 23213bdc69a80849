"""Every row of the tables in docs/guarantees.md names a test, and every named test exists."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

from tests.conftest import TIERS

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "guarantees.md"
TIER = re.compile(rf"mark\.({'|'.join(TIERS).replace('-', '_')})\b")
TEST_NAME = re.compile(r"`([\w/]+\.py)::(test_\w+)`")


def tables() -> list[list[str]]:
    """Return the rows of each table of the page, without its header."""
    text = PAGE.read_text(encoding="utf-8")
    tables = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    return [table.splitlines()[2:] for table in tables]


@cache
def functions(path: Path) -> frozenset[str]:
    """Return the tests of a file that run without an option, such as those of a slow tier."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    module_marks = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark"
    ]
    return frozenset(
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
        and not TIER.search(" ".join(map(ast.unparse, [*module_marks, *node.decorator_list])))
    )


def test_every_row_names_existing_tests_that_run_without_an_option() -> None:
    rows = [row for table in tables() for row in table]
    assert len(rows) >= 50
    missing = []
    for row in rows:
        names = TEST_NAME.findall(row)
        assert names, f"no test in: {row}"
        missing += [
            f"{file}::{name}"
            for file, name in names
            if not (TESTS / file).is_file() or name not in functions(TESTS / file)
        ]
    assert not missing


def test_every_hazard_of_the_client_has_a_row() -> None:
    numbers = [int(match[1]) for row in tables()[-1] if (match := re.match(r"\| H(\d+) ", row))]
    assert numbers == list(range(1, 23))


def test_every_point_of_the_loop_is_named() -> None:
    from tests.faults.points import POINTS

    text = " ".join(PAGE.read_text(encoding="utf-8").split())
    loop_points = [point for point in POINTS if not point.startswith("snapshot")]
    assert ", ".join(loop_points) in text
    assert len(POINTS) - len(loop_points) == 4
