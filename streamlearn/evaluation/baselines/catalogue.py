"""The baselines by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from streamlearn.errors import UsageError
from streamlearn.evaluation.baselines.last import LastLabelSet
from streamlearn.evaluation.baselines.majority import MajorityLabelSet
from streamlearn.streams.base import Features, Truth

OURS = "streamlearn"


class RowLearner(Protocol):
    """A learner that takes one row after the other."""

    def predict(self, x: Features) -> list[str]:
        """Return the label set of an instance."""
        ...

    def learn(self, x: Features, y: Truth) -> None:
        """Learn an instance's truth."""
        ...


BASELINES: dict[str, Callable[[], RowLearner]] = {"last": LastLabelSet, "majority": MajorityLabelSet}


def baseline(name: str) -> RowLearner:
    """Return a new baseline.

    Raises
    ------
    UsageError
        When there is none of that name.
    """
    if name not in BASELINES:
        raise UsageError(f"--learner {name!r}: there are {', '.join([OURS, *BASELINES])}")
    return BASELINES[name]()
