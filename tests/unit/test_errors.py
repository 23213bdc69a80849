"""The tree at the top of `streamlearn.errors` shows every error class, below its base class and with its module."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from streamlearn import errors

PACKAGE = Path(errors.__file__).parent
Classes = dict[str, tuple[str | None, str]]
"""The base class and the module of each class."""


def drawn() -> Classes:
    """Return the classes of the tree."""
    path: list[str] = []
    found: Classes = {}
    for line in re.finditer(r"^    (.*\w+Error.*)$", errors.__doc__ or "", re.MULTILINE):
        match = re.fullmatch(r"((?:[│├└ ]...)*?)(\w+Error)(?: +(\S.*))?", line[1])
        assert match is not None, line[1]
        depth = len(match[1]) // 4
        path[depth:] = [match[2]]
        module = match[3] if match[3] and match[3].endswith(".py") else "errors.py"
        found[match[2]] = (path[depth - 1] if depth else None, module)
    return found


def defined() -> Classes:
    """Return the classes of the package that descend from the root of the tree."""
    candidates = {
        node.name: (ast.unparse(node.bases[0]), path.relative_to(PACKAGE).as_posix())
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef) and node.bases
    }
    found: Classes = {"StreamlearnError": (None, candidates["StreamlearnError"][1])}
    while more := {name: entry for name, entry in candidates.items() if entry[0] in found and name not in found}:
        found.update(more)
    return found


def test_the_tree_shows_every_class_of_the_package() -> None:
    assert drawn() == defined()
