"""What a migration makes of arrays, by its definition: all in memory, part by part, the innermost first."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]


class LackingError(Exception):
    """An array that a rule names is not there, or a name is given twice."""


def migrate(arrays: Arrays, settings: Mapping[str, Any], parts: list[Any]) -> Arrays:
    """Return the arrays after the rules of parts, which have the fields of a `PartMigration`."""
    current = dict(arrays)
    for part in sorted(parts, key=lambda part: -len(part.part.split(".")) if part.part else 0):
        prefix = part.part + "." if part.part else ""
        before = {name[len(prefix) :]: array for name, array in arrays.items() if name.startswith(prefix)}
        if not before:
            continue
        inside = {name[len(prefix) :]: array for name, array in current.items() if name.startswith(prefix)}
        outside = {name: array for name, array in current.items() if not name.startswith(prefix)}
        made = apply_rules(part, before, inside, settings)
        current = outside | {prefix + name: array for name, array in made.items()}
    return current


def apply_rules(part: Any, before: Arrays, inside: Arrays, settings: Mapping[str, Any]) -> Arrays:
    """Return the arrays of one part, by their names in it."""
    state = SimpleNamespace(arrays=before, settings=settings)
    if part.rebuilt is not None:
        return dict(part.rebuilt.function(state))
    for name in [*part.renamed, *part.dropped]:
        if not any(each == name or each.startswith(name + ".") for each in before):
            raise LackingError(name)
    for name in part.converted:
        if name not in before:
            raise LackingError(name)
    made: list[tuple[str, np.ndarray]] = []
    for name, array in inside.items():
        if any(name == dropped or name.startswith(dropped + ".") for dropped in part.dropped):
            continue
        if name in part.converted:
            conversion = part.converted[name]
            array = (
                conversion.value(array).astype(conversion.dtype) if conversion.value else array.astype(conversion.dtype)
            )
        keys = sorted((key for key in part.renamed if name == key or name.startswith(key + ".")), key=len)
        made.append((part.renamed[keys[-1]] + name[len(keys[-1]) :] if keys else name, array))
    made += [(name, compute(state)) for name, compute in part.added.items()]
    made += [(name, compute(state)) for name, compute in part.added_if_absent.items() if name not in before]
    if len(dict(made)) != len(made):
        raise LackingError("two arrays get one name")
    return dict(made)
