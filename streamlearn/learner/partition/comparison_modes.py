"""Values of the setting ``learner.partition``: the method itself, and modes to compare it with."""

from __future__ import annotations

from enum import IntEnum
from typing import Literal, get_args

from streamlearn.errors import UsageError

Mode = Literal["jaccard", "whole", "singletons", "random"]
MODES: tuple[Mode, ...] = get_args(Mode)


class PartitionMode(IntEnum):
    """The modes as states hold them: indices into `MODES`."""

    JACCARD = 0  # the method: clusters by Jaccard similarity, tested by code length
    WHOLE = 1  # one cluster
    SINGLETONS = 2  # one cluster per label
    RANDOM = 3  # clusters of the method's sizes, with labels assigned at random


def parse_mode(mode: str) -> PartitionMode:
    """Return the mode with this name; raises `UsageError` if there is none."""
    if mode not in MODES:
        raise UsageError(f"learner.partition is {mode!r}: it must be one of {', '.join(MODES)}")
    return PartitionMode(MODES.index(mode))
