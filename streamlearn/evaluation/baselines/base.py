"""What every baseline is: a learner that takes one row after the other, and what it knows before the first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from streamlearn.streams.base import Features, Truth


class RowLearner(Protocol):
    """A learner that takes one row after the other."""

    def predict(self, x: Features) -> list[str]:
        """Return the label set of an instance."""
        ...

    def learn(self, x: Features, y: Truth) -> None:
        """Learn an instance's truth."""
        ...

    def remarks(self) -> list[str]:
        """Return what this learner could not do with the rows so far, one sentence each."""
        ...


class Start(NamedTuple):
    """What a learner knows before the first row: declared names, the columns they can become at most, the seed."""

    features: Sequence[str] = ()
    labels: Sequence[str] = ()
    columns: int = 0
    seed: int = 0


NOTHING_KNOWN = Start()
