"""Interface of the baselines, and what they know before the first row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from streamlearn.streams.base import Features, Truth


class RowLearner(Protocol):
    """A learner that takes one row after another."""

    def predict(self, x: Features) -> list[str]:
        """Return the label set of an instance."""
        ...

    def learn(self, x: Features, y: Truth) -> None:
        """Learn an instance with its truth."""
        ...

    def remarks(self) -> list[str]:
        """Return what this learner could not do with the rows so far, one sentence each."""
        ...


class BaselineSetup(NamedTuple):
    """What a baseline knows before the first row of a stream.

    ``features`` and ``labels`` are the declared names, ``columns`` how many numeric columns the declared features can
    become (a nominal feature becomes one per value), 0 where none is declared, and ``seed`` the seed of everything
    random.
    """

    features: Sequence[str] = ()
    labels: Sequence[str] = ()
    columns: int = 0
    seed: int = 0


EMPTY_SETUP = BaselineSetup()
