"""Untrusted text is printed without control characters, wherever it reaches a terminal or a log."""

from __future__ import annotations

import ast
import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import drift

import streamlearn
from streamlearn.printable import printable, shown

PACKAGE = Path(streamlearn.__file__).parent
HARMFUL = "\x00\x07\x08\x1b[2J\x7f\x9b\u061c\u200e\u202e\u2028\u2029\u2066\ufeff\U000e0041\ud800"
WRITERS = {
    "cli/output.py": "escapes what it prints",
    "kernels/parallel_compile.py": "its child processes read it",
    "settings/reference.py": "writes docs/settings.md",
}
"""Modules that write to a standard stream, and why they may."""
CALLS = {"print", "typer.echo", "typer.secho", "click.echo", "sys.stdout.write", "sys.stderr.write"}


@given(st.text() | st.text(alphabet=HARMFUL + "a\n\t\r"))
def test_nothing_is_left_that_a_terminal_acts_on(text: str) -> None:
    shown = printable(text)
    categories = {unicodedata.category(character) for character in shown if character not in "\u200c\u200d"}
    assert not categories & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert shown.encode().isascii() or not text.isascii()
    if text.isprintable():
        assert shown == text
    assert printable(shown) == shown


@given(st.recursive(st.text(alphabet=HARMFUL + 'a"\\\n\U0001f600'), lambda value: st.lists(value, max_size=3)))
def test_json_stays_the_same_json(value: object) -> None:
    for indent in (None, 2):
        shown = printable(json.dumps(value, ensure_ascii=False, indent=indent), keep="\n")
        assert json.loads(shown) == value


def test_what_languages_need_is_kept() -> None:
    text = "caf\u00e9 \u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 \U0001f468\u200d\U0001f469 \u00a0\u3000"
    assert printable(text) == text
    assert printable("a\nb\tc", keep="\n") == "a\nb\\tc"


class Unprintable:
    def __repr__(self) -> str:
        raise OSError


def _class_named(name: str) -> Any:
    return type(name, (), {"__repr__": lambda self: "two\n  lines"})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a\nb", r"'a\nb'"),
        ("half \ud800", r"'half \ud800'"),
        (drift.binary.DDM(), "DDM ( warm_start=30 warning_t...hold=2. drift_threshold=3. )"),
        (Unprintable(), "<Unprintable object>"),
        (_class_named("Own")(), "two lines"),
        ({_class_named("Key")(): "\x1b"}, r"{two lines: '\x1b'}"),
        *((_class_named(name)(), "two lines") for name in ("dict", "array", "str", "list")),
        ("x" * 100, f"'{'x' * 27}...{'x' * 28}'"),
        (10**70, f"1{'0' * 27}...{'0' * 29}"),
    ],
)
def test_a_value_of_a_caller_is_shown_in_one_short_line(value: object, text: str) -> None:
    assert shown(value) == text


@settings(max_examples=30)
@given(st.recursive(st.text() | st.binary(), lambda value: st.lists(value) | st.dictionaries(st.text(), value)))
def test_any_value_is_shown_in_one_printable_line(value: object) -> None:
    text = shown(value)
    assert printable(text) == text
    assert text.isprintable() or not text.isascii()


def test_only_the_listed_modules_write_to_a_terminal() -> None:
    found = {}
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)} & CALLS
        if calls:
            found[path.relative_to(PACKAGE).as_posix()] = calls
    assert found.keys() == WRITERS.keys(), found
