"""Where the clusters of labels come from: as counted, or one of the ways to compare with."""

from __future__ import annotations

from typing import Literal, get_args

from streamlearn.errors import UsageError

JACCARD, WHOLE, SINGLETONS, RANDOM = range(4)
"""The places of the modes in `MODES`, as states hold them."""

Mode = Literal["jaccard", "whole", "singletons", "random"]
MODES: tuple[Mode, ...] = get_args(Mode)


def mode_number(mode: str) -> int:
    """Return the place of a mode; raises `UsageError` when there is none of that name."""
    if mode not in MODES:
        raise UsageError(f"partition is {mode!r}: it is one of {', '.join(MODES)}")
    return MODES.index(mode)
