"""Base of the generators: a seed, a length, and the known drifts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Literal, NamedTuple

from streamlearn.streams.base import StreamRow

Change = Literal["dependencies", "features", "dependencies and features", "priors", "label appears", "label retires"]


class Drift(NamedTuple):
    """A known change: the first row that it affects, the row where it is complete, and what changes."""

    row: int
    complete: int
    what: Change


class GeneratedStream(ABC):
    """A stream that is generated row by row; a longer one has the same beginning.

    Parameters
    ----------
    seed:
        Equal seeds give equal streams.
    instances:
        Number of rows.
    """

    name = "generated"
    features: Sequence[str] = ()
    texts: Sequence[str] = ()
    labels: Sequence[str] = ()
    labels_from = "the generator"
    warnings: Sequence[str] = ()
    dropped: Mapping[str, int] = MappingProxyType({})
    columns = 0

    def __init__(self, seed: int, instances: int) -> None:
        self.seed = seed
        self.instances = instances

    @property
    def source(self) -> str:
        """The name."""
        return self.name

    @property
    def drifts(self) -> list[Drift]:
        """The known changes within the stream, in order."""
        return []

    @abstractmethod
    def __iter__(self) -> Iterator[StreamRow]:
        """Yield the rows from the first one on."""
