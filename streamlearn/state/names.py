"""Names of features and labels: texts, and in the embedded class also integers and tuples of names.

``1`` and ``"1"`` are two names. Records carry texts only.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Union

import numpy as np

from streamlearn.errors import SnapshotError
from streamlearn.state.arrays import pack_bytes, unpack_bytes

Name = Union[str, int, "tuple[Name, ...]"]

_NOT_TEXT = b"\xff"
"""First byte of a packed name that is not a text; it occurs nowhere in UTF-8. JSON of the name follows."""


def sorted_names(names: Iterable[Name]) -> list[Name]:
    """Return names in their order: texts by code point, then integers, then tuples, entry by entry."""
    listed: list[Any] = list(names)
    try:
        # Names of one type, almost always texts, have the same order by themselves.
        listed.sort()
    except TypeError:
        listed.sort(key=_sort_key)
    return listed


def _sort_key(name: Name) -> tuple[int, Any]:
    if isinstance(name, str):
        return 0, name
    if isinstance(name, int):
        return 1, name
    return 2, tuple(map(_sort_key, name))


def name_bytes(name: Name) -> bytes:
    """Return the bytes that stand for a name: UTF-8 of a text; 0xFF and JSON of any other name."""
    if isinstance(name, str):
        return name.encode("utf-8", "surrogatepass")
    return _NOT_TEXT + json.dumps(name, separators=(",", ":")).encode()


def pack_names(names: Sequence[Name]) -> tuple[np.ndarray, np.ndarray]:
    """Pack names into one byte array.

    Returns
    -------
    uint8[bytes]
        `name_bytes` of all names, one after the other; read-only.
    int64[names + 1]
        Where each name starts; the last entry is the number of bytes.
    """
    return pack_bytes([name_bytes(name) for name in names])


def unpack_names(packed: np.ndarray, offsets: np.ndarray) -> list[Name]:
    """Return the names that `pack_names` packed.

    Raises
    ------
    SnapshotError
        The bytes are not those of a name.
    ValueError
        The offsets do not fit the bytes, or the bytes of a text are not UTF-8.
    """
    return [_unpack(data) for data in unpack_bytes(packed, offsets)]


def _unpack(data: bytes) -> Name:
    if not data.startswith(_NOT_TEXT):
        return data.decode("utf-8", "surrogatepass")
    try:
        name = name_from_json(json.loads(data[1:]))
    except (ValueError, RecursionError):
        name = ""
    if isinstance(name, str):
        raise SnapshotError(f"the bytes {data[:60]!r} in the list of names are not a name: the snapshot is broken")
    return name


def name_from_json(value: Any) -> Name:
    """Return a name that was written as JSON, whose lists are tuples; raises `ValueError` for another value."""
    if isinstance(value, list):
        return tuple(map(name_from_json, value))
    if isinstance(value, str) or type(value) is int:
        return value
    raise ValueError(value)
