"""Frames, series and arrays where the interface takes Python's own collections: refused, with what to pass instead."""

from __future__ import annotations

from streamlearn.errors import UsageError

_FRAME_ROWS = {"pandas": '{0}.to_dict("records")', "polars": "{0}.to_dicts()", "pyarrow": "{0}.to_pylist()"}
"""Expression of a frame's rows as mappings, by library."""
_LIST = {"polars": "{0}.to_list()", "scipy": "{0}.toarray().tolist()"}
"""Expression of the values of an array as a list, by library; ``tolist`` for all others."""


def refuse_array(value: object, where: str, mapping: str) -> None:
    """Raise `UsageError` when a frame, series or array is passed as one instance or truth.

    Parameters
    ----------
    value:
        What was passed.
    where:
        The parameter.
    mapping:
        Expression of a row's values ``{0}`` as a mapping.
    """
    if not _is_array(value):
        return
    if _is_table(value):
        raise UsageError(
            f"{where} is {_kind(value)}, several rows: pass {_rows(value, where, mapping)} to learn_many or "
            "predict_many"
        )
    if hasattr(value, "to_dict"):
        expression = f"{where}.to_dict()"
    else:
        expression = mapping.format(_list(value, where))
    raise UsageError(f"{where} is {_kind(value)}: pass a mapping from names to values, such as {expression}")


def refuse_array_of_rows(value: object, where: str, mapping: str) -> None:
    """Raise `UsageError` when a frame, series or array is passed as several; parameters as `refuse_array`."""
    if not _is_array(value):
        return
    if _is_table(value):
        raise UsageError(f"{where} is {_kind(value)}: pass {_rows(value, where, mapping)}")
    raise UsageError(
        f"{where} is {_kind(value)}: pass a list with one entry for each row, such as {_list(value, where)}"
    )


def _is_array(value: object) -> bool:
    return hasattr(value, "shape") and hasattr(value, "__len__")


def _is_table(value: object) -> bool:
    return len(getattr(value, "shape", ())) >= 2


def _library(value: object) -> str:
    return type(value).__module__.partition(".")[0]


def _kind(value: object) -> str:
    return f"a {_library(value)} {type(value).__name__}"


def _rows(value: object, where: str, mapping: str) -> str:
    of_frame = _FRAME_ROWS.get(_library(value))
    return of_frame.format(where) if of_frame else f"[{mapping.format('row')} for row in {_list(value, where)}]"


def _list(value: object, where: str) -> str:
    return _LIST.get(_library(value), "{0}.tolist()").format(where)
